"""ROC and precision-recall curves, each class against the rest, all folds pooled."""

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.results import Results
from stages.scores import auroc

TITLE = "ROC and precision-recall"


def context(results: Results) -> dict:
    truth = {name: (results.predictions.label == name).to_numpy(bool) for name in results.classes}
    given = {name: results.predictions[f"p_{name}"].to_numpy(float) for name in results.classes}
    areas = {name: float(auroc(truth[name], given[name], np.ones(len(truth[name])))) for name in results.classes}
    precisions = {name: average_precision_score(truth[name], given[name]) if truth[name].any() else np.nan for name in results.classes}
    roc = _chart(
        read_table("metrics/plots/roc.csv"), "fpr", "tpr", results.classes, areas,
        name="roc", title="ROC curves, each class against the rest", measure="area under the curve",
        x_label="False positive rate (1 − specificity)", y_label="True positive rate (recall)", diagonal=True,
    )  # fmt: skip
    precision_recall = _chart(
        read_table("metrics/plots/precision_recall.csv"), "recall", "precision", results.classes, precisions,
        name="precision-recall", title="Precision and recall, each class against the rest", measure="average precision",
        x_label="Recall", y_label="Precision",
    )  # fmt: skip
    return {"charts": [roc, precision_recall]}


def _chart(table: pd.DataFrame, x: str, y: str, classes: list[str], values: dict[str, float], measure: str, **labels) -> dict:
    curves = {name: table[table["class"] == name] for name in classes}
    lines = [
        Line(f"{name} {values[name]:.3f}", curve[x].astype(float), curve[y].astype(float), colour=k, dash=k)
        for k, (name, curve) in enumerate(curves.items())
        if len(curve)
    ]
    description = f"A line a class; {measure}: " + ", ".join(line.name for line in lines) + "."
    return chart(description=description, lines=lines, x_range=(0, 1), y_range=(0, 1), **labels)

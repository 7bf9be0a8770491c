"""One picture of the test predictions: confusion matrix, ROC, precision-recall and reliability."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.demonstration import NOTE
from stages.lettering import lettered

matplotlib.use("agg")


def draw(
    confusion: np.ndarray,
    roc: pd.DataFrame,
    precision_recall: pd.DataFrame,
    reliability: pd.DataFrame,
    classes: list[str],
    demonstration: bool,
    path: Path,
) -> None:
    """Write a PNG with four panels; confusion holds counts [actual, predicted], the tables are those of the plots of these names."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    if demonstration:
        figure.suptitle(NOTE)
    panels = figure.subplots(2, 2)
    _confusion(panels[0, 0], confusion, classes)
    _curves(panels[0, 1], roc, "fpr", "tpr", "ROC, each class against the rest", "False positive rate", "True positive rate")
    panels[0, 1].plot([0, 1], [0, 1], ":", color="grey")
    _curves(
        panels[1, 0], precision_recall, "recall", "precision", "Precision and recall, each class against the rest", "Recall", "Precision"
    )
    _reliability(panels[1, 1], reliability)
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes


def _confusion(panel, counts: np.ndarray, classes: list[str]) -> None:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for actual, predicted in np.ndindex(*counts.shape):
        share = shares[actual, predicted]
        text = f"{counts[actual, predicted]}\n{share:.1%}"
        panel.text(predicted, actual, text, ha="center", va="center", color="white" if share > 0.5 else "black")
    names = [lettered(name) for name in classes]
    panel.set_xticks(range(len(names)), names, rotation=30, ha="right")
    panel.set_yticks(range(len(names)), names)
    panel.set(title="Confusion matrix, counts and shares of the actual class", xlabel="Predicted", ylabel="Actual")


def _curves(panel, table: pd.DataFrame, x: str, y: str, title: str, x_label: str, y_label: str) -> None:
    lines = {name: panel.plot(curve[x], curve[y])[0] for name, curve in table.groupby("class")}
    panel.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    legend = panel.legend(lines.values(), map(str, range(len(lines))))
    for text, name in zip(legend.get_texts(), lines, strict=True):  # a name of its own would be left out if it began with "_"
        text.set_text(lettered(name))
    panel.grid(alpha=0.3)


def _reliability(panel, table: pd.DataFrame) -> None:
    panel.plot([0, 1], [0, 1], ":", color="grey")
    panel.plot(table.confidence, table.accuracy, color="tab:blue")
    panel.scatter(table.confidence, table.accuracy, s=10 + 300 * table["count"] / table["count"].max(), color="tab:blue")
    panel.set(title="Reliability; areas are picture counts", xlabel="Mean confidence", ylabel="Accuracy", xlim=(0, 1.05), ylim=(0, 1.05))
    panel.grid(alpha=0.3)

"""What several sections show: the predictions with what is known about each picture, the summary and the slices."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, PREDICTIONS, read_table
from stages.params import Params
from stages.predictions import class_names
from stages.report.pictures import Pictures


@dataclass(frozen=True)
class Results:
    """predictions: image_id, fold, label, predicted, p_<class>..., plane, source, patient ("" if unknown), who (the patient, else the
    group's number), probability (of the predicted class).
    """

    params: Params
    classes: list[str]
    predictions: pd.DataFrame
    summary: dict
    slices: dict
    pictures: Pictures


def load_results(params: Params) -> Results:
    predictions = read_table(PREDICTIONS)
    clusters = read_table(CLUSTERS)[["image_id", "group", "patient", "plane"]]
    catalog = read_table(CATALOG)[["image_id", "source"]]
    predictions = predictions.merge(clusters, on="image_id").merge(catalog, on="image_id")
    predictions["who"] = predictions.patient.where(predictions.patient != "", "group " + predictions.group.astype(str))
    classes = class_names(predictions)
    predictions["probability"] = predictions[[f"p_{name}" for name in classes]].max(axis=1)
    return Results(
        params=params,
        classes=classes,
        predictions=predictions,
        summary=json.loads(Path("metrics/summary.json").read_text(encoding="utf-8")),
        slices=json.loads(Path("metrics/slices.json").read_text(encoding="utf-8")),
        pictures=Pictures(),
    )

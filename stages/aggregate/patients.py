"""How well patients are told, not images: one vote a patient, and the images of known patients alone.

Metrics are pooled over the folds, since a fold has few patients, and a macro average is over the classes that patients have: of a set whose
healthy people are unknown, figshare's three. A patient or image that is taken for another class is wrong all the same.
"""

import numpy as np
import pandas as pd

from stages.bootstrap import BLOCK, INTERVAL, draw_groups
from stages.predictions import class_names
from stages.scores import defined_mean, or_null, score

NAMES = {"accuracy": None, "macro_f1": "f1", "balanced_accuracy": "recall"}  # of the whole, or the mean of these of the classes


def of_patients(table: pd.DataFrame, clusters: pd.DataFrame, resamples: int, seed: int) -> dict | None:
    """The metrics of known patients; None where none is known.

    table: predictions as evaluate writes them; clusters: image_id, group, patient ("" where unknown) and plane; resamples, seed: of draw_groups.
    Returns {"classes": which they have, "images": of their images, each alone, "votes": {"all": by the mean of a patient's probabilities, a
    plane: of the images of that plane}}, each with its number, and accuracy, macro_f1 and balanced_accuracy as value, low and high (None for a
    single group).
    """
    known = table.merge(clusters[["image_id", "group", "patient", "plane"]], on="image_id")
    known = known[known.patient != ""]
    if known.empty:
        return None
    votes = {"all": known} | {plane: known[known.plane == plane] for plane in sorted({*known.plane} - {""})}
    return {
        "classes": sorted({*known.label}),
        "images": {"number": known.image_id.nunique()} | _metrics(known, resamples, seed),
        "votes": {name: {"number": rows.patient.nunique()} | _metrics(vote(rows), resamples, seed) for name, rows in votes.items()},
    }


def vote(known: pd.DataFrame) -> pd.DataFrame:
    """A row a patient and fold: the mean probabilities, the most frequent label (the first of equals), the group."""
    columns = [f"p_{name}" for name in class_names(known)]
    how = dict.fromkeys(columns, "mean") | {"label": lambda labels: labels.mode()[0], "group": "first"}
    return known.groupby(["fold", "patient"]).agg(how).reset_index()


def _metrics(rows: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, float | None]]:
    classes = class_names(rows)
    labels = rows.label.map({name: k for k, name in enumerate(classes)}).to_numpy(int)
    probabilities = rows[[f"p_{name}" for name in classes]].to_numpy(float)
    present = [classes[k] for k in np.unique(labels)]

    def metrics(weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        scores = score(labels, probabilities, classes, 1, weights)
        return {
            name: defined_mean(np.stack([scores[f"{one}.{part}"] for one in present], -1)) if part else scores[name]
            for name, part in NAMES.items()
        }

    plain = metrics()
    draws, codes = draw_groups(rows.group.to_numpy(), resamples, seed)
    blocks = [metrics(block[:, codes]) for block in np.array_split(draws, -(-resamples // BLOCK))] if draws.shape[1] > 1 else []
    found = {}
    for name, value in plain.items():
        low, high = np.nanquantile(np.concatenate([block[name] for block in blocks]), INTERVAL) if blocks else (np.nan, np.nan)
        found[name] = {key: or_null(one) for key, one in (("value", value), ("low", low), ("high", high))}
    return found

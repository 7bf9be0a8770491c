"""Accuracy and macro-F1 of each slice, with intervals."""

import numpy as np
import pandas as pd

from stages.bootstrap import BLOCK, INTERVAL, draw_groups
from stages.predictions import Predictions
from stages.scores import defined_mean, or_null, score


def by_slice(predictions: Predictions, dimensions: dict[str, pd.Series], resamples: int, seed: int) -> list[dict]:
    """One entry a slice: by, slice, pictures, groups, wrong, accuracy and macro_f1 (each value, low, high); lowest macro-F1 first.

    All folds are pooled, since a slice may be too small to be scored in each fold. dimensions: values [N] by name. low and
    high enclose the middle 95 % as the slice's groups are drawn anew; None for a slice of one group, which has no spread.
    """
    slices = [
        {"by": name, "slice": value} | _metrics(predictions[(values == value).to_numpy(bool)], resamples, seed)
        for name, values in dimensions.items()
        for value in sorted(values.unique())
    ]
    return sorted(slices, key=lambda one: (one["macro_f1"]["value"], one["by"], one["slice"]))


def _metrics(predictions: Predictions, resamples: int, seed: int) -> dict:
    plain = _score(predictions)
    draws, codes = draw_groups(predictions.groups, resamples, seed)
    blocks = [_score(predictions, block[:, codes]) for block in np.array_split(draws, -(-resamples // BLOCK))]
    wrong = int((predictions.probabilities.argmax(1) != predictions.labels).sum())
    metrics = {"pictures": len(predictions), "groups": draws.shape[1], "wrong": wrong}
    for name, value in plain.items():
        values = np.concatenate([block[name] for block in blocks])
        low, high = np.quantile(values, INTERVAL) if draws.shape[1] > 1 else (np.nan, np.nan)
        metrics[name] = {"value": or_null(value), "low": or_null(low), "high": or_null(high)}
    return metrics


def _score(predictions: Predictions, weights: np.ndarray | None = None) -> dict:
    # Macro-F1 over the classes that occur: in a slice without a class, one picture taken for it would count as a whole class's F1 of 0.
    scores = score(predictions.labels, predictions.probabilities, predictions.classes, bins=1, weights=weights)
    f1 = [np.where(scores[f"{name}.support"] > 0, scores[f"{name}.f1"], np.nan) for name in predictions.classes]
    return {"accuracy": scores["accuracy"], "macro_f1": defined_mean(np.stack(f1, -1))}


def to_table(slices: list[dict], groups: list[dict]) -> pd.DataFrame:
    """Slices, then groups, a row each; a group, which mostly holds a single class, has an accuracy only."""
    rows = [
        {key: one[key] for key in ("by", "slice", "pictures", "groups", "wrong")}
        | {
            f"{name}{end}": one[name][key]
            for name in ("accuracy", "macro_f1")
            for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
        }
        for one in slices
    ]
    rows += [
        {"by": "group", "slice": one["name"], "groups": 1} | {key: one[key] for key in ("pictures", "wrong", "accuracy")} for one in groups
    ]
    return pd.DataFrame(rows).round(6)

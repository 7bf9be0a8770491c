"""The tables behind the plots of the test predictions, all folds pooled."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

POINTS = 100  # of a curve: as many as a plot shows, few enough for git


def roc(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Columns class, fpr, tpr: each class against the rest; one without positives or negatives has no curve."""
    rows = []
    for k, name in _two_sided(labels, classes):
        fpr, tpr, _ = roc_curve(labels == k, probabilities[:, k])
        rows += [(name, *point) for point in _thinned(fpr, tpr)]
    return pd.DataFrame(rows, columns=["class", "fpr", "tpr"]).round(6)


def precision_recall(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Columns class, recall, precision: each class against the rest, by growing recall; as above."""
    rows = []
    for k, name in _two_sided(labels, classes):
        precision, recall, _ = precision_recall_curve(labels == k, probabilities[:, k], drop_intermediate=True)
        rows += [(name, *point) for point in _thinned(recall[::-1], precision[::-1])]
    return pd.DataFrame(rows, columns=["class", "recall", "precision"]).round(6)


def _two_sided(labels: np.ndarray, classes: list[str]) -> list[tuple[int, str]]:
    return [(k, name) for k, name in enumerate(classes) if 0 < (labels == k).sum() < len(labels)]


def _thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Evenly along the curve and not along x, so that a steep rise keeps its shape.
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], POINTS)))
    return np.stack([x, y], 1)[keep]

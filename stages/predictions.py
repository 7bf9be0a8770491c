"""Predictions as evaluate writes them, and as arrays."""

import numpy as np
import pandas as pd


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The classes K, in the order of the columns p_<class>."""
    return [column.removeprefix("p_") for column in predictions if column.startswith("p_")]


def to_arrays(predictions: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int [N], indices into classes, and probabilities, float [N, K]."""
    labels = predictions.label.map({name: k for k, name in enumerate(classes)}).to_numpy(int)
    return labels, predictions[[f"p_{name}" for name in classes]].to_numpy(float)

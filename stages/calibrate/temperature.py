"""One number that makes a model's confidence honest (temperature scaling: Guo et al. 2017)."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.model_selection import GroupKFold

SMALLEST = 1e-6  # predictions are written with six decimals: what is 0 there may be anything below
BOUNDS = (-3.0, 3.0)  # of log T: a temperature from 0.05 to 20
PARTS = 5  # of the groups, at most, for cross-validation
SURE = 2  # standard errors by which a temperature must help


class Choice(NamedTuple):
    """A temperature, and the mean cross-entropy in nats of the probabilities as they are and cross-validated by group, with the standard error of their
    difference over groups; the latter two are None where there are fewer than two groups.
    """

    temperature: float
    before: float
    after: float | None
    standard_error: float | None


def choose(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> Choice:
    """The fitted temperature where it lowers the cross-entropy of images whose groups had no say in it by more than SURE standard errors; else 1.

    labels: int [N], indices into the K classes; probabilities: float [N, K]; groups: [N].
    """
    as_they_are, parts = losses(labels, probabilities, 1), min(PARTS, len(np.unique(groups)))
    if parts < 2:
        return Choice(1.0, float(as_they_are.mean()), None, None)
    held_out = np.empty(len(labels))
    for rest, part in GroupKFold(parts).split(probabilities, groups=groups):
        held_out[part] = losses(labels[part], probabilities[part], fit(labels[rest], probabilities[rest]))
    gain = as_they_are - held_out
    of_groups = pd.Series(gain - gain.mean()).groupby(groups).sum()  # images of one patient gain together
    standard_error = float(np.sqrt((of_groups**2).sum()) / len(gain))
    chosen = fit(labels, probabilities) if gain.mean() > SURE * standard_error else 1.0
    return Choice(chosen, float(as_they_are.mean()), float(held_out.mean()), standard_error)


def fit(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the smallest cross-entropy of the labels; more than 1 means that the model is too sure of itself."""
    return float(np.exp(minimize_scalar(lambda t: losses(labels, probabilities, np.exp(t)).mean(), bounds=BOUNDS).x))


def losses(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """float [N]: the cross-entropy of each picture's label at a temperature, nats."""
    return -log_softmax(_logits(probabilities) / temperature, axis=1)[np.arange(len(labels)), labels]


def apply(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """float [N, K]: softmax(log p / T); the most probable class stays what it was."""
    return softmax(_logits(probabilities) / temperature, axis=1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, SMALLEST, 1))

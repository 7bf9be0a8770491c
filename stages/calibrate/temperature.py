"""One number that makes a model's confidence honest (temperature scaling: Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.model_selection import GroupKFold

SMALLEST = 1e-6  # predictions are written with six decimals: what is 0 there may be anything below
BOUNDS = (-3.0, 3.0)  # of log T: a temperature from 0.05 to 20
PARTS = 5  # of the groups, at most, for cross-validation


def choose(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> tuple[float, float, float | None]:
    """A temperature, 1 unless a fitted one lowers the cross-entropy of pictures whose groups had no say in it; and that cross-entropy, nats.

    labels: int [N], indices into the K classes; probabilities: float [N, K]; groups: [N]. The mean cross-entropy comes twice: of the
    probabilities as they are, and cross-validated by group, which is None where there are fewer than two groups.
    """
    before, parts = float(losses(labels, probabilities, 1).mean()), min(PARTS, len(np.unique(groups)))
    if parts < 2:
        return 1.0, before, None
    held_out = np.empty(len(labels))
    for rest, part in GroupKFold(parts).split(probabilities, groups=groups):
        held_out[part] = losses(labels[part], probabilities[part], fit(labels[rest], probabilities[rest]))
    after = float(held_out.mean())
    return fit(labels, probabilities) if after < before else 1.0, before, after


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

"""One number a model that makes its confidence honest (temperature scaling: Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

SMALLEST = 1e-6  # predictions are written with six decimals: what is 0 there may be anything below
BOUNDS = (-3.0, 3.0)  # of log T: a temperature from 0.05 to 20


def fit(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the smallest cross-entropy of the labels.

    labels: int [N], indices into the K classes; probabilities: float [N, K]. More than 1 means that the model is too sure of itself.
    """
    logits = _logits(probabilities)
    rows = np.arange(len(labels))
    return float(np.exp(minimize_scalar(lambda t: -log_softmax(logits / np.exp(t), axis=1)[rows, labels].mean(), bounds=BOUNDS).x))


def apply(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """float [N, K]: softmax(log p / T), T one number or one a picture [N]; the most probable class stays what it was."""
    return softmax(_logits(probabilities) / np.reshape(temperature, (-1, 1)), axis=1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, SMALLEST, 1))

"""Does the model depend on the pixels that an explanation names? Deletion and insertion (Petsiuk et al. 2018, RISE, arXiv 1806.07421)."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

STEPS = 16  # in which all pixels of a picture go or come
BLUR = 5 / 224  # standard deviation, share of the side: 5 pixels of 224, as in the paper's code

Probability = Callable[[np.ndarray], np.ndarray]  # grey pictures, 0 to 255, [N, S, S] -> [N], of the class that is explained


def deletion(probability: Probability, picture: np.ndarray, order: np.ndarray) -> float:
    """Mean probability (area under its curve) while the pixels turn to the picture's mean grey; low if the first ones matter.

    picture: uint8 [S, S]; order: int [S * S], the flat indices of the pixels, the first to go first.
    """
    return _area(probability(_between(picture, np.full_like(picture, picture.mean(), np.float32), order)))


def insertion(probability: Probability, picture: np.ndarray, order: np.ndarray) -> float:
    """Mean probability while the pixels come into the blurred picture, as above; high if the first ones matter."""
    blurred = gaussian_filter(picture.astype(np.float32), BLUR * len(picture))
    return _area(probability(_between(blurred, picture, order)))


def by_attention(attention: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Flat indices of the pixels of [S, S], the most attended first; equals, such as all that have none, in the order of ties [S, S]."""
    return np.lexsort((-ties.ravel(), -attention.ravel()))


def _between(start: np.ndarray, end: np.ndarray, order: np.ndarray) -> np.ndarray:
    """float32 [STEPS + 1, S, S]: the way from one picture to another, pixel by pixel in this order."""
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    arrived = rank.reshape(start.shape) < np.linspace(0, len(order), STEPS + 1)[:, None, None]
    return np.where(arrived, end, start).astype(np.float32)


def _area(probabilities: np.ndarray) -> float:
    return float(np.trapezoid(probabilities.astype(float), dx=1 / STEPS))

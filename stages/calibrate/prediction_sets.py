"""Sets of classes that hold the true one with a chosen probability: conformal prediction, where images come in groups.

A class is in the set of an image if its probability reaches a threshold (Sadinle, Lei and Wasserman 2019, doi 10.1080/01621459.2017.1395341). Images of
one patient are alike, so the threshold is that of hierarchical conformal prediction (Lee, Barber and Willett 2023, arXiv 2306.06342): each
group weighs as one, however many images it has, and one more that nobody has seen weighs as much. The promise is for one image of a new group.
"""

import numpy as np

from stages.predictions import Predictions
from stages.scores import or_null

COVERAGES = (0.9, 0.95)


def threshold(validation: Predictions, coverage: float) -> float:
    """The least probability of a class in the sets; 0, and so every class, where there are too few groups to promise anything."""
    own = validation.probabilities[np.arange(len(validation)), validation.labels]
    _, group, sizes = np.unique(np.stack([validation.folds, validation.groups]), axis=1, return_inverse=True, return_counts=True)
    weights = 1 / sizes[group.ravel()] / (len(sizes) + 1)
    order = np.argsort(-own, kind="stable")
    enough = np.flatnonzero(np.cumsum(weights[order]).round(9) >= coverage)  # nine of ten tenths are .9
    return float(own[order][enough[0]]) if len(enough) else 0.0


def members(probabilities: np.ndarray, least: float) -> np.ndarray:
    """bool [..., K]: which classes are in the sets. None is empty: the most probable class is always in."""
    return (probabilities >= least) | (probabilities == probabilities.max(-1, keepdims=True))


def measure(test: Predictions, validation: Predictions, coverage: float) -> dict:
    """What sets by the threshold of each fold's validation images hold of its test images.

    coverage: share of images whose set holds their label; of_groups: the mean over groups of that, which is what is promised; size: classes a
    set, on average; single: share of sets of one class; classes: coverage of each class's images, None without any.
    """
    inside = np.zeros(test.probabilities.shape, bool)
    for fold in np.unique(test.folds):
        mine = test.folds == fold
        inside[mine] = members(test.probabilities[mine], threshold(validation[validation.folds == fold], coverage))
    right, sizes = inside[np.arange(len(test)), test.labels], inside.sum(1)
    _, group = np.unique(test.groups, return_inverse=True)
    of_classes = [right[test.labels == k] for k in range(len(test.classes))]
    return {
        "coverage": float(right.mean()),
        "of_groups": float((np.bincount(group, right) / np.bincount(group)).mean()),
        "size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "classes": {name: or_null(one.mean() if len(one) else np.nan) for name, one in zip(test.classes, of_classes, strict=True)},
    }

"""How much of the label the geometry alone gives away."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from stages.pixels import bars

FOLDS = 5


def giveaway(pixels: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict:
    """Accuracy of a random forest that sees the black bars and nothing else, cross-validated by group, beside chance.

    None where a class has too few groups to cross-validate.
    """
    classes, counts = np.unique(labels, return_counts=True)
    result = {"accuracy": None, "balanced_accuracy": None, "majority": float(counts.max() / counts.sum()), "chance": 1 / len(classes)}
    if min(len(np.unique(groups[labels == label])) for label in classes) >= FOLDS:
        forest = RandomForestClassifier(200, min_samples_leaf=5, class_weight="balanced", random_state=0)
        predicted = cross_val_predict(forest, bars(pixels), labels, groups=groups, cv=StratifiedGroupKFold(FOLDS))
        result["accuracy"] = float(accuracy_score(labels, predicted))
        result["balanced_accuracy"] = round(float(balanced_accuracy_score(labels, predicted)), 4)
    return result

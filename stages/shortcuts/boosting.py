"""Gradient-boosted trees on a table of numbers and categories, a model a fold."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from threadpoolctl import threadpool_limits

LEAVES = 8  # of a tree: 3,000 pictures overfit with scikit-learn's 31
LEAF = 5  # pictures in a leaf, at least: small sets have no more to spare
REPEATS = 5  # shuffles of a feature


def fit(features: pd.DataFrame, labels: pd.Series, folds: pd.DataFrame) -> list[ClassifierMixin]:
    """A model for every fold, in order, trained on what is not its test; without any feature, one that says the most frequent class.

    features (numbers and pandas categories) and labels have image_id as their index; folds: image_id, fold and role.
    """
    models = []
    with threadpool_limits(1):  # small tables: threads only get in each other's way
        for _, rows in folds[folds.role != "test"].groupby("fold"):
            trees = HistGradientBoostingClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=LEAF, early_stopping=False, random_state=0)
            model = trees if features.shape[1] else DummyClassifier(strategy="most_frequent")
            models.append(model.fit(features.loc[rows.image_id], labels[rows.image_id].to_numpy(str)))
    return models


def predict(models: list[ClassifierMixin], features: pd.DataFrame, folds: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """float [T, K]: the probabilities of the test pictures, fold after fold; 0 for a class that the training lacks."""
    probabilities = []
    for model, (_, rows) in zip(models, folds[folds.role == "test"].groupby("fold"), strict=True):
        known = pd.DataFrame(model.predict_proba(features.loc[rows.image_id]), columns=model.classes_)
        probabilities.append(known.reindex(columns=classes, fill_value=0.0).to_numpy())
    return np.concatenate(probabilities)


def importance(models: list[ClassifierMixin], features: pd.DataFrame, labels: pd.Series, folds: pd.DataFrame) -> dict[str, float]:
    """Feature -> by how much accuracy falls when its values are shuffled among the test pictures, mean over folds; the largest first.

    Permutation importance (Breiman 2001). Features that tell the same stand in for one another, so each alone looks small.
    """
    drops = []
    with threadpool_limits(1):
        for model, (_, rows) in zip(models, folds[folds.role == "test"].groupby("fold"), strict=True):
            tested, truth = features.loc[rows.image_id], labels[rows.image_id].to_numpy(str)
            drops.append(permutation_importance(model, tested, truth, n_repeats=REPEATS, random_state=0).importances_mean)
    return pd.Series(np.mean(drops, 0), index=features.columns).sort_values(ascending=False, kind="stable").to_dict()

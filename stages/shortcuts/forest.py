"""A random forest on a table of numbers and words, a forest a fold."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

TREES = 200
LEAF = 3  # pictures in a leaf, at least
REPEATS = 5  # shuffles of a feature


def fit(features: pd.DataFrame, labels: pd.Series, folds: pd.DataFrame) -> list[ClassifierMixin]:
    """A forest for every fold, in order, trained on what is not its test; without any feature, one that says the most frequent class.

    features (numbers, and words as objects) and labels have image_id as their index; folds: image_id, fold and role.
    """
    models = []
    for _, rows in folds[folds.role != "test"].groupby("fold"):
        words = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)), remainder="passthrough"
        )
        forest = make_pipeline(words, RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=0))
        model = forest if features.shape[1] else DummyClassifier(strategy="most_frequent")
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
    for model, (_, rows) in zip(models, folds[folds.role == "test"].groupby("fold"), strict=True):
        truth = labels[rows.image_id].to_numpy(str)
        drops.append(permutation_importance(model, features.loc[rows.image_id], truth, n_repeats=REPEATS, random_state=0).importances_mean)
    return pd.Series(np.mean(drops, 0), index=features.columns).sort_values(ascending=False, kind="stable").to_dict()

"""Predictions as evaluate writes them, and as arrays."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.catalog import CLUSTERS


@dataclass(frozen=True)
class Predictions:
    """What was predicted of N images, of K classes. An image that several folds test is there once per fold."""

    classes: list[str]
    labels: np.ndarray  # int [N], indices into classes
    probabilities: np.ndarray  # float [N, K]
    folds: np.ndarray  # int [N]
    groups: np.ndarray  # int [N], of dedupe: what is not independent of one another

    @classmethod
    def from_table(cls, table: pd.DataFrame, group_of: pd.Series) -> "Predictions":
        """The rows of a table of evaluate's, in its order; group_of: by image_id. Exits where an image has no group."""
        classes = class_names(table)
        groups = table.image_id.map(group_of)
        if groups.isna().any():
            raise SystemExit(f"{CLUSTERS} does not know all images of the predictions: run `dvc repro`")
        return cls(
            classes=classes,
            labels=table.label.map({name: k for k, name in enumerate(classes)}).to_numpy(int),
            probabilities=table[[f"p_{name}" for name in classes]].to_numpy(float),
            folds=table.fold.to_numpy(int),
            groups=groups.to_numpy(int),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Predictions":
        """Some of them: bool [N], or indices."""
        return Predictions(self.classes, self.labels[rows], self.probabilities[rows], self.folds[rows], self.groups[rows])


def class_names(table: pd.DataFrame) -> list[str]:
    """The classes K, in the order of the columns p_<class>."""
    return [column.removeprefix("p_") for column in table if column.startswith("p_")]

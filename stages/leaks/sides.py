"""Training and test sides: the published folders, and the three ways of splitting that are compared."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.copies import seen
from stages.params import Split
from stages.protocols import make_folds

SPLITS = {
    "naive": {"group_by": "none", "distinct": False},  # every file is a picture of its own
    "distinct": {"group_by": "none", "distinct": True},  # one copy of each picture, patients on both sides
    "patient": {"group_by": "patient", "distinct": True},
}


@dataclass(frozen=True)
class Side:
    """The row numbers of the training and of the test pictures."""

    train: np.ndarray
    test: np.ndarray

    def without_copies(self, table: pd.DataFrame) -> "Side":
        """The same test pictures, and of the training pictures those that are no copy of one."""
        return Side(self.train[~self._copies(table)], self.test)

    def without_others(self, table: pd.DataFrame, seed: int) -> "Side":
        """The copies stay, and as many distinct pictures a class leave that are none, at random: the control for a smaller training."""
        rng = np.random.default_rng(seed)
        distinct = pd.DataFrame({"cluster": table.cluster[self.train], "label": table.label[self.train], "copy": self._copies(table)})
        gone = []
        for _, pictures in distinct.drop_duplicates("cluster").groupby("label"):
            others = pictures.cluster[~pictures["copy"]].to_numpy(int)
            gone += rng.choice(others, min(len(others), int(pictures["copy"].sum())), replace=False).tolist()
        return Side(self.train[~table.cluster[self.train].isin(gone).to_numpy(bool)], self.test)

    def _copies(self, table: pd.DataFrame) -> np.ndarray:
        return table.cluster[self.train].isin(table.cluster[self.test]).to_numpy(bool)


def published_side(rows: pd.DataFrame) -> Side | None:
    """The author's own folders; None where there are not two."""
    train, test = (rows.index[rows.published_split == side].to_numpy() for side in ("train", "test"))
    return Side(train, test) if len(train) and len(test) else None


def split_sides(table: pd.DataFrame, params: Split, choice: dict) -> list[Side]:
    """Cross-validation by one of SPLITS, of all planes, placed as the split stage would place it; validation counts as training."""
    params = params.model_copy(
        update={"protocol": "kfold", "augmented": False, "within": None, "train_planes": [], "test_planes": [], **choice}
    )
    unit = table.group if params.group_by == "patient" else pd.Series(range(len(table)))
    folds, _ = make_folds(table.assign(unit=unit), params)
    row = pd.Series(table.index, index=table.image_id)[folds.image_id].to_numpy()
    test = (folds.role == "test").to_numpy(bool)
    return [Side(row[mine & ~test], row[mine & test]) for mine in ((folds.fold == fold).to_numpy(bool) for fold in folds.fold.unique())]


def look(table: pd.DataFrame, sides: list[Side]) -> pd.DataFrame:
    """What training has seen of every test picture, side after side: the columns of copies.seen, fold and name (of the patient)."""
    found = [seen(table.loc[side.test], table.loc[side.train]).assign(fold=fold) for fold, side in enumerate(sides)]
    found = pd.concat(found)
    return found.assign(name=table.patient[found.index])

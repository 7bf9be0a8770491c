"""How many copies a set holds, what it shares with other sets, and how much of its test pictures its training pictures hold."""

import numpy as np
import pandas as pd

from stages.copies import KINDS, between, describe

# The least changed first: where training holds several copies of a test picture, the closest says how it could have been found.
CLOSEST = ("exact", "reencoded", "brightened", "resized", "squashed", "cropped", "mirrored", "flipped", "rotated", "turned", "inverted")


def count_copies(rows: pd.DataFrame, table: pd.DataFrame, thumbnails: np.ndarray) -> dict[str, int]:
    """Kind -> pictures of a set that differ in this way from the one of their cluster that the set would keep: dedupe's choice, or its first."""
    ordered = rows.sort_values(["cluster", "kept", "image_id"], ascending=[True, False, True])
    reference = ordered.index.to_series().groupby(ordered.cluster).transform("first").to_numpy()
    copies = ordered.index.to_numpy() != reference
    return _by_kind(_kinds(table, ordered.index.to_numpy()[copies], reference[copies], thumbnails))


def shared(rows: pd.DataFrame, others: pd.DataFrame) -> dict[str, dict]:
    """Other set -> how many of these pictures, files and distinct ones, it holds too."""
    result = {}
    for name, other in others.groupby("source"):
        held = rows.cluster.isin(other.cluster)
        result[name] = {"pictures": int(held.sum()), "share": float(held.mean()), "distinct": rows.cluster[held].nunique()}
    return result


def published_pairs(own: pd.DataFrame, table: pd.DataFrame, thumbnails: np.ndarray) -> pd.DataFrame:
    """Every published test picture beside every copy of it in a published training folder, of its own set or another.

    Returns test and train (row numbers), test_source, train_source and kind: how the test picture differs.
    """
    rows = own.reset_index(names="row")[["row", "source", "cluster", "published_split"]]
    sides = [rows[rows.published_split == side].drop(columns="published_split") for side in ("test", "train")]
    pairs = sides[0].merge(sides[1], on="cluster", suffixes=("_test", "_train"))
    pairs = pairs.rename(columns={"row_test": "test", "row_train": "train", "source_test": "test_source", "source_train": "train_source"})
    return pairs.assign(kind=_kinds(table, pairs.test.to_numpy(int), pairs.train.to_numpy(int), thumbnails))


def closest(pairs: pd.DataFrame) -> dict[str, int]:
    """Kind -> test pictures whose least changed copy in training is of that kind."""
    rank = pairs.kind.map(CLOSEST.index)
    return _by_kind(pairs.loc[rank.groupby(pairs.test).idxmin(), "kind"])


def tally(found: pd.DataFrame) -> dict:
    """Counts and shares of what sides.look found, and the patients; over several folds, their sums."""
    patients = found[found.name != ""].groupby(["fold", "name"]).patient.any()
    columns = ["file", "picture", "group"]
    return {
        "test": len(found),
        "in_training": found[columns].sum().to_dict(),
        "share": found[columns].mean().to_dict(),
        "patients": {
            "test": len(patients),
            "in_training": int(patients.sum()),
            "test_pictures": int((found.name != "").sum()),
            "test_pictures_in_training": int(found.patient.sum()),
        },
    }


def _kinds(table: pd.DataFrame, rows: np.ndarray, reference: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    orientation = table.orientation.to_numpy(object)
    return describe(table, rows, reference, between(orientation[rows], orientation[reference]), thumbnails)


def _by_kind(kinds) -> dict[str, int]:
    counts = pd.Series(kinds, dtype=object).value_counts()
    return {kind: int(counts.get(kind, 0)) for kind in KINDS}

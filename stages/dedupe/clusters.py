"""OnDisk that are the same, pictures that must stay together, and in which way a copy differs from the one that is kept."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.copies import describe
from stages.dedupe.on_disk import OnDisk


def join(count: int, *edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Connected components [count] of rows joined by edges (two arrays of row numbers); numbered by first appearance."""
    first, second = (np.concatenate(side) for side in zip(*edges, strict=True))
    _, component = connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(count, count)), directed=False)
    return pd.factorize(component)[0]


def same_value(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Edges that join the rows of equal, non-empty values."""
    rows = np.flatnonzero(values != "")
    value, _ = pd.factorize(values.iloc[rows])
    _, first = np.unique(value, return_index=True)
    return rows[first[value]], rows


def choose_kept(catalog: pd.DataFrame, cluster: np.ndarray, on_conflict: str) -> tuple[np.ndarray, pd.DataFrame]:
    """One picture to keep a cluster: the largest, the first by image_id among equals.

    Augmented copies are never kept, and of a cluster under several labels only what on_conflict allows. Returns a
    boolean array and the conflicting rows of the catalog with their cluster.
    """
    table = catalog[["image_id", "label"]].assign(cluster=cluster, pixels=catalog.width * catalog.height)
    table = table[(catalog.augmented_from == "").to_numpy()]
    votes = table.groupby(["cluster", "label"]).size().reset_index(name="votes")
    labels = votes.groupby("cluster").label.transform("size")
    conflicts = table[table.cluster.isin(votes.cluster[labels > 1])]
    if len(conflicts) and on_conflict == "error":
        rows = conflicts.sort_values(["cluster", "image_id"]).itertuples()
        lines = "".join(f"\n  cluster {row.cluster}: {row.label:12} {row.image_id}" for row in rows)
        raise SystemExit(f"The same picture occurs under several labels (dedupe.on_conflict: drop or majority would go on):{lines}")

    most = votes.groupby("cluster").votes.transform("max")
    winners = votes[votes.votes == most].drop_duplicates("cluster", keep=False)  # a tie has no majority
    if on_conflict == "drop":
        winners = winners[~winners.cluster.isin(conflicts.cluster)]
    candidates = table.reset_index().merge(winners[["cluster", "label"]])
    candidates = candidates.sort_values(["cluster", "pixels", "image_id"], ascending=[True, False, True])
    kept = np.zeros(len(catalog), bool)
    kept[candidates.drop_duplicates("cluster")["index"]] = True
    return kept, conflicts[["image_id", "label", "cluster"]].sort_values(["cluster", "image_id"])


def describe_copies(
    catalog: pd.DataFrame, cluster: np.ndarray, kept: np.ndarray, thumbnails: OnDisk, heads: OnDisk, same: float
) -> tuple[np.ndarray, np.ndarray]:
    """How every row differs from its cluster's reference: the kept picture, or the first row where none is kept.

    Returns copy (original, augmented, or one of copies.KINDS) and orientation (a key of copies.ORIENTATIONS), both [N].
    """
    order = np.lexsort((np.arange(len(catalog)), ~kept, cluster))
    reference = order[np.searchsorted(cluster[order], cluster)]
    copies = np.flatnonzero(reference != np.arange(len(catalog)))
    kind, orientation = np.full(len(catalog), "original", object), np.full(len(catalog), "", object)
    kind[copies], orientation[copies] = describe(catalog, copies, reference[copies], thumbnails, heads, same)
    kind[catalog.augmented_from.to_numpy() != ""] = "augmented"
    return kind, orientation

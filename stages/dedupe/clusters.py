"""Pictures that are the same, pictures that must stay together, and in which way a copy differs from the one that is kept."""

import numpy as np
import pandas as pd

from stages.copies import KINDS, ORIENTATIONS, best_orientation, between, describe
from stages.dedupe.on_disk import OnDisk

BLOCK = 1 << 16  # copies described, and edges joined, at a time


def join(count: int, *edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Connected components int32 [count] of rows joined by edges (two arrays of row numbers); numbered by first appearance.

    Disjoint sets in one array (Galler and Fisher, "An improved equivalence algorithm", 1964), with path halving, many edges at a time.
    """
    before = np.arange(count, dtype=np.int32)  # of each row, one before it in its component; itself, if it is the first
    for first, second in edges:
        for start in range(0, len(first), BLOCK):
            one, other = first[start : start + BLOCK], second[start : start + BLOCK]
            while len(one):
                one, other = _first_of(before, one), _first_of(before, other)
                apart = one != other
                one, other = one[apart], other[apart]
                np.minimum.at(before, np.maximum(one, other), np.minimum(one, other))

    number = np.cumsum(before == np.arange(count), dtype=np.int32) - 1
    return np.concatenate([number[_first_of(before, np.arange(i, min(i + BLOCK, count)))] for i in range(0, count, BLOCK)] or [number])


def _first_of(before: np.ndarray, rows: np.ndarray) -> np.ndarray:
    while True:
        nearer = before[before[rows]]
        if (nearer == rows).all():
            return rows
        before[rows] = nearer
        rows = nearer


def same_value(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges int32 that join the rows of equal small numbers; a negative one joins nothing."""
    rows = np.flatnonzero(values >= 0).astype(np.int32)
    values = values[rows]
    first = rows[_first_row(values)[values]]
    return first[first != rows], rows[first != rows]


def _first_row(values: np.ndarray) -> np.ndarray:
    """The first row, int32, of each number from 0 to the largest."""
    first = np.full(values.max(initial=-1) + 1, len(values) - 1, np.int32)
    np.minimum.at(first, values, np.arange(len(values), dtype=np.int32))
    return first


def choose_kept(catalog: pd.DataFrame, cluster: np.ndarray, on_conflict: str) -> tuple[np.ndarray, pd.DataFrame]:
    """One picture to keep a cluster: the largest, the first by image_id among equals, which is the order of the catalog.

    Augmented copies are never kept, and of a cluster under several labels only what on_conflict allows. Returns a
    boolean array [N], and label and cluster of the pictures of such clusters by row.
    """
    own = ~catalog.augmented.to_numpy()
    kept = own & (np.bincount(cluster[own], minlength=len(catalog))[cluster] == 1)
    several = own & ~kept
    table = pd.DataFrame({"row": np.flatnonzero(several), "label": catalog.label[several].array, "cluster": cluster[several]})
    table["pixels"] = (catalog.width[several].astype(np.int64) * catalog.height[several]).to_numpy()

    votes = table.groupby(["cluster", "label"], observed=True).size().reset_index(name="votes")
    labels = votes.groupby("cluster").label.transform("size")
    conflicts = table[table.cluster.isin(votes.cluster[labels > 1])]
    most = votes.groupby("cluster").votes.transform("max")
    winners = votes[votes.votes == most].drop_duplicates("cluster", keep=False)  # a tie has no majority
    if on_conflict == "drop":
        winners = winners[~winners.cluster.isin(conflicts.cluster)]
    candidates = table.merge(winners[["cluster", "label"]])
    candidates = candidates.sort_values(["cluster", "pixels", "row"], ascending=[True, False, True])
    kept[candidates.drop_duplicates("cluster").row] = True
    return kept, conflicts.sort_values(["cluster", "row"]).set_index("row")[["label", "cluster"]]


def describe_copies(
    catalog: pd.DataFrame, cluster: np.ndarray, kept: np.ndarray, searched: np.ndarray, orientation: np.ndarray, thumbnails: OnDisk
) -> tuple[pd.Categorical, pd.Categorical]:
    """How every row differs from its cluster's reference: the kept picture, or the first row where none is kept.

    searched: rows, one for the files of the same bytes; orientation: int [of these], in which each is to the others of its cluster. Returns copy (original,
    augmented, or one of copies.KINDS) and orientation (a key of copies.ORIENTATIONS), both [N].
    """
    reference = _first_row(cluster)
    own = np.flatnonzero(~catalog.augmented)[::-1]
    reference[cluster[own]] = own
    reference[cluster[kept]] = np.flatnonzero(kept)
    reference = reference[cluster]
    names = np.array(list(ORIENTATIONS), object)
    by_bytes = np.zeros(catalog.sha256.max() + 1, np.int8)
    by_bytes[catalog.sha256.to_numpy()[searched]] = orientation
    turned = by_bytes[catalog.sha256.to_numpy()]

    kinds = ["original", "augmented", *KINDS]
    found = np.zeros((2, len(catalog)), np.int8)
    copies = np.flatnonzero(reference != np.arange(len(catalog)))
    for start in range(0, len(copies), BLOCK):
        rows = copies[start : start + BLOCK]
        to = reference[rows]
        how = np.where(catalog.augmented[rows], best_orientation(thumbnails, rows, to), between(names[turned[rows]], names[turned[to]]))
        for codes, values, known in zip(found, (describe(catalog, rows, to, how, thumbnails), how), (kinds, names), strict=True):
            codes[rows] = pd.Categorical(values, known).codes
    found[0][catalog.augmented] = kinds.index("augmented")
    return pd.Categorical.from_codes(found[0], kinds), pd.Categorical.from_codes(found[1], names)

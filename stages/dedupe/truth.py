"""How right the clusters are where it is known which slice a picture shows: recall and precision of pairs."""

from itertools import combinations

import numpy as np
import pandas as pd

from stages.copies import KINDS, ORIENTATIONS, best_orientation, between, describe
from stages.dedupe.on_disk import OnDisk


def compare_with_truth(
    catalog: pd.DataFrame, cluster: np.ndarray, searched: np.ndarray, orientation: np.ndarray, thumbnails: OnDisk
) -> dict | None:
    """Pairs of different files whose slice is known (the catalog's column slice), against clusters; None where none is.

    orientation: int [of searched], in which each is to the others of its cluster; how a pair that was not found is turned, thumbnails have to tell.
    recall: of the pairs that show the same slice, the share in one cluster, also by how the two differ; precision: of the pairs in one cluster, the share
    that shows the same slice.
    """
    known = catalog["slice"].cat.codes.to_numpy()[searched] > 0
    rows, turned = searched[known], np.array(list(ORIENTATIONS), object)[orientation[known]]
    slices, clusters = catalog["slice"].cat.codes.to_numpy()[rows], cluster[rows]
    same, called = _pairs(slices), _pairs(clusters)
    if not len(same):
        return None
    first, second = rows[same[:, 0]], rows[same[:, 1]]
    found = cluster[first] == cluster[second]
    turn = np.where(found, between(turned[same[:, 1]], turned[same[:, 0]]), best_orientation(thumbnails, second, first))
    kinds = describe(catalog, second, first, turn, thumbnails)
    wrong = slices[called[:, 0]] != slices[called[:, 1]]
    return {
        "pictures": len(rows),
        "slices": len(np.unique(slices)),
        "pairs": len(same),
        "recall": float(found.mean()),
        "precision": float(1 - wrong.mean()) if len(called) else None,
        "wrong_pairs": int(wrong.sum()),
        "by_kind": {
            kind: {"pairs": int((kinds == kind).sum()), "recall": float(found[kinds == kind].mean())}
            for kind in KINDS
            if (kinds == kind).any()
        },
    }


def _pairs(values: np.ndarray) -> np.ndarray:
    """Numbers [P, 2] of all pairs of equal values."""
    pairs = [pair for numbers in pd.Series(range(len(values))).groupby(values).apply(list) for pair in combinations(numbers, 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)

"""Clusters without chains: a picture is a copy only if it is one of the picture that its cluster keeps, never of another copy alone."""

from collections.abc import Callable

import numpy as np

SINGLE = 3  # rounds in which a picture is compared with one other only: most copies are found then, and copies need no more comparisons


def find_stars(
    later: np.ndarray, earlier: np.ndarray, copy_of: np.ndarray, compare: Callable[[np.ndarray], np.ndarray], thoroughly: bool = True
) -> np.ndarray:
    """Make each picture a copy of the first one before it that it is the same as and that is no copy itself.

    later, earlier: int [P], ranks of the pictures of candidate pairs, earlier < later; copy_of: int [N], for each rank that of the picture that it is
    known to be a copy of, or -1; compare: whether the pairs of some numbers are the same picture, bool. Returns copy_of for all.

    The result is that of going through the pictures one after another, and pairs are compared only if it may depend on them, but many at a
    time. Unless thoroughly, only the SINGLE rounds: what they leave undecided is no copy.
    """
    order = np.lexsort((earlier, later))
    later, earlier, copy_of = later[order], earlier[order], copy_of.copy()
    tested, same = np.zeros((2, len(order)), bool)
    rounds = 0
    while True:
        _settle(later, earlier, copy_of, tested, same)
        open_pairs = np.flatnonzero(~tested & (copy_of[later] < 0) & (copy_of[earlier] < 0))
        if not len(open_pairs) or (rounds == SINGLE and not thoroughly):
            return copy_of
        if rounds < SINGLE:
            open_pairs = open_pairs[np.unique(later[open_pairs], return_index=True)[1]]
        same[open_pairs], tested[open_pairs] = compare(order[open_pairs]), True
        rounds += 1


def _settle(later: np.ndarray, earlier: np.ndarray, copy_of: np.ndarray, tested: np.ndarray, same: np.ndarray) -> None:
    """Note in copy_of what follows from the pairs tested so far."""
    while True:
        # What a picture may still be a copy of, first of all: the pairs of each lie one after another.
        undecided = np.flatnonzero((copy_of[later] < 0) & (copy_of[earlier] < 0) & (same | ~tested))
        first = undecided[np.unique(later[undecided], return_index=True)[1]]
        alone = copy_of < 0
        alone[later[undecided]] = False
        found = first[same[first] & alone[earlier[first]]]
        if not len(found):
            return
        copy_of[later[found]] = earlier[found]

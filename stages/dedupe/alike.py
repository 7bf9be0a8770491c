"""Which pictures are copies of which, and which are alike: candidates are searched for, compared in detail, and gathered around what is kept."""

from typing import NamedTuple

import numpy as np

from stages.dedupe import register
from stages.dedupe.describe import SIDE
from stages.dedupe.pictures import Pictures
from stages.dedupe.search import nearest
from stages.dedupe.stars import find_stars
from stages.dedupe.views import Views, chosen, parts_of_heads, whole_and_head
from stages.params import Dedupe

# How many candidates a picture has at most, and how like it they are at least: among all; and, where these are not too many, among those that are no
# copies so far, and among what is then left, where parts of heads are looked at as well.
AMONG_ALL, AMONG_REST, AMONG_PARTS = (6, 0.94), (6, 0.84), (10, 0.8)


class Alike(NamedTuple):
    """copy_of: int [N], what each picture is a copy of, itself where it is none; orientation: int [N], the number of the one by which that was turned
    to become the copy; and of all pairs that were compared, [P]: first, second, agreement, worst and displacement as in register.Comparison.
    """

    copy_of: np.ndarray
    orientation: np.ndarray
    first: np.ndarray
    second: np.ndarray
    agreement: np.ndarray
    worst: np.ndarray
    displacement: np.ndarray


def find_alike(pictures: Pictures, sides: np.ndarray, patient: np.ndarray, params: Dedupe) -> Alike:
    """Compare pictures with what may be the same.

    sides: int [N, 2], pixels as stored: the larger is kept, the first among equals; patient: int [N], 0 where it is unknown.
    """
    count = len(sides)
    order = np.lexsort((np.arange(count), -sides.prod(1)))  # pictures by rank
    search = _Search(pictures, order, np.maximum(SIDE / sides.min(1), 1), patient, params)
    if count:
        views, thorough = whole_and_head(pictures), count <= params.exact_search_up_to
        search.gather(views, *AMONG_ALL, "search", thoroughly=not thorough)
        if thorough:
            search.gather(chosen(views, search.alone()), *AMONG_REST, "search the rest")
            search.gather(chosen(views, search.alone()), *AMONG_REST, "search again")
            search.gather(parts_of_heads(pictures, search.alone()), *AMONG_PARTS, "search parts")
        search.look_again()
    copies = np.flatnonzero(search.copy_of >= 0)
    copy_of, orientation = np.arange(count), np.zeros(count, np.int8)
    copy_of[order[copies]] = order[search.copy_of[copies]]
    orientation[order[copies]] = [register.orientation(np.linalg.inv(matrix)) for matrix in search.matrices[copies]]
    return Alike(copy_of, orientation, *(np.concatenate(column) for column in zip(*search.compared, strict=True)))


class _Search:
    """What is known so far; pictures go by their rank."""

    def __init__(self, pictures: Pictures, order: np.ndarray, grain: np.ndarray, patient: np.ndarray, params: Dedupe):
        self.pictures, self.order, self.grain, self.patient, self.params = pictures, order, grain, patient, params
        self.copy_of = np.full(len(order), -1)
        self.matrices = np.zeros((len(order), 3, 3))  # of a copy: positions in what it is a copy of -> in itself
        self.different = np.empty(0, np.int64)  # pairs that need no further comparison
        self.compared = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))]

    def alone(self) -> np.ndarray:
        """The pictures that are no copies so far."""
        return np.sort(self.order[self.copy_of < 0])

    def gather(self, views: Views, most: int, likeness: float, name: str, thoroughly: bool = True) -> None:
        """Search by views and note which are copies; most, likeness and name as for nearest, thoroughly as for find_stars."""
        pairs = nearest(views, self.patient[views.pictures], most, likeness, len(self.order) <= self.params.exact_search_up_to, name)
        rank = np.argsort(self.order)[views.pictures]
        looked, found = rank[pairs["first"]], rank[pairs["second"]]
        starts = np.empty((len(pairs), 3, 3))
        boxes = views.boxes[pairs["first"], pairs.view], views.boxes[pairs["second"], pairs.other]
        for k, (one, other, turn) in enumerate(zip(*boxes, pairs.orientation, strict=True)):
            start = register.place(turn, one, other)
            starts[k] = start if looked[k] > found[k] else np.linalg.inv(start)
        later, earlier = np.maximum(looked, found), np.minimum(looked, found)
        keys = later * len(self.order) + earlier
        new = ~np.isin(keys, self.different)
        later, earlier, starts = later[new], earlier[new], starts[new]
        before = self.copy_of
        self.copy_of = find_stars(later, earlier, before, lambda some: self.compare(later, earlier, starts, some), thoroughly)
        keys, of = later * len(self.order) + earlier, np.flatnonzero((before < 0) & (self.copy_of >= 0))
        by_key = np.argsort(keys)
        self.matrices[of] = starts[by_key[np.searchsorted(keys[by_key], of * len(self.order) + self.copy_of[of])]]

    def compare(self, later: np.ndarray, earlier: np.ndarray, starts: np.ndarray, some: np.ndarray) -> np.ndarray:
        """Whether the pairs of some numbers are the same, bool; in place of their starts stands then how they lie over each other."""
        later, earlier = later[some], earlier[some]
        first, second = self.order[later], self.order[earlier]
        compared = self.pictures.compare(first, second, starts[some], self.params.same, np.maximum(self.grain[first], self.grain[second]))
        starts[some] = np.array([comparison.matrix for comparison in compared]).reshape(-1, 3, 3)
        numbers = np.array([(found.agreement, found.worst, found.displacement) for found in compared]).reshape(-1, 3)
        self.compared.append((first, second, *numbers.T))
        same = np.array([comparison.is_same(self.params.same) for comparison in compared], bool)
        self.different = np.append(self.different, (later * len(self.order) + earlier)[~same])
        return same

    def look_again(self) -> None:
        """Compare copies of what turned out to be a copy itself with what that is one of; no copy is one by way of another."""
        while len(through := np.flatnonzero((self.copy_of >= 0) & (self.copy_of[self.copy_of] >= 0))):
            between = self.copy_of[through]
            kept = self.copy_of[between]
            starts = self.matrices[through] @ self.matrices[between]
            same = self.compare(through, kept, starts, np.arange(len(through)))
            self.copy_of[through], self.matrices[through] = np.where(same, kept, -1), starts

"""Which pictures are copies of which, and which are alike: candidates are searched for, compared in detail, and gathered around what is kept."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from stages.dedupe import register
from stages.dedupe.describe import SIDE, thumbnail
from stages.dedupe.descriptors import SIZE, WINDOWS, describe_parts
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.pictures import SCRATCH, Pictures
from stages.dedupe.search import nearest
from stages.dedupe.stars import find_stars
from stages.params import Dedupe

WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
# How many candidates a picture has at most, and how like it they are at least: among all; and, where these are not too many, among those that are no
# copies so far, where parts of heads are looked at as well.
AMONG_ALL, LIKE_ALL = 6, 0.94
AMONG_REST, LIKE_REST = 6, 0.84
COARSE = 1.25  # pixels of a detail for one as stored, from which displacements count in those
FILLED = 0.6  # share of a picture that its head takes, from which it may be cut
BLOCK = 256  # pictures whose parts are described at once


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
    grain = SIDE / sides.min(1)
    search = _Search(pictures, order, np.where(grain > COARSE, grain, 1), patient, params)
    if count:
        entries, views, thorough = pictures.descriptors, np.arange(2 * count), count <= params.exact_search_up_to
        search.gather(entries, views // 2, views, _boxes(pictures.heads), AMONG_ALL, LIKE_ALL, "search", thoroughly=not thorough)
        if thorough:
            rest = np.sort(order[search.copy_of < 0])
            views = np.stack([2 * rest, 2 * rest + 1], 1).ravel()
            boxes = _boxes(pictures.heads[rest])
            search.gather(entries[views], views // 2, np.arange(len(views)), boxes, AMONG_REST, LIKE_REST, "search the rest")
            search.gather(*_parts(pictures, np.sort(order[search.copy_of < 0])), AMONG_REST, LIKE_REST, "search parts")
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

    def gather(
        self,
        entries: np.ndarray | OnDisk,
        owners: np.ndarray,
        looked_for: np.ndarray,
        boxes: np.ndarray,
        most: int,
        likeness: float,
        name: str,
        thoroughly: bool = True,
    ) -> None:
        """Search by descriptors, of the boxes [E, 4] of pictures (owners), and note which are copies; arguments as those of nearest and find_stars."""
        exhaustively = len(self.order) <= self.params.exact_search_up_to
        pairs = nearest(entries, owners, looked_for, self.patient, most, likeness, exhaustively, name)
        rank = np.argsort(self.order)
        looked, found = rank[owners[pairs.looked]], rank[owners[pairs.found]]
        starts = np.empty((len(pairs), 3, 3))
        for k, (one, other, turn) in enumerate(zip(boxes[pairs.looked], boxes[pairs.found], pairs.orientation, strict=True)):
            start = register.place(turn, one, other)
            starts[k] = start if looked[k] > found[k] else np.linalg.inv(start)
        later, earlier = np.maximum(looked, found), np.minimum(looked, found)
        keys = later * len(rank) + earlier
        new = ~np.isin(keys, self.different)
        later, earlier, starts = later[new], earlier[new], starts[new]
        before = self.copy_of
        self.copy_of = find_stars(later, earlier, before, lambda some: self.compare(later, earlier, starts, some), thoroughly)
        keys, of = later * len(rank) + earlier, np.flatnonzero((before < 0) & (self.copy_of >= 0))
        by_key = np.argsort(keys)
        self.matrices[of] = starts[by_key[np.searchsorted(keys[by_key], of * len(rank) + self.copy_of[of])]]

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


def _boxes(heads: np.ndarray) -> np.ndarray:
    """[2 N, 4]: all of each picture and its head, in shares of its sides."""
    return np.stack([np.broadcast_to(WHOLE, heads.shape), heads], 1).reshape(-1, 4)


def _parts(pictures: Pictures, numbers: np.ndarray) -> tuple[np.ndarray | OnDisk, np.ndarray, np.ndarray, np.ndarray]:
    """Descriptors, owners, which of them to look for and boxes of some pictures: all of each, and all parts of its head.

    One of each is looked for: the head, but all of a picture that is filled by it, since it may be cut.
    """
    count = 1 + len(WINDOWS)
    entries = OnDisk.create(SCRATCH / "parts.npy", (len(numbers) * count, SIZE), np.uint8)
    for start in tqdm(range(0, len(numbers), BLOCK), unit=f" x {BLOCK}", desc="dedupe: parts", disable=None):
        some = numbers[start : start + BLOCK]
        parts = [describe_parts(thumbnail(detail, head)) for detail, head in zip(pictures.load(some), pictures.heads[some], strict=True)]
        block = np.concatenate([pictures.descriptors[2 * some][:, None], np.stack(parts)], 1)
        entries[start * count : (start + len(some)) * count] = block.reshape(-1, SIZE)
    heads = pictures.heads[numbers]
    corner, extent = heads[:, [0, 1, 0, 1]], np.tile(heads[:, [2, 3]] - heads[:, [0, 1]], 2)
    boxes = np.concatenate([np.broadcast_to(WHOLE, (len(numbers), 1, 4)), corner[:, None] + extent[:, None] * np.array(WINDOWS)], 1)
    looked_for = np.arange(len(numbers)) * count + (extent[:, 0] * extent[:, 1] < FILLED)
    return entries, np.repeat(numbers, count), looked_for, boxes.reshape(-1, 4)

"""The pictures that are searched: looked at once each, and compared in pairs, on all cores."""

import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.archives import read_stored
from stages.dedupe.compact import Places
from stages.dedupe.describe import SIDE, detail_of, look_at
from stages.dedupe.descriptors import SIZE
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.register import Comparison, compare

SCRATCH = Path(".scratch/dedupe")
CHUNK = 64  # pictures or pairs that a process is given at a time
AHEAD = 4 * (os.cpu_count() or 1)  # of these, what the processes are given
RECENT = 512  # details that a process remembers where they are not kept


class Pictures:
    """Pictures by number, 0 to N - 1, in the order of their places.

    details: uint8 [N, SIDE, SIDE], or None: they take a scratch file, and where that would be larger than so many bytes (kept) they are decoded
    again when they are compared. Once looked at: descriptors, uint8 [N, 2, SIZE], of each picture as a whole and of its head alone, and
    heads, float64 [N, 4], left, top, right and bottom in shares of the sides. The arrays are on the disk, heads apart.
    """

    def __init__(self, places: Places, kept: float):
        self._places, count = places, len(places)
        shutil.rmtree(SCRATCH, ignore_errors=True)  # what a kill left there
        self.details = OnDisk.create(SCRATCH / "details.npy", (count, SIDE, SIDE), np.uint8) if count * SIDE**2 <= kept else None
        self.descriptors = OnDisk.create(SCRATCH / "descriptors.npy", (count, 2, SIZE), np.uint8)
        self.heads = np.zeros((count, 4))

    def __enter__(self) -> "Pictures":
        self._pool = ProcessPoolExecutor(os.cpu_count(), initializer=_begin, initargs=(self.details,))
        parts = [range(start, min(start + CHUNK, len(self._places))) for start in range(0, len(self._places), CHUNK)]
        looks = self._side_by_side(_look, ((part, self._places[part]) for part in parts), total=len(parts), desc="dedupe: look")
        for part, (heads, descriptors) in zip(parts, looks, strict=True):
            self.heads[part], self.descriptors[part.start : part.stop] = heads, descriptors
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(SCRATCH, ignore_errors=True)

    def load(self, numbers: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """The details of some pictures."""
        return self.details[numbers] if self.details else [detail_of(read_stored(*place)) for place in self._places[numbers]]

    def compare(self, first: np.ndarray, second: np.ndarray, starts: np.ndarray, least: float, grain: np.ndarray) -> list[Comparison]:
        """register.compare for pairs of pictures [P], each from a start [3, 3] and with its grain."""
        parts = [slice(start, start + CHUNK) for start in range(0, len(first), CHUNK)]
        pairs = ((first[p], second[p], self._places[first[p]], self._places[second[p]], starts[p], least, grain[p]) for p in parts)
        compared = self._side_by_side(_compare, pairs, total=len(parts), desc="dedupe: compare")
        return [comparison for some in compared for comparison in some]

    def _side_by_side(self, function: Callable, calls: Iterator[tuple], total: int, desc: str) -> Iterator:
        """What the processes return, in turn. The pool's own map would take all calls at once, and a million pictures are many bytes."""
        waiting: deque = deque()
        for arguments in tqdm(calls, total=total, unit=f" x {CHUNK}", desc=desc, disable=None):
            waiting.append(self._pool.submit(function, *arguments))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def _begin(details: OnDisk | None) -> None:
    global _details
    _details = details
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one


def _look(numbers: range, places: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    looks = [look_at(read_stored(*place)) for place in places]
    if _details:
        _details[numbers.start : numbers.stop] = np.stack([look.detail for look in looks])
    return np.stack([look.head for look in looks]), np.stack([look.descriptors for look in looks])


def _compare(
    first: np.ndarray,
    second: np.ndarray,
    first_places: list[tuple],
    second_places: list[tuple],
    starts: np.ndarray,
    least: float,
    grain: np.ndarray,
) -> list[Comparison]:
    one, other = _load(first, first_places), _load(second, second_places)
    return [compare(*pair, least, coarseness) for *pair, coarseness in zip(one, other, starts, grain, strict=True)]


def _load(numbers: np.ndarray, places: list[tuple]) -> np.ndarray | list[np.ndarray]:
    return _details[numbers] if _details else [_decode(place) for place in places]


@lru_cache(RECENT)
def _decode(place: tuple) -> np.ndarray:
    return detail_of(read_stored(*place))

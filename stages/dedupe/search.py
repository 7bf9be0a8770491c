"""Find all pairs of pictures that correlate above a threshold, in any of the four orientations.

The correlation of two thumbnails is the product of their centred and normalised pixels, and as well of their cosine transforms. Low
frequencies are multiplied; of the others the length is enough, since no product of two vectors is above that of their lengths. So the search
misses nothing, and only what it finds is compared in full. Mirroring a picture changes the sign of every second coefficient: products by
classes of even and odd coefficients, added up with signs, are those of all orientations at the cost of one.

Of many pictures each is compared with those in the cells around it only. A cell holds what is nearest to one of some pictures drawn as
centres, by the sizes of the lowest coefficients, which no mirroring changes; the cells around a picture are found by a graph over the centres
(Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs", 2018).
Neither the pictures in a cell nor the cells that are looked into become more with the pictures, so time grows as n log n. A pair is missed
only if neither of its two pictures meets the other. On the disk pictures lie cell after cell, so that those which look into one are
neighbours there.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from scipy.fft import dct
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from stages.copies import ORIENTATIONS, correlate, normalised
from stages.dedupe.on_disk import OnDisk, Room

SIDE = 16  # of the block of low frequencies
CLASS = (SIDE // 2) ** 2  # coefficients of one parity along y and x
LOWEST = 6  # a side, of each class: what tells cells apart
CELL = 64  # pictures a cell, on average
PROBES = 64  # cells that a picture is compared with
LINKS = 32  # of a centre in the graph
BLOCK = 1024  # pictures a step: bounds the memory whatever the number of pictures
SCATTERED = 256  # pictures fetched at a time from all over a file: with each the system maps what lies around it
PAIRS = 1 << 14  # pairs compared in full a step
VISITS = 1 << 22  # of cells by pictures, sorted at a time
SCANNED = 1 << 15  # pictures looked through for them at a time
SCRATCH = Path(".scratch/dedupe")
SIGNS = np.array([[1, x, y, x * y] for y, x in ORIENTATIONS.values()], np.float32)  # of the classes (even, even), (even, odd), ...

Array = np.ndarray | OnDisk


def similar_pairs(thumbnails: Array, threshold: float, exact_up_to: int, room: float, name: str) -> pd.DataFrame:
    """All pairs of uint8 thumbnails [N, S, S] with a Pearson correlation of at least threshold in some orientation.

    Returns first < second (row numbers, int32), orientation (a key of ORIENTATIONS, the best one) and correlation. Up to
    exact_up_to pictures each is compared with each; beyond, with those in the cells around it. Coefficients and cells that would take
    more than room (bytes) lie in scratch files.
    """
    blocks = range(0, len(thumbnails), BLOCK)
    # Pictures of one grey level resemble nothing, but each would be compared with each.
    varied = [np.int32(i + np.flatnonzero(np.ptp(thumbnails[i : i + BLOCK], (1, 2)))) for i in blocks]
    varied = np.concatenate([np.empty(0, np.int32), *varied])
    count = len(varied)
    found = [np.empty(0, np.int64)]
    with Room(SCRATCH, room) as room:
        coefficients = room.array("coefficients", (count, len(SIGNS), CLASS), np.float32)
        for start in range(0, count, BLOCK):
            coefficients[start : start + BLOCK] = _transform(thumbnails[varied[start : start + BLOCK]])
        if count <= exact_up_to:
            meetings = _everywhere(count)
        else:
            order, meetings = _in_cells(coefficients, room)
            if isinstance(coefficients, OnDisk):
                coefficients, varied = _reordered(coefficients, order, room), varied[order]
            else:
                meetings = ((order[visitors], order[members]) for visitors, members in meetings)
        found += _side_by_side(partial(_promising, coefficients, threshold), meetings, unit=" cells", desc=f"dedupe {name}: search")

    found = np.unique(np.concatenate(found))
    parts = ((found[start : start + PAIRS],) for start in range(0, len(found), PAIRS))
    compare = partial(_compare, thumbnails, varied, threshold)
    none = tuple(np.empty(0, kind) for kind in (np.int32, np.int32, np.int8, np.float32))
    compared = [none, *_side_by_side(compare, parts, unit=f" x {PAIRS} pairs", desc=f"dedupe {name}: compare")]
    first, second, orientation, correlation = (np.concatenate(column) for column in zip(*compared, strict=True))
    # A symmetric picture matches in several orientations; among equals, but for rounding, the plainest stays: the one listed first.
    order = np.lexsort((orientation, -correlation.round(5), second, first))
    best = order[np.append(True, (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0))[: len(order)]]
    orientation = pd.Categorical.from_codes(orientation[best], list(ORIENTATIONS))
    return pd.DataFrame({"first": first[best], "second": second[best], "orientation": orientation, "correlation": correlation[best]})


def _transform(thumbnails: np.ndarray) -> np.ndarray:
    """Coefficients [B, 4, CLASS] of thumbnails, by their parity along y and x."""
    cosines = dct(np.eye(thumbnails.shape[1], dtype=np.float32), axis=0, norm="ortho")[:SIDE]
    block = cosines @ normalised(thumbnails) @ cosines.T
    # The first is the mean, which is 0. In its place: the length of all that is left out, of a vector of length 1.
    block[:, 0, 0] = 0
    block[:, 0, 0] = np.sqrt(np.maximum(1 - (block**2).sum((1, 2)), 0))
    half = SIDE // 2
    return block.reshape(-1, half, 2, half, 2).transpose(0, 2, 4, 1, 3).reshape(-1, len(SIGNS), CLASS)


def _side_by_side(function: Callable, calls: Iterable[tuple], **bar: Any) -> Iterator[Any]:
    """What a function returns for each of the arguments, in their order; a thread a core, since NumPy computes without Python's lock."""
    with threadpool_limits(1, "blas"):  # or the threads of the products would get in the way of these
        threads = Parallel(cpu_count(), "threading", return_as="generator")
        yield from threads(delayed(function)(*arguments) for arguments in tqdm(calls, disable=None, **bar))


def _promising(coefficients: Array, threshold: float, visitors: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The pairs of a visitor and a member whose correlation may reach the threshold, by their coefficients, as one number each.

    visitors and members are rows; of N pictures, a pair first < second in the orientation of some number is (number N + first) N + second.
    """
    one, other = coefficients[visitors], coefficients[members]
    even, odd_x, odd_y, odd = products = [one[:, k] @ other[:, k].T for k in range(len(SIGNS))]
    best = np.maximum(even + odd + abs(odd_x + odd_y), even - odd + abs(odd_x - odd_y))
    limit = threshold - 1e-5  # rounding of float32
    first, second = np.nonzero(best >= limit)
    orientation, pair = np.nonzero(SIGNS @ np.stack([product[first, second] for product in products]) >= limit)
    first, second = visitors[first[pair]], members[second[pair]]
    count, apart = len(coefficients), first != second
    return ((orientation * count + np.minimum(first, second)) * count + np.maximum(first, second))[apart]


def _compare(thumbnails: Array, varied: np.ndarray, threshold: float, found: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of the pairs of _promising, rows of varied, those that reach the threshold: first < second, number of the orientation, correlation."""
    orientation, pair = np.divmod(found, max(len(varied), 1) ** 2)
    first, second = np.sort([varied[side] for side in np.divmod(pair, max(len(varied), 1))], axis=0)
    correlation = np.empty(len(found), np.float32)
    for number, (y, x) in enumerate(ORIENTATIONS.values()):
        of = orientation == number
        correlation[of] = correlate(thumbnails, first[of], second[of], y, x)
    near = correlation >= threshold
    return first[near], second[near], orientation[near].astype(np.int8), correlation[near]


def _everywhere(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of rows in which each meets each once."""
    blocks = [np.arange(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    return ((one, other) for number, other in enumerate(blocks) for one in blocks[: number + 1])


def _in_cells(coefficients: Array, room: Room) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """The rows ordered by cell; and the places in this order that look into a cell, BLOCK at most, and those in it, cell after cell."""
    # Found before the first is asked for: what limits BLAS to a thread limits faiss as well.
    around, cells = _cells_around(coefficients, room)
    # Copied, or each column would keep its whole block in memory.
    home = np.concatenate([around[start : start + SCANNED][:, 0].copy() for start in range(0, len(around), SCANNED)])
    order = np.argsort(home, kind="stable").astype(np.int32)
    return order, _visits(around, order, np.cumsum(np.bincount(home, minlength=cells)))


def _cells_around(coefficients: Array, room: Room) -> tuple[Array, int]:
    """The cells that each picture is compared with, int32 [N, PROBES at most], nearest first; and how many cells there are."""
    count = len(coefficients)
    cells = max(1, count // CELL)
    drawn = np.random.default_rng(0).choice(count, cells, replace=False)
    centres = faiss.IndexHNSWFlat(len(SIGNS) * LOWEST**2, LINKS)
    centres.hnsw.efSearch = 2 * PROBES
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # which links several threads make hangs on which is the faster
    for start in range(0, cells, BLOCK):
        centres.add(_sizes(coefficients[drawn[start : start + BLOCK]]))
    faiss.omp_set_num_threads(threads)

    around = room.array("around", (count, min(PROBES, cells)), np.int32)
    for start in tqdm(range(0, count, BLOCK), unit=f" x {BLOCK} pictures", desc="dedupe: cells", disable=None):
        around[start : start + BLOCK] = centres.search(_sizes(coefficients[start : start + BLOCK]), around.shape[1])[1]
    return around, cells


def _visits(around: Array, order: np.ndarray, ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    count, probes = around.shape
    place = np.empty(count, np.int32)
    place[order] = np.arange(count)
    step = max(1, VISITS // (CELL * probes))
    for low in range(0, len(ends), step):
        high, visits = min(low + step, len(ends)), []
        for start in range(0, count, SCANNED):
            block = around[start : start + SCANNED]
            row, probe = np.nonzero((block >= low) & (block < high))
            visits.append(block[row, probe].astype(np.int64) * count + place[start + row])  # sorts by cell, and there by place
        visits = np.concatenate(visits)
        visits.sort()
        bounds = np.searchsorted(visits, np.arange(low, high + 1) * count)
        for cell, (start, end) in enumerate(pairwise(bounds.tolist()), low):
            members = np.arange(ends[cell - 1] if cell else 0, ends[cell])
            for first in range(start, end if len(members) else start, BLOCK):
                yield visits[first : min(first + BLOCK, end)] - cell * count, members


def _reordered(rows: OnDisk, order: np.ndarray, room: Room) -> Array:
    result = room.array("reordered", rows.shape, np.float32)
    for start in range(0, len(order), SCATTERED):
        result[start : start + SCATTERED] = rows[order[start : start + SCATTERED]]
    return result


def _sizes(coefficients: np.ndarray) -> np.ndarray:
    half = SIDE // 2
    lowest = abs(coefficients).reshape(-1, len(SIGNS), half, half)[..., :LOWEST, :LOWEST]
    return np.ascontiguousarray(lowest.reshape(len(coefficients), -1))

"""Find all pairs of pictures that correlate above a threshold, in any of the four orientations.

The correlation of two thumbnails is the product of their centred and normalised pixels, and as well of their cosine transforms. Low
frequencies are multiplied; of the others the length is enough, since no product of two vectors is above that of their lengths. So the search
misses nothing, and only what it finds is compared in full. Mirroring a picture changes the sign of every second coefficient: products by
classes of even and odd coefficients, added up with signs, are those of all orientations at the cost of one.

Of many pictures each is compared with those in the cells around it only. A cell holds what is nearest to one of some pictures drawn as
centres, by the sizes of the lowest coefficients, which no mirroring changes; the cells around a picture are found by a graph over the centres
(Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs", 2018).
Neither the pictures in a cell nor the cells that are looked into become more with the pictures, so time grows as n log n. A pair is missed
only if neither of its two pictures meets the other.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
from scipy.fft import dct
from tqdm import tqdm

from stages.copies import ORIENTATIONS, correlate, normalised
from stages.dedupe.on_disk import OnDisk

SIDE = 16  # of the block of low frequencies
CLASS = (SIDE // 2) ** 2  # coefficients of one parity along y and x
LOWEST = 6  # a side, of each class: what tells cells apart
CELL = 64  # pictures a cell, on average
PROBES = 64  # cells that a picture is compared with
LINKS = 32  # of a centre in the graph
BLOCK = 2048  # pictures a step: bounds the memory whatever the number of pictures
PAIRS = 1 << 16  # pairs compared in full a step
SCRATCH = Path(".scratch/dedupe")
SIGNS = np.array([[1, x, y, x * y] for y, x in ORIENTATIONS.values()], np.float32)  # of the classes (even, even), (even, odd), ...

Array = np.ndarray | OnDisk


def similar_pairs(thumbnails: Array, threshold: float, exact_up_to: int, memory: float, name: str) -> pd.DataFrame:
    """All pairs of uint8 thumbnails [N, S, S] with a Pearson correlation of at least threshold in some orientation.

    Returns first < second (row numbers), orientation (a key of ORIENTATIONS, the best one) and correlation. Up to
    exact_up_to pictures each is compared with each; beyond, with those in the cells around it. Coefficients that would take more than
    memory GiB lie in a scratch file.
    """
    blocks = range(0, len(thumbnails), BLOCK)
    # Pictures of one grey level resemble nothing, but each would be compared with each.
    varied = np.concatenate([i + np.flatnonzero(np.ptp(thumbnails[i : i + BLOCK], (1, 2))) for i in blocks] or [np.empty(0, int)])
    count = len(varied)
    found = [np.empty(0, np.int64)]
    with _room((count, len(SIGNS), CLASS), memory) as coefficients:
        for start in range(0, count, BLOCK):
            coefficients[start : start + BLOCK] = _transform(thumbnails[varied[start : start + BLOCK]])
        meetings = _everywhere(count) if count <= exact_up_to else _in_cells(coefficients)
        for visitors, members in tqdm(meetings, unit=" cells", desc=f"dedupe {name}: search", disable=None):
            one, other, orientation = _promising(coefficients[visitors], coefficients[members], threshold)
            one, other = visitors[one], members[other]
            apart = one != other
            pairs = np.minimum(one, other) * count + np.maximum(one, other)
            found.append((orientation * count**2 + pairs)[apart])

    orientation, pairs = np.divmod(np.unique(np.concatenate(found)), max(count, 1) ** 2)
    first, second = (varied[side] for side in np.divmod(pairs, max(count, 1)))
    correlation = np.empty(len(pairs), np.float32)
    for start in tqdm(range(0, len(pairs), PAIRS), unit=f" x {PAIRS} pairs", desc=f"dedupe {name}: compare", disable=None):
        some = slice(start, start + PAIRS)
        for number, (y, x) in enumerate(ORIENTATIONS.values()):
            of = np.flatnonzero(orientation[some] == number) + start
            correlation[of] = correlate(thumbnails, first[of], second[of], y, x)
    names = np.array(list(ORIENTATIONS), object)
    table = pd.DataFrame({"first": first, "second": second, "orientation": names[orientation], "correlation": correlation})
    table = table[correlation >= threshold]
    # A symmetric picture matches in several orientations; among equals, but for rounding, the plainest stays: the one listed first.
    order = ["first", "second", "correlation"]
    table = table.sort_values(order, ascending=[True, True, False], key=lambda column: column.round(5), kind="stable")
    return table.drop_duplicates(["first", "second"]).reset_index(drop=True)


@contextmanager
def _room(shape: tuple[int, ...], memory: float) -> Iterator[Array]:
    """A float32 array to fill, in memory if it takes no more than so many GiB, else in a scratch file."""
    if np.prod(shape) * 4 <= memory * 2**30:
        yield np.empty(shape, np.float32)
        return
    shutil.rmtree(SCRATCH, ignore_errors=True)  # what a kill left there
    SCRATCH.mkdir(parents=True)
    try:
        np.lib.format.open_memmap(SCRATCH / "coefficients.npy", "w+", np.float32, shape)
        yield OnDisk(SCRATCH / "coefficients.npy")
    finally:
        shutil.rmtree(SCRATCH)


def _transform(thumbnails: np.ndarray) -> np.ndarray:
    """Coefficients [B, 4, CLASS] of thumbnails, by their parity along y and x."""
    cosines = dct(np.eye(thumbnails.shape[1], dtype=np.float32), axis=0, norm="ortho")[:SIDE]
    block = cosines @ normalised(thumbnails) @ cosines.T
    # The first is the mean, which is 0. In its place: the length of all that is left out, of a vector of length 1.
    block[:, 0, 0] = 0
    block[:, 0, 0] = np.sqrt(np.maximum(1 - (block**2).sum((1, 2)), 0))
    half = SIDE // 2
    return block.reshape(-1, half, 2, half, 2).transpose(0, 2, 4, 1, 3).reshape(-1, len(SIGNS), CLASS)


def _promising(one: np.ndarray, other: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of both, and number of the orientation, of the pairs whose correlation may reach the threshold, by their coefficients."""
    even, odd_x, odd_y, odd = products = [one[:, k] @ other[:, k].T for k in range(len(SIGNS))]
    best = np.maximum(even + odd + abs(odd_x + odd_y), even - odd + abs(odd_x - odd_y))
    limit = threshold - 1e-5  # rounding of float32
    first, second = np.nonzero(best >= limit)
    orientation, pair = np.nonzero(SIGNS @ np.stack([product[first, second] for product in products]) >= limit)
    return first[pair], second[pair], orientation


def _everywhere(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of rows in which each meets each once."""
    blocks = [np.arange(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    return ((one, other) for number, other in enumerate(blocks) for one in blocks[: number + 1])


def _in_cells(coefficients: Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows that look into a cell, BLOCK at most, and the rows in it, cell after cell."""
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

    around = np.empty((count, min(PROBES, cells)), np.int32)  # nearest first
    for start in tqdm(range(0, count, BLOCK), unit=f" x {BLOCK} pictures", desc="dedupe: cells", disable=None):
        around[start : start + BLOCK] = centres.search(_sizes(coefficients[start : start + BLOCK]), around.shape[1])[1]
    visits, homes = np.argsort(around, axis=None, kind="stable"), np.argsort(around[:, 0], kind="stable")
    visits_end = np.searchsorted(around.ravel(), np.arange(cells), "right", sorter=visits)
    homes_end = np.searchsorted(around[:, 0], np.arange(cells), "right", sorter=homes)
    for members, visitors in zip(np.split(homes, homes_end[:-1]), np.split(visits, visits_end[:-1]), strict=True):
        for start in range(0, len(visitors) if len(members) else 0, BLOCK):
            yield visitors[start : start + BLOCK] // around.shape[1], members


def _sizes(coefficients: np.ndarray) -> np.ndarray:
    half = SIDE // 2
    lowest = abs(coefficients).reshape(-1, len(SIGNS), half, half)[..., :LOWEST, :LOWEST]
    return np.ascontiguousarray(lowest.reshape(len(coefficients), -1))

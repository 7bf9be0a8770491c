"""Find all pairs of pictures that correlate above a threshold, in any of the four orientations.

The correlation of two thumbnails is 1 - d²/2, d the distance of their centred and normalised pixels. An orthonormal
projection never lengthens a distance, so searching a few coefficients of the cosine transform for d² <= 2 (1 - threshold)
misses nothing, and only what it finds is compared in full. Mirroring a picture changes no coefficient but the sign of
every second one, so the flipped queries cost no further transform.
"""

import faiss
import numpy as np
import pandas as pd
from scipy.fft import dctn
from tqdm import tqdm

from stages.copies import ORIENTATIONS, correlate, normalised

COEFFICIENTS = 16  # a side of the block of low frequencies that is searched
BLOCK = 2048  # pictures a step: bounds the memory whatever the number of pictures


def similar_pairs(thumbnails: np.ndarray, threshold: float, exact_up_to: int, name: str) -> pd.DataFrame:
    """All pairs of uint8 thumbnails [N, S, S] with a Pearson correlation of at least threshold in some orientation.

    Returns first < second (row numbers), orientation (a key of ORIENTATIONS, the best one) and correlation. Up to
    exact_up_to pictures the search is exhaustive; beyond, an inverted file (faiss IndexIVFFlat) looks at the nearest
    cells only, so that time does not grow with the square of the pictures.
    """
    varied = np.flatnonzero(np.ptp(thumbnails, (1, 2)))  # pictures of one grey level resemble nothing, but each would be compared with each
    if not len(varied):
        return pd.DataFrame({"first": varied, "second": varied, "orientation": np.empty(0, object), "correlation": np.empty(0, np.float32)})
    coefficients = np.concatenate([_coefficients(thumbnails[varied[i : i + BLOCK]]) for i in range(0, len(varied), BLOCK)])
    index = _build_index(coefficients, exact_up_to)
    parity = (-1) ** np.arange(COEFFICIENTS)
    radius = 2 * (1 - threshold) + 1e-5  # float32 rounding of d²

    found = []
    for start in tqdm(range(0, len(varied), BLOCK), unit_scale=BLOCK, unit=" pictures", desc=f"dedupe {name}", disable=None):
        queries = coefficients[start : start + BLOCK]
        for orientation, (y, x) in ORIENTATIONS.items():
            signs = np.outer(parity if y < 0 else np.ones_like(parity), parity if x < 0 else np.ones_like(parity))
            limits, _, second = index.range_search(queries * signs.reshape(-1)[1:].astype(np.float32), radius)
            first = np.repeat(np.arange(start, start + len(queries)), np.diff(limits.astype(np.int64)))
            ahead = first < second
            first, second = varied[first[ahead]], varied[second[ahead]]
            correlation = correlate(thumbnails, first, second, y, x)
            same = correlation >= threshold
            found.append((first[same], second[same], np.full(same.sum(), orientation, object), correlation[same]))
    first, second, orientation, correlation = (np.concatenate(column) for column in zip(*found, strict=True))
    pairs = pd.DataFrame({"first": first, "second": second, "orientation": orientation, "correlation": correlation})
    # A symmetric picture matches in several orientations; among equals, but for rounding, the plainest stays: the one listed first.
    order = ["first", "second", "correlation"]
    pairs = pairs.sort_values(order, ascending=[True, True, False], key=lambda column: column.round(5), kind="stable")
    return pairs.drop_duplicates(["first", "second"]).reset_index(drop=True)


def _coefficients(thumbnails: np.ndarray) -> np.ndarray:
    block = dctn(normalised(thumbnails), axes=(1, 2), norm="ortho", workers=-1)[:, :COEFFICIENTS, :COEFFICIENTS]
    return np.ascontiguousarray(block.reshape(len(block), -1)[:, 1:])  # without the mean, which is 0


def _build_index(coefficients: np.ndarray, exact_up_to: int) -> faiss.Index:
    count, width = coefficients.shape
    if count <= exact_up_to:
        index = faiss.IndexFlatL2(width)
    else:
        cells = min(count, int(4 * np.sqrt(count)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, cells)
        index.nprobe = 32
        index.train(coefficients[:: max(1, count // (64 * cells))])
    index.add(coefficients)
    return index

"""What a picture looks like in 288 small numbers that turn with it: pooled gradients, of the whole picture and of the head in it.

The descriptor is a histogram of oriented gradients (Dalal and Triggs, 2005) over a coarse grid, relative to the contrast around: brightness,
contrast, even a negative leave it nearly as it is. Its grid and its directions map onto themselves under the eight symmetries of the square, so the
descriptor of a mirrored or quarter-turned picture is a permutation of the picture's own. Arithmetic is in float64 and the result in uint8: the
same bytes on every CPU.
"""

from itertools import product

import cv2
import numpy as np

from stages.copies import ORIENTATIONS

SIDE = 64  # pixels of the thumbnails that are described
CELLS, DIRECTIONS = 6, 8
SIZE = CELLS * CELLS * DIRECTIONS
AROUND = 17  # pixels, the side of the neighbourhood that contrast is relative to
FAINT = 4.0  # gradient below which an area counts as without contrast, grey levels a pixel
SCALE = 250  # of the square roots of pooled energies, to fill 0 to 255
# Parts of a head, along one axis, that a picture may have been cut down to; all pairs of two are tried.
INTERVALS = ((0, 1), (0.12, 1), (0, 0.88), (0.1, 0.9), (0.22, 1), (0, 0.78), (0.18, 0.82))
WINDOWS = tuple((x[0], y[0], x[1], y[1]) for y, x in product(INTERVALS, INTERVALS))  # left, top, right, bottom, shares of the head


def describe(thumbnail: np.ndarray) -> np.ndarray:
    """uint8 [SIZE] of a thumbnail, uint8 [SIDE, SIDE]."""
    return _pool(_energies(thumbnail), INTERVALS[:1])[0]


def describe_parts(thumbnail: np.ndarray) -> np.ndarray:
    """uint8 [len(WINDOWS), SIZE] of all WINDOWS of a thumbnail, the first of which is all of it."""
    return _pool(_energies(thumbnail), INTERVALS)


def _energies(thumbnail: np.ndarray) -> np.ndarray:
    """float64 [DIRECTIONS, SIDE, SIDE]: how much of each pixel's gradient lies along each direction."""
    grey = thumbnail.astype(np.float64)
    x, y = cv2.Sobel(grey, cv2.CV_64F, 1, 0, ksize=1, scale=0.5), cv2.Sobel(grey, cv2.CV_64F, 0, 1, ksize=1, scale=0.5)
    size = np.sqrt(x * x + y * y)
    weight = 1 / ((cv2.blur(size, (AROUND, AROUND)) + FAINT) * np.maximum(size, 1e-9))
    # By the cosine of twice the angle, so that a gradient and its opposite are one direction.
    cosine, sine = (x * x - y * y) * weight, 2 * x * y * weight
    half = np.sqrt(0.5)
    four = np.stack([cosine, (cosine + sine) * half, sine, (sine - cosine) * half])
    return np.maximum(np.concatenate([four, -four]), 0)


def _pool(energies: np.ndarray, intervals: tuple) -> np.ndarray:
    pooling = np.concatenate([_POOLING[interval] for interval in intervals])
    pooled = pooling @ energies @ pooling.T
    parts = pooled.reshape(DIRECTIONS, len(intervals), CELLS, len(intervals), CELLS).transpose(1, 3, 2, 4, 0)
    return np.sqrt(parts.reshape(-1, SIZE) * SCALE**2).clip(0, 255).round().astype(np.uint8)


def _pooling(low: float, high: float) -> np.ndarray:
    """[CELLS, SIDE]: the share of each pixel in each cell of an interval; a pixel between two cells counts for both."""
    place = (np.arange(SIDE) + 0.5) / SIDE
    cell = (place - low) / (high - low) * CELLS - 0.5
    share = np.maximum(1 - abs(cell - np.arange(CELLS)[:, None]), 0) * ((place > low) & (place < high))
    return share / share.sum(1, keepdims=True)


_POOLING = {interval: _pooling(*interval) for interval in INTERVALS}


def _turns() -> np.ndarray:
    grid = np.arange(SIZE).reshape(CELLS, CELLS, DIRECTIONS)
    directions = np.arange(DIRECTIONS)
    turns = []
    for transpose, y, x in ORIENTATIONS.values():
        turned = grid.transpose(1, 0, 2)[..., (DIRECTIONS // 2 - directions) % DIRECTIONS] if transpose else grid
        turned = turned[::y, ::x]
        turns.append((turned[..., -directions % DIRECTIONS] if x * y < 0 else turned).ravel())
    return np.stack(turns)


TURNS = _turns()  # [8, SIZE]: descriptor[TURNS[k]] is that of the picture in the k-th of ORIENTATIONS

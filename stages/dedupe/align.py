"""How alike two pictures are when the edges of one may move a little: two cuts of the same picture seldom agree to the pixel.

The edges move by the method of Lucas and Kanade ("An iterative image registration technique with an application to stereo
vision", 1981): least squares over the derivatives of the picture by its four edges, and a gain and an offset of the grey level.
"""

import numpy as np
import pandas as pd

from stages.copies import ORIENTATIONS, normalised

STEPS = 4
LIMIT = 3.0  # pixels of a thumbnail that an edge may move
BLOCK = 64  # pairs at once: bounds the memory


def aligned_correlation(thumbnails: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """The best Pearson correlation [P] of the pairs (row numbers first and second, orientation) of uint8 thumbnails [N, S, S]."""
    best = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), BLOCK):
        part = pairs.iloc[start : start + BLOCK]
        one, other = (thumbnails[part[side]].astype(np.float32) for side in ("first", "second"))
        for orientation, (y, x) in ORIENTATIONS.items():
            turned = (part.orientation == orientation).to_numpy()
            one[turned] = one[turned][:, ::y, ::x]
        best[start : start + BLOCK] = _align(one, other)
    return best


def _align(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    count, side = one.shape[:2]
    far = np.linspace(0, 1, side, dtype=np.float32)  # how much the lower or right edge moves a pixel; the other edge does the rest
    target, target_normalised = other.reshape(count, -1), normalised(other)
    edges = np.tile(np.float32([0, side - 1, 0, side - 1]), (count, 1))  # top, bottom, left, right
    rest = edges.copy()
    best = np.full(count, -1, np.float32)
    for step in range(STEPS + 1):
        moved = _between(one, edges)
        best = np.maximum(best, np.einsum("nyx,nyx->n", normalised(moved), target_normalised))
        if step == STEPS:
            return best
        y, x = np.gradient(moved, axis=(1, 2))
        by_edge = [y * (1 - far)[:, None], y * far[:, None], x * (1 - far), x * far]
        system = np.stack([*by_edge, moved, np.ones_like(moved)], 1).reshape(count, 6, -1)
        normal = (system @ system.transpose(0, 2, 1)).astype(np.float64) + 1e-3 * np.eye(6)  # a picture of one grey level has no slope
        solved = np.linalg.solve(normal, (system @ target[:, :, None]).astype(np.float64))[:, :, 0]
        shift = solved[:, :4] / np.maximum(solved[:, 4:5], 0.1)
        edges = np.clip(edges + shift.astype(np.float32), rest - LIMIT, rest + LIMIT)


def _between(images: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """float32 [P, S, S]: the pictures between edges [P, 4] (top, bottom, left, right, in pixels), bilinear; beyond them the border repeats."""
    count, side = images.shape[:2]
    far = np.linspace(0, 1, side, dtype=np.float32)
    picture = np.arange(count)[:, None]
    for low, high in ((0, 1), (2, 3)):
        position = np.clip(edges[:, [low]] * (1 - far) + edges[:, [high]] * far, 0, side - 1)
        before = np.minimum(position.astype(np.intp), side - 2)
        share = (position - before)[:, :, None]
        images = images[picture, before] * (1 - share) + images[picture, before + 1] * share
        images = images.transpose(0, 2, 1)  # twice, so that it ends as it began
    return images

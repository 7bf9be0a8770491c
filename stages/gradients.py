"""Thumbnails as histograms of oriented gradients, the features of the simple classifiers."""

import numpy as np

CELL, BINS = 8, 9
BLOCK = 64  # pictures at once: what fits the caches is five times as fast


def gradients(thumbnails: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients [N, cells * BINS] of uint8 [N, S, S], cells of 8 x 8 (Dalal and Triggs, 2005)."""
    return np.concatenate([_histograms(thumbnails[i : i + BLOCK]) for i in range(0, len(thumbnails), BLOCK)])


def _histograms(thumbnails: np.ndarray) -> np.ndarray:
    count, side, _ = thumbnails.shape
    y, x = np.gradient(thumbnails.astype(np.float64), axis=(1, 2))
    strength, direction = np.hypot(y, x), (np.arctan2(y, x) % np.pi / np.pi * BINS).astype(int) % BINS
    cells = (count, side // CELL, CELL, side // CELL, CELL)
    histograms = np.stack([np.where(direction == b, strength, 0).reshape(cells).sum((2, 4)) for b in range(BINS)], -1).reshape(count, -1)
    return np.sqrt(histograms / (histograms.sum(1, keepdims=True) + 1e-6))

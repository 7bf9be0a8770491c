"""Pictures that are the same: how alike two of them are, in which way one differs from the other, and what a training set has seen of a test set.

Thumbnails are uint8 [N, S, S] in the catalog's order: whole pictures, and heads, both squashed to the square.
"""

import numpy as np
import pandas as pd

ORIENTATIONS = {"": (1, 1), "mirrored": (1, -1), "flipped": (-1, 1), "rotated": (-1, -1)}  # signs along y, x
KINDS = ("exact", "mirrored", "flipped", "rotated", "cropped", "squashed", "resized", "brightened", "reencoded")

ASPECT = 0.02  # relative difference of aspect from which a copy counts as squashed
BRIGHTNESS = 0.04  # relative difference of mean grey from which a copy counts as brightened
BLOCK = 256  # pairs compared at once: what fits the caches is faster


def describe(
    catalog: pd.DataFrame, rows: np.ndarray, reference: np.ndarray, thumbnails: np.ndarray, heads: np.ndarray, same: float
) -> tuple[np.ndarray, np.ndarray]:
    """How each picture in rows [P] differs from the same picture in reference [P], both row numbers.

    catalog: sha256, width and height; same: the correlation from which two whole pictures are the same. Returns the kind
    (one of KINDS: the first that applies) and the orientation (a key of ORIENTATIONS), both [P].
    """
    names = np.array(list(ORIENTATIONS), object)
    whole = np.stack([correlate(thumbnails, rows, reference, y, x) for y, x in ORIENTATIONS.values()])
    head = np.stack([correlate(heads, rows, reference, y, x) for y, x in ORIENTATIONS.values()])
    # argmax takes the first of equals, and a hair's advantage is no reason to call a symmetric picture flipped.
    best = np.where(whole.max(0) >= same, np.round(whole, 3).argmax(0), np.round(head, 3).argmax(0))
    orientation = names[best]

    sha256 = catalog.sha256.to_numpy()
    width, height = catalog.width.to_numpy(float), catalog.height.to_numpy(float)
    aspect = width / height
    grey, reference_grey = _mean_grey(thumbnails, rows), _mean_grey(thumbnails, reference)
    conditions = {
        "exact": sha256[rows] == sha256[reference],
        "mirrored": orientation == "mirrored",
        "flipped": orientation == "flipped",
        "rotated": orientation == "rotated",
        "cropped": whole.max(0) < same,
        "squashed": abs(aspect[rows] / aspect[reference] - 1) > ASPECT,
        "resized": (width[rows] != width[reference]) | (height[rows] != height[reference]),
        "brightened": abs(grey / np.maximum(reference_grey, 1e-6) - 1) > BRIGHTNESS,
    }
    return np.select(list(conditions.values()), list(conditions), "reencoded"), orientation


def correlate(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray, y: int, x: int) -> np.ndarray:
    """Pearson correlations [P] of the thumbnails in rows first, turned by the signs of an orientation, with those in rows second."""
    correlation = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK):
        part = slice(start, start + BLOCK)
        one, other = normalised(thumbnails[first[part]]), normalised(thumbnails[second[part]])
        correlation[part] = np.einsum("nyx,nyx->n", one[:, ::y, ::x], other)
    return correlation


def _mean_grey(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    blocks = [thumbnails[rows[i : i + BLOCK]].mean((1, 2), dtype=np.float64) for i in range(0, len(rows), BLOCK)]
    return np.concatenate(blocks or [np.empty(0)])


def normalised(thumbnails: np.ndarray) -> np.ndarray:
    """float32 [N, S, S] of mean 0 and length 1; a picture of one grey level becomes 0 and resembles nothing."""
    values = thumbnails.astype(np.float32)
    values -= values.mean((1, 2), keepdims=True)
    return values / np.maximum(np.sqrt((values**2).sum((1, 2), keepdims=True)), 1e-6)


def seen(test: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """What of each test picture is in training: its very file, the same picture, its group, its patient (False where unknown).

    Both tables have sha256, cluster, group and patient. Returns boolean columns file, picture, group, patient with test's index.
    """
    result = {"file": "sha256", "picture": "cluster", "group": "group", "patient": "patient"}
    result = pd.DataFrame({name: test[column].isin(train[column]).astype(bool) for name, column in result.items()})
    return result.assign(patient=result.patient & (test.patient != "").astype(bool))

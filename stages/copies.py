"""Pictures that are the same: in which way one differs from the other, and what a training set has seen of a test set.

Thumbnails are uint8 [N, S, S] in the catalog's order: whole pictures, squashed to the square.
"""

import numpy as np
import pandas as pd

# What was done to a picture: axes swapped or not, then the signs along y and x. "left" and "right" are quarter turns.
ORIENTATIONS = {
    "": (0, 1, 1),
    "mirrored": (0, 1, -1),
    "flipped": (0, -1, 1),
    "rotated": (0, -1, -1),
    "transposed": (1, 1, 1),
    "right": (1, 1, -1),
    "left": (1, -1, 1),
    "transversed": (1, -1, -1),
}
KINDS = ("exact", "mirrored", "flipped", "rotated", "turned", "inverted", "cropped", "squashed", "resized", "brightened", "reencoded")

WHOLE = 0.975  # correlation of the thumbnails below which a copy counts as cropped
NEGATIVE = -0.5  # the same, below which it counts as inverted
ASPECT = 0.02  # relative difference of aspect from which a copy counts as squashed
BRIGHTNESS = 0.04  # relative difference of mean grey from which a copy counts as brightened
BLOCK = 256  # pairs compared at once: what fits the caches is faster


def turn(pictures: np.ndarray, orientation: str) -> np.ndarray:
    """Square pictures [..., S, S], turned."""
    transpose, y, x = ORIENTATIONS[orientation]
    return (pictures.swapaxes(-1, -2) if transpose else pictures)[..., ::y, ::x]


def between(orientation: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What has to be done to a picture in the orientation other to bring it into orientation, names [P] -> names [P]."""
    names, codes = list(ORIENTATIONS), pd.Index(ORIENTATIONS)
    grid = np.arange(4).reshape(2, 2)
    known = {turn(grid, name).tobytes(): name for name in names}
    back = {name: next(undo for undo in names if (turn(turn(grid, name), undo) == grid).all()) for name in names}
    table = np.array([[known[turn(turn(grid, back[two]), one).tobytes()] for two in names] for one in names], object)
    return table[codes.get_indexer(orientation), codes.get_indexer(other)]


def describe(catalog: pd.DataFrame, rows: np.ndarray, reference: np.ndarray, orientation: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """How each picture in rows [P] differs from the same picture in reference [P], both row numbers: one of KINDS, the first that applies.

    catalog: sha256, width and height; orientation: names [P], what was done to the reference.
    """
    whole = np.empty(len(rows), np.float32)
    for name in ORIENTATIONS:
        of = np.flatnonzero(orientation == name)
        whole[of] = correlate(thumbnails, rows[of], reference[of], name)

    sha256 = catalog.sha256.to_numpy()
    width, height = catalog.width.to_numpy(float), catalog.height.to_numpy(float)
    turned = np.isin(orientation, [name for name, (transpose, *_) in ORIENTATIONS.items() if transpose])
    aspect, reference_aspect = width[rows] / height[rows], width[reference] / height[reference]
    aspect = np.where(turned, 1 / aspect, aspect)
    grey, reference_grey = _mean_grey(thumbnails, rows), _mean_grey(thumbnails, reference)
    conditions = {
        "exact": sha256[rows] == sha256[reference],
        **{name: orientation == name for name in ("mirrored", "flipped", "rotated")},
        "turned": turned,
        "inverted": whole < NEGATIVE,
        "cropped": whole < WHOLE,
        "squashed": abs(aspect / reference_aspect - 1) > ASPECT,
        "resized": (width[rows] != width[reference]) | (height[rows] != height[reference]),
        "brightened": abs(grey / np.maximum(reference_grey, 1e-6) - 1) > BRIGHTNESS,
    }
    return np.select(list(conditions.values()), list(conditions), "reencoded")


def best_orientation(thumbnails: np.ndarray, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The orientation, names [P], in which each reference is most like the picture in rows."""
    # argmax takes the first of equals, and a hair's advantage is no reason to call a symmetric picture flipped.
    alike = np.stack([correlate(thumbnails, rows, reference, name) for name in ORIENTATIONS]).round(3)
    return np.array(list(ORIENTATIONS), object)[alike.argmax(0)]


def correlate(thumbnails: np.ndarray, rows: np.ndarray, reference: np.ndarray, orientation: str) -> np.ndarray:
    """Pearson correlations [P] of the thumbnails in rows with those in reference, turned."""
    correlation = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        one, other = normalised(thumbnails[rows[part]]), normalised(thumbnails[reference[part]])
        correlation[part] = np.einsum("nyx,nyx->n", one, turn(other, orientation))
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

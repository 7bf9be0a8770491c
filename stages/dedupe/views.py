"""What pictures are searched by: descriptors of boxes of them."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from stages.dedupe.describe import thumbnail
from stages.dedupe.descriptors import SIZE, WINDOWS, describe_parts
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.pictures import SCRATCH, Pictures

WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
BLOCK = 256  # pictures whose parts are described at once


class Views(NamedTuple):
    """Of N pictures (their numbers) V boxes each: descriptors, uint8 [N, V, SIZE]; boxes, float64 [N, V, 4], left, top, right and bottom in shares of
    the sides; and looked_for, the columns out of V that are to be found among all.
    """

    pictures: np.ndarray
    descriptors: np.ndarray | OnDisk
    boxes: np.ndarray
    looked_for: tuple[int, ...]


def whole_and_head(pictures: Pictures) -> Views:
    """All of each picture, and its head alone; both are looked for."""
    heads = pictures.heads
    return Views(np.arange(len(heads)), pictures.descriptors, np.stack([np.broadcast_to(WHOLE, heads.shape), heads], 1), (0, 1))


def chosen(views: Views, pictures: np.ndarray) -> Views:
    """Views of some of all pictures."""
    return views._replace(pictures=pictures, descriptors=views.descriptors[pictures], boxes=views.boxes[pictures])


def parts_of_heads(pictures: Pictures, numbers: np.ndarray) -> Views:
    """All of some pictures and all WINDOWS of their heads, the first of which is all of the head; that and all of the picture are looked for."""
    descriptors = OnDisk.create(SCRATCH / "parts.npy", (len(numbers), 1 + len(WINDOWS), SIZE), np.uint8)
    for start in tqdm(range(0, len(numbers), BLOCK), unit=f" x {BLOCK}", desc="dedupe: parts", disable=None):
        some = numbers[start : start + BLOCK]
        parts = [describe_parts(thumbnail(detail, head)) for detail, head in zip(pictures.load(some), pictures.heads[some], strict=True)]
        descriptors[start : start + len(some)] = np.concatenate([pictures.descriptors[some][:, :1], np.stack(parts)], 1)
    heads = pictures.heads[numbers]
    corner, extent = heads[:, [0, 1, 0, 1]], np.tile(heads[:, [2, 3]] - heads[:, [0, 1]], 2)
    boxes = np.concatenate([np.broadcast_to(WHOLE, (len(numbers), 1, 4)), corner[:, None] + extent[:, None] * np.array(WINDOWS)], 1)
    return Views(numbers, descriptors, boxes, (0, 1))

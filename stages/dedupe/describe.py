"""What dedupe looks at of a picture: its detail, where its head is, and what it looks like in small numbers."""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from stages.dedupe import descriptors
from stages.pixels import RESAMPLING, decode, open_image, squash

SIDE = 160  # pixels of a detail: a picture squashed to the square
SMOOTH = 2.0  # pixels: noise, captions and lines must not be taken for a head
OPENING = np.ones((5, 5), np.uint8)


class Look(NamedTuple):
    """A picture's detail, uint8 [SIDE, SIDE]; the head's left, top, right and bottom, shares of the sides; descriptors of all and the head."""

    detail: np.ndarray
    head: np.ndarray
    descriptors: np.ndarray


def detail_of(data: bytes) -> np.ndarray:
    """uint8 [SIDE, SIDE] of a file that merge has decoded."""
    return squash(decode(open_image(data, float("inf")), at_least=2 * SIDE), SIDE)


def look_at(data: bytes) -> Look:
    """What there is to see in a file that merge has decoded."""
    detail = detail_of(data)
    head = find_head(detail)
    return Look(detail, head, np.stack([descriptors.describe(thumbnail(detail, box)) for box in (np.array([0, 0, 1, 1]), head)]))


def thumbnail(detail: np.ndarray, box: np.ndarray) -> np.ndarray:
    """uint8 [descriptors.SIDE, descriptors.SIDE]: a box of a detail, squashed to the square."""
    return np.asarray(Image.fromarray(detail).resize((descriptors.SIDE,) * 2, RESAMPLING, box=tuple(box * SIDE)))


def find_head(detail: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom, shares of the sides, of the largest bright region; of the whole picture where there is none.

    Brightness is relative to the threshold of Otsu ("A threshold selection method from gray-level histograms", 1979), so that it moves
    little when contrast or border change. A picture with a bright border is a negative, or has a frame: what is dark counts there.
    """
    smooth = cv2.GaussianBlur(detail, (0, 0), SMOOTH)
    threshold, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_OTSU)
    framed = np.median(np.concatenate([smooth[[0, -1]], smooth[:, [0, -1]].T])) > threshold
    if framed:
        smooth, threshold = 255 - smooth, 255 - threshold
    bright = cv2.morphologyEx((smooth > threshold / 2).astype(np.uint8), cv2.MORPH_OPEN, OPENING)
    _, _, regions, _ = cv2.connectedComponentsWithStats(bright)
    if len(regions) < 2:
        return np.array([0, 0, 1, 1], float)
    left, top, width, height, _ = regions[1 + regions[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left + framed, top + framed, left + width - framed, top + height - framed]) / SIDE  # less the edge of the frame

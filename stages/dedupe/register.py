"""Whether two pictures are the same: one is laid over the other, and the fine detail of both is compared.

A thumbnail cannot tell a copy from the slice a millimetre further: what the two share, the outline of a head, is most of what it shows. Detail
can, by two numbers. **Agreement** is its correlation: an altered contrast lowers that, and so does another slice. **Displacement** is by how much
a quarter of the detail is displaced at least: in a copy, whatever was done to its contrast, an edge stays where it was; in another slice
it moves, and the more so the less the two agree. docs/data.md shows both for copies, neighbouring slices and others. A picture that was turned by
some degrees, and not by a quarter, counts as another one.

Pictures are laid over each other by OpenCV, which maximises the enhanced correlation coefficient over affine maps (Evangelidis and Psarakis,
"Parametric image alignment using enhanced correlation coefficient maximization", 2008); brightness and contrast do not matter to it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from stages.copies import ORIENTATIONS
from stages.dedupe.describe import SIDE

FINE, BROAD = 1.0, 4.0  # pixels; a detail lies between Gaussians of these standard deviations
AROUND = 17  # pixels, side of the neighbourhood in which agreement and displacement are measured
STEP = 4  # pixels between places where they are
FAINT = 0.1  # of the mean energy of details: what lies below is background
EVEN = 0.3  # how much of the mean contrast details keep where all are made equally strong
RIM = 3  # pixels at a picture's border that are not compared
LEAST, LEAST_OTHER = 0.5, 0.05  # shares of one picture and of the other that both must show: one may be a small part of the other
COARSE = SIDE // 2  # side of the pictures that are laid over each other first
HOPELESS, HOPELESS_WORST = 0.75, 0.3  # agreement after that, of all and of the worst tenth, below which it ends there
SEARCH = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS
SEARCHES = ((COARSE, (SEARCH, 50, 1e-4), 5), (SIDE, (SEARCH, 15, 1e-4), 5))  # side, steps and least gain, smoothing
# Tilt of a picture's axes, about two degrees, up to which it is the same: what was cut, or turned by a quarter, stays upright.
TILT = 0.03
# Largest displacement of a copy, pixels: of one that agrees fully, and how much more for the root of what is missing to full agreement.
DISPLACED, DISPLACED_ALTERED = 0.08, 1.2

cv2.setNumThreads(1)  # pairs are compared side by side, in processes


class Comparison(NamedTuple):
    """What two pictures have in common, laid over each other."""

    agreement: float  # correlation of details, -1 to 1
    worst: float  # 10th percentile of the same over neighbourhoods
    displacement: float  # 75th percentile over neighbourhoods, in pixels of SIDE, or of the coarser picture if it has many fewer
    matrix: np.ndarray  # float64 [3, 3]: positions in the second picture -> in the first, shares of the sides

    def is_same(self, least: float) -> bool:
        """Whether they are the same picture; least: the agreement that it takes."""
        tilt = np.sort(abs(self.matrix[:2, :2]), axis=None)[1]
        displaced = DISPLACED + DISPLACED_ALTERED * max(0, 1 - self.agreement) ** 0.5
        return bool(self.agreement >= least and tilt <= TILT and self.displacement <= displaced)


NOTHING = Comparison(-1.0, -1.0, np.inf, np.eye(3))


def compare(first: np.ndarray, second: np.ndarray, start: np.ndarray, least: float, grain: float = 1) -> Comparison:
    """Compare two pictures, uint8 [SIDE, SIDE]; start: where to begin, a matrix as in Comparison; least: as in is_same; grain: pixels here that
    are one of the coarser picture as stored, where that is more than one. NOTHING where they have nothing in common.
    """
    if abs(np.linalg.det(start[:2, :2])) < 0.99:  # details are as fine as those of the one that shows more
        found = compare(second, first, np.linalg.inv(start), least, grain)
        return found._replace(matrix=np.linalg.inv(found.matrix))
    first, second = first.astype(np.float32), second.astype(np.float32)
    detail = _detail(second)
    found = _Overlay(first, detail, start)
    if found.agreement >= least and (same := found.compare(grain)).is_same(least):  # as most copies are, before anything is moved
        return same
    if found.agreement < 0 and _Overlay(255 - first, detail, start).agreement > HOPELESS:
        first = 255 - first
    compared = NOTHING
    for side, criteria, smoothing in SEARCHES:
        pixels = _pixels(side)
        matrix = (pixels @ start @ np.linalg.inv(pixels))[:2].astype(np.float32)
        one, other = (cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in (first, second))
        try:
            matrix = cv2.findTransformECC(other, one, matrix, cv2.MOTION_AFFINE, criteria, None, smoothing)[1]
        except cv2.error:  # they have too little in common
            break
        start = np.linalg.inv(pixels) @ np.vstack([matrix, [0, 0, 1]]) @ pixels
        found = max(found, _Overlay(first, detail, start), key=lambda overlay: overlay.agreement)
        if found.agreement < HOPELESS:
            return NOTHING
        compared = found.compare(grain)
        if compared.worst < HOPELESS_WORST:
            break
    return compared


def place(orientation: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The matrix that lays the box first of a picture, turned as the number of an orientation says, over the box second of another.

    A box is left, top, right, bottom, shares of the picture's sides.
    """
    transpose, y, x = list(ORIENTATIONS.values())[orientation]
    turn = np.array([[x, 0, x < 0], [0, y, y < 0], [0, 0, 1]], float)
    return _stretch(first) @ (turn[[1, 0, 2]] if transpose else turn) @ np.linalg.inv(_stretch(second))


def orientation(matrix: np.ndarray) -> int:
    """The number of the orientation that place was given, of its matrix or one near it."""
    turns = [place(number, *np.array([[0, 0, 1, 1]] * 2))[:2, :2] for number in range(len(ORIENTATIONS))]
    return int(np.argmax([(turn * matrix[:2, :2]).sum() for turn in turns]))


def _stretch(box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([[right - left, 0, left], [0, bottom - top, top], [0, 0, 1]])


def _pixels(side: int) -> np.ndarray:
    """The matrix from shares of the sides to pixels, whose centres have whole numbers."""
    return np.array([[side, 0, -0.5], [0, side, -0.5], [0, 0, 1]])


_Y, _X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


class _Overlay:
    """Details of two pictures, the first laid over the second by a matrix, where both show something."""

    def __init__(self, first: np.ndarray, detail: np.ndarray, matrix: np.ndarray):
        """first: float32 [SIDE, SIDE]; detail: that of the second picture."""
        self.matrix, self.agreement = matrix, -1.0
        pixels = _pixels(SIDE)
        m = (pixels @ matrix @ np.linalg.inv(pixels))[:2]
        x, y = (a * _X + b * _Y + c for a, b, c in m.tolist())
        both = (np.minimum(x, y) >= RIM) & (np.maximum(x, y) <= SIDE - 1 - RIM)
        shown = np.sort(both.mean() * np.array([1, abs(np.linalg.det(m[:, :2]))]))
        if shown[0] < LEAST_OTHER or shown[1] < LEAST:
            return
        moved = cv2.warpAffine(first, m, (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        self.inside = both.astype(np.float32)
        self.one, self.other = ((some - _mean(some * self.inside) / _mean(self.inside)) * self.inside for some in (_detail(moved), detail))
        self.energies = _mean(self.one * self.one), _mean(self.other * self.other)
        if min(self.energies) > 1e-3:  # of a picture of one grey level there is none
            self.agreement = _mean(self.one * self.other) / (self.energies[0] * self.energies[1]) ** 0.5

    def compare(self, grain: float) -> Comparison:
        if self.agreement < 0:
            return NOTHING
        one, other, part = self.one, self.other, np.maximum(_around(self.inside), 1e-3)
        # Sums that run along a row leave traces of rounding, which must not become negative.
        own, others = (np.maximum(_around(detail * detail), 0) / part for detail in (one, other))
        share = _mean(self.inside)
        at = (self.inside[::STEP, ::STEP] > 0) & (
            np.maximum(own / self.energies[0], others / self.energies[1])[::STEP, ::STEP] * share > FAINT
        )
        local = (_around(one * other) / part / np.sqrt(own * others + 1e-6))[::STEP, ::STEP][at]
        even = (
            detail / (np.sqrt(around) + EVEN * (energy / share) ** 0.5)
            for detail, around, energy in zip((one, other), (own, others), self.energies, strict=True)
        )
        return Comparison(self.agreement, float(np.quantile(local, 0.1)), _displacement(*even, self.inside, at) / grain, self.matrix)


def _detail(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), FINE) - cv2.GaussianBlur(picture, (0, 0), BROAD)


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64))


def _around(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (AROUND, AROUND))


def _displacement(one: np.ndarray, other: np.ndarray, inside: np.ndarray, at: np.ndarray) -> float:
    """By how much details of even contrast are displaced, in each neighbourhood by least squares (Lucas and Kanade, 1981)."""
    mean, change = (one + other) * 0.5, (other - one) * inside
    x, y = cv2.Sobel(mean, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(mean, cv2.CV_32F, 0, 1, scale=0.125)
    xx, yy, xy, xc, yc = (
        _around(product)[::STEP, ::STEP][at].astype(np.float64)
        for product in (x * x * inside, y * y * inside, x * y * inside, x * change, y * change)
    )
    still = 0.02 * (xx + yy).mean() + 1e-9  # where there is nothing to go by, nothing moves
    xx, yy = xx + still, yy + still
    return float(np.quantile(np.hypot(yy * xc - xy * yc, xx * yc - xy * xc) / (xx * yy - xy * xy), 0.75))

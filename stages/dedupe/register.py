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
RIM = 8  # pixels at a picture's border that are not compared: what lies beyond it reaches as far into the detail
LEAST, LEAST_OTHER = 0.5, 0.05  # shares of one picture and of the other that both must show: one may be a small part of the other
COUNT = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS
# Pictures are laid over each other at 40, then 80 and 160 pixels: side, most steps, least gain and smoothing of each search.
COARSEST, FINER = (SIDE // 4, (COUNT, 30, 1e-4), 3), ((SIDE // 2, (COUNT, 30, 1e-4), 5), (SIDE, (COUNT, 15, 1e-4), 5))
HALF = SIDE // 2
# Agreement of details at half the size, below which it ends there: other pictures reach .87, and what is the same or a neighbour at least .93.
HOPELESS = 0.8
HOPELESS_WORST = 0.3  # agreement of the worst tenth, below which there is no finer search
NEGATIVE = -0.3  # correlation of grey levels, below which one is a negative of the other
# Tilt of a picture's axes, about two degrees, up to which it is the same: what was cut, or turned by a quarter, stays upright.
TILT = 0.03
WORST = 0.6  # agreement of a copy in its worst tenth; of those known it is .68 at least
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
        return bool(self.agreement >= least and self.worst >= WORST and tilt <= TILT and self.displacement <= displaced)


NOTHING = Comparison(-1.0, -1.0, np.inf, np.eye(3))


def compare(first: np.ndarray, second: np.ndarray, start: np.ndarray, least: float, grain: float = 1) -> Comparison:
    """Compare two pictures, uint8 [SIDE, SIDE]; start: where to begin, a matrix as in Comparison; least: as in is_same; grain: pixels here that
    are one of the coarser picture as stored, where that is more than one. NOTHING where they have nothing in common.
    """
    if abs(np.linalg.det(start[:2, :2])) < 0.99:  # details are as fine as those of the one that shows more
        found = compare(second, first, np.linalg.inv(start), least, grain)
        return found._replace(matrix=np.linalg.inv(found.matrix))
    pair = _Pair(first, second)
    rough = pair.overlay(start, HALF)
    if rough.greys() < NEGATIVE:
        pair = _Pair(255 - first, second)
        rough = pair.overlay(start, HALF)
    found = None
    if rough.agreement >= HOPELESS:
        found = pair.overlay(start, SIDE)
        if found.agreement >= least and (same := found.compare(grain)).is_same(least):  # as most copies are, before anything is moved
            return same
    start = pair.search(start, *COARSEST)
    if start is None or pair.overlay(start, HALF).agreement < HOPELESS:
        return NOTHING
    compared = NOTHING
    for search in FINER:
        start = pair.search(start, *search)
        if start is None:
            break
        found = max(filter(None, (found, pair.overlay(start, SIDE))), key=lambda overlay: overlay.agreement)
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


class _Pair:
    """Two pictures, uint8 [SIDE, SIDE], at several sizes."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self._sizes, self._details = {SIDE: (first.astype(np.float32), second.astype(np.float32))}, {}
        for side in (HALF, COARSEST[0]):
            self._sizes[side] = tuple(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in self._sizes[2 * side])

    def overlay(self, matrix: np.ndarray, side: int) -> "_Overlay":
        first, second = self._sizes[side]
        if side not in self._details:
            self._details[side] = _detail(second)
        return _Overlay(first, second, self._details[side], matrix)

    def search(self, start: np.ndarray, side: int, criteria: tuple, smoothing: int) -> np.ndarray | None:
        """The matrix by which they correlate best around a start; None where they have too little in common."""
        first, second = self._sizes[side]
        pixels = _pixels(side)
        matrix = (pixels @ start @ np.linalg.inv(pixels))[:2].astype(np.float32)
        try:
            matrix = cv2.findTransformECC(second, first, matrix, cv2.MOTION_AFFINE, criteria, None, smoothing)[1]
        except cv2.error:
            return None
        return np.linalg.inv(pixels) @ np.vstack([matrix, [0, 0, 1]]) @ pixels


_GRIDS = {side: np.mgrid[:side, :side].astype(np.float32) for side in (HALF, SIDE)}


class _Overlay:
    """Details of two pictures, the first laid over the second by a matrix, where both show something."""

    def __init__(self, first: np.ndarray, second: np.ndarray, detail: np.ndarray, matrix: np.ndarray):
        """first, second: float32 [side, side]; detail: that of the second."""
        self.matrix, self.agreement, self._greys = matrix, -1.0, None
        side = len(first)
        pixels, rim = _pixels(side), RIM * side / SIDE
        m = (pixels @ matrix @ np.linalg.inv(pixels))[:2]
        x, y = (a * _GRIDS[side][1] + b * _GRIDS[side][0] + c for a, b, c in m.tolist())
        both = (np.minimum(x, y) >= rim) & (np.maximum(x, y) <= side - 1 - rim)
        shown = np.sort(both.mean() * np.array([1, abs(np.linalg.det(m[:, :2]))]))
        if shown[0] < LEAST_OTHER or shown[1] < LEAST:
            return
        moved = cv2.warpAffine(first, m, (side, side), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        self._greys = moved, second, both
        self.inside = both.astype(np.float32)
        self.one, self.other = ((some - _mean(some * self.inside) / _mean(self.inside)) * self.inside for some in (_detail(moved), detail))
        self.energies = _mean(self.one * self.one), _mean(self.other * self.other)
        if min(self.energies) > 1e-3:  # of a picture of one grey level there is none
            self.agreement = _mean(self.one * self.other) / (self.energies[0] * self.energies[1]) ** 0.5

    def greys(self) -> float:
        """The correlation of their grey levels, 0 where there is none."""
        if not self._greys:
            return 0.0
        *greys, both = self._greys
        one, other = (grey[both] - _mean(grey[both]) for grey in greys)
        return _mean(one * other) / max(_mean(one * one) * _mean(other * other), 1e-9) ** 0.5

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

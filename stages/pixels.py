"""Pictures as arrays: decoding, the three geometries and the black border, for every stage alike."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

# The sharpest filter: blurrier ones let neighbouring slices correlate like copies of one picture (docs/data.md).
RESAMPLING = Image.Resampling.LANCZOS
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow hands others, such as EPS, to programs outside
BLACK = 16  # grey level up to which a pixel counts as border: JPEG noise around black stays below it
SPECK = 0.02  # share of a row or column up to which it counts as black: a speck or a thin caption in the border


class Undecodable(Exception):
    """A file that is no usable picture; the message is a reason fit for rejected.csv."""


def open_image(data: bytes, max_megapixels: float) -> Image.Image:
    """Read an image file's header, whatever its extension claims: size, mode and format, no pixels yet.

    Raises Undecodable when the data are not an image or declare more than max_megapixels.
    """
    try:
        with warnings.catch_warnings():  # the limit below is ours, and stricter than the one Pillow warns about
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Undecodable("too large") from None
    except Exception:  # Pillow's parsers raise OSError, SyntaxError, struct.error, ... on what they take for a header
        raise Undecodable("not an image") from None
    if image.width * image.height > max_megapixels * 1e6:
        raise Undecodable("too large")
    return image


def decode(image: Image.Image, at_least: int | None = None) -> Image.Image:
    """Decode an opened image to grey.

    With at_least, a JPEG may come at a half, quarter or eighth of its size as long as both sides keep that many
    pixels: libjpeg then skips most of the inverse transform. Raises Undecodable when the data are cut short or damaged.
    """
    try:
        if at_least:
            image.draft("L", (at_least, at_least))
        return to_grey(image)
    except Exception as error:
        raise Undecodable(f"damaged: {type(error).__name__}") from None


def to_grey(image: Image.Image) -> Image.Image:
    """8-bit grey, upright after EXIF, 16-bit scaled down, transparency over black."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(image, dtype=np.float32)
        white = 1 if values.max() <= 1 else max(values.max(), 255)  # float pictures come in 0..1 or in grey levels
        return Image.fromarray((values * (255 / white)).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L")


def head_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Bounding box (left, top, right, bottom) of what is not black; the whole picture if all of it is.

    A row or column belongs to the head when more than SPECK of it is brighter than BLACK.
    """
    bright = np.asarray(image) > BLACK
    rows, columns = np.flatnonzero(bright.mean(1) > SPECK), np.flatnonzero(bright.mean(0) > SPECK)
    if not len(rows) or not len(columns):
        return (0, 0, *image.size)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def bars(pixels: np.ndarray) -> np.ndarray:
    """float [N, 4]: the widths of the black bars at the top, bottom, left and right of uint8 [N, S, S], as shares of the side."""
    bright = pixels > BLACK
    widths = []
    for axis in (2, 1):
        lines = bright.mean(axis) > SPECK
        widths += [np.where(side.any(1), side.argmax(1) / side.shape[1], 1.0) for side in (lines, lines[:, ::-1])]
    return np.stack(widths, 1)


def squash(image: Image.Image, size: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """uint8 [size, size]: the picture, or a box of it, resized without regard to its aspect."""
    return np.asarray(image.resize((size, size), RESAMPLING, box=box))


def pad(image: Image.Image, size: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """uint8 [size, size]: the picture, or a box of it, in its own aspect and centred on black."""
    left, top, right, bottom = box or (0, 0, *image.size)
    scale = size / max(right - left, bottom - top)
    width, height = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    canvas = np.zeros((size, size), np.uint8)
    y, x = (size - height) // 2, (size - width) // 2
    canvas[y : y + height, x : x + width] = np.asarray(image.resize((width, height), RESAMPLING, box=box))
    return canvas


def to_square(image: Image.Image, size: int, geometry: str) -> np.ndarray:
    """uint8 [size, size] by one of the geometries of params: squash, pad, or head (cropped to the head, then padded)."""
    if geometry == "squash":
        return squash(image, size)
    return pad(image, size, head_box(image) if geometry == "head" else None)

"""Pictures as arrays: decoding, the three geometries and the black border, for every stage alike.

Samples of 8 bits are taken as they are. Of others, integers of 16 or 32 bits, signed or not, and floats:

- those that are all in 0..1 (floats), 0..255 or 0..65535 (integers), and span half of it, are of that range;
- any others are stretched: one in a thousand samples is below black, one in a thousand above white;
- samples that are no number, infinite, or the lowest that the type has (a mark for "nothing here") are black, and count for no range.

A TIFF whose photometric interpretation is "white is zero" is inverted. Colours become luminance, and transparency black.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

# The sharpest filter: blurrier ones let neighbouring slices correlate like copies of one picture (docs/data.md).
RESAMPLING = Image.Resampling.LANCZOS
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow hands others, such as EPS, to programs outside
BLACK = 16  # grey level up to which a pixel counts as border: JPEG noise around black stays below it
SPECK = 0.02  # share of a row or column up to which it counts as black: a speck or a thin caption in the border
BLANK = 4  # grey levels: what spans fewer shows nothing
PhotometricInterpretation, NewSubfileType, Orientation = 262, 254, 274  # tags of TIFF
OTHERS = {  # what else is found in sets of medical pictures: first bytes, from which byte on, -> its name
    (b"DICM", 128): "DICOM", (b"n+1\0", 344): "NIfTI", (b"ni1\0", 344): "NIfTI", (b"\x89HDF", 0): "HDF5", (b"CDF\1", 0): "MINC",
    (b"MATLAB 5.0 MAT", 0): "a MATLAB file", (b"NRRD000", 0): "NRRD", (b"\0\0\0\x0cjP  ", 0): "JPEG 2000", (b"\xff\x4f\xff\x51", 0): "JPEG 2000",
    (b"\0\0\0\x0cJXL ", 0): "JPEG XL", (b"\xff\x0a", 0): "JPEG XL",
    (b"ftypavif", 4): "AVIF", (b"ftypavis", 4): "AVIF", (b"ftyp", 4): "HEIC or a video", (b"8BPS", 0): "a Photoshop file", (b"%PDF", 0): "PDF", (b"\x1f\x8b", 0): "gzip",
    (b"PK\3\4", 0): "a zip", (b"7z\xbc\xaf", 0): "a 7z archive", (b"Rar!", 0): "a RAR archive", (b"P5", 0): "PGM", (b"P6", 0): "PPM",
    (b"II*\0", 0): "a TIFF of this kind", (b"MM\0*", 0): "a TIFF of this kind", (b"II+\0", 0): "BigTIFF", (b"MM\0+", 0): "BigTIFF",
}  # fmt: skip
TOO_MUCH_TEXT = "more text than picture"

PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # programs write whole histories into a chunk; the total keeps bombs out


class Undecodable(Exception):
    """A file that is no usable picture; the message is a reason fit for rejected.csv."""


def open_image(data: bytes, max_megapixels: float) -> Image.Image:
    """Read an image file's header, whatever its extension claims: size, mode and format, no pixels yet.

    Raises Undecodable when the data are not an image, are several, or declare more than max_megapixels.
    """
    try:
        image = _open(data, FORMATS)
    except Image.DecompressionBombError:
        raise Undecodable("too large") from None
    except Exception as error:  # Pillow's parsers raise OSError, SyntaxError, struct.error, ... on what they take for a header
        raise Undecodable(_why_no_image(data, error)) from None
    if image.width * image.height > max_megapixels * 1e6:
        raise Undecodable("too large")
    if _holds_several(data, image.format):
        raise Undecodable("a stack or an animation of several pictures; save each as a file of its own")
    return image


def _open(data: bytes, formats: list[str] | tuple[str, ...]) -> Image.Image:
    with warnings.catch_warnings():  # the limit above is ours, and stricter than the one Pillow warns about
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(data), formats=formats)


def _why_no_image(data: bytes, error: Exception) -> str:
    if "MAX_TEXT" in str(error):
        return TOO_MUCH_TEXT
    found = next((name for (start, offset), name in OTHERS.items() if data.startswith(start, offset)), None)
    return f"{found}, which is not read; convert it to PNG" if found else "not an image"


def _holds_several(data: bytes, form: str | None) -> bool:
    if form not in ("TIFF", "GIF", "WEBP", "PNG"):  # the second picture of a JPEG is a preview
        return False
    try:
        image = _open(data, [form])  # of its own, since going through it moves it
        if image.n_frames == 1 or form != "TIFF":
            return image.n_frames > 1
        pages = 0
        for number in range(image.n_frames):
            image.seek(number)
            pages += not int(image.tag_v2.get(NewSubfileType, 0)) & 1  # a preview
        return pages > 1
    except Exception:  # what comes behind the first picture is damaged, or the file has no frames at all
        return False


def decode(image: Image.Image, at_least: int | None = None) -> Image.Image:
    """Decode an opened image to grey.

    With at_least, a JPEG may come at a half, quarter or eighth of its size as long as both sides keep that many
    pixels: libjpeg then skips most of the inverse transform. Raises Undecodable when the data are cut short or damaged.
    """
    try:
        if at_least:
            image.draft("L", (at_least, at_least))
        return to_grey(image)
    except Undecodable:
        raise
    except Exception as error:
        raise Undecodable(TOO_MUCH_TEXT if "MAX_TEXT" in str(error) else f"damaged: {type(error).__name__}") from None


def to_grey(image: Image.Image) -> Image.Image:
    """8-bit grey, upright after EXIF, other samples than those of 8 bits by the rule above, transparency over black."""
    inverted = image.format == "TIFF" and image.tag_v2.get(PhotometricInterpretation) == 0  # Pillow inverts those of 8 bits itself
    if _is_deep_colour(image):
        return _upright(_levels(_deep_colour(image)), image)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        return Image.fromarray(_levels(np.asarray(image), inverted))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L")


def _levels(samples: np.ndarray, inverted: bool = False) -> np.ndarray:
    """uint8 [H, W] of samples [H, W] of any other type, by the rule above. Raises Undecodable where no sample is a number."""
    values = samples.astype(np.float64)
    marks = (-(2.0**15), -(2.0**31)) if samples.dtype.kind == "i" else ()
    known = np.isfinite(values) & (np.abs(values) < 1e30) & ~np.isin(values, marks)  # the lowest float is a mark too
    if not known.any():
        raise Undecodable("no pixel has a value")
    least, most = values[known].min(), values[known].max()
    low, high = np.percentile(values[known], (0.1, 99.9))
    for white in (255.0, 65535.0) if samples.dtype.kind in "iu" else (1.0, 255.0):
        if least >= 0 and most <= white and high - low >= white / 2:
            low, high = 0.0, white
            break
    if high <= low:  # nearly all of it is one level
        low, high = least, max(most, np.nextafter(least, np.inf))
    grey = np.where(known, (values - low) / (high - low), 0)
    grey = np.where(known & inverted, 1 - grey, grey)
    return (grey * 255).round().clip(0, 255).astype(np.uint8)


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether it has 16 bits a sample and several samples a pixel: Pillow drops the lower half of them, where all of a 12-bit picture is."""
    kind = image.tile[0].args if image.tile else ""
    kind = kind[0] if isinstance(kind, tuple) and kind else kind
    return str(kind).startswith(("RGB;16", "RGBA;16", "LA;16"))


def _deep_colour(image: Image.Image) -> np.ndarray:
    """uint16 [H, W]: the luminance, over black, as stored, of an image of which no pixel has been decoded yet."""
    import cv2

    place = image.fp.tell()
    image.fp.seek(0)
    samples = cv2.imdecode(np.frombuffer(image.fp.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    image.fp.seek(place)
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3:
        raise Undecodable("damaged: 16 bits a sample that cannot be read")
    luminance = samples[..., :3] @ np.array([0.114, 0.587, 0.299])  # blue first; ITU-R 601-2, as Pillow's
    if samples.shape[2] == 4:
        luminance *= samples[..., 3] / 65535
    return luminance.round().astype(np.uint16)


def _upright(grey: np.ndarray, image: Image.Image) -> Image.Image:
    turned = Image.fromarray(grey)
    turned.getexif()[Orientation] = image.getexif().get(Orientation, 1)
    return ImageOps.exif_transpose(turned)


def is_blank(grey: np.ndarray) -> np.ndarray:
    """Whether pictures, uint8 [..., S, S], show nothing: all of one level, or nearly."""
    return np.ptp(grey, axis=(-2, -1)) < BLANK


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

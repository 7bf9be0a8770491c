"""The copies of a picture that real collections are full of, each made from the bytes of an image file."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """A JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _resized(image: Image.Image) -> Image.Image:
    return image.resize((round(image.width * 0.6), round(image.height * 0.6)), Image.Resampling.BICUBIC)


def _squashed(image: Image.Image) -> Image.Image:
    return image.resize((round(image.width * 0.9), round(image.height * 0.7)), Image.Resampling.BICUBIC)


def _cut(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    """Cut shares of the head's sides off, 0: at the first row or column that crosses the head; -1 leaves the border there."""

    def cut(image: Image.Image) -> Image.Image:
        bright = np.asarray(image.convert("L")) > 16
        rows, columns = np.flatnonzero(bright.mean(1) > 0.02), np.flatnonzero(bright.mean(0) > 0.02)
        height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        low = columns[0] + left * width, rows[0] + top * height
        high = columns[-1] + 1 - right * width, rows[-1] + 1 - bottom * height
        (x, y), (right_edge, lower_edge) = np.maximum(low, 0), np.minimum(high, image.size)
        return image.crop((round(x), round(y), round(right_edge), round(lower_edge)))

    return cut


def _lit(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def _edited(edit: Callable[[Image.Image], Image.Image], quality: int = 90) -> Callable[[bytes], bytes]:
    return lambda data: jpeg(edit(Image.open(io.BytesIO(data))), quality)


COPIES: dict[str, Callable[[bytes], bytes]] = {
    "exact": bytes,
    "reencoded": _edited(lambda image: image, 70),
    "resized": _edited(_resized),
    "squashed": _edited(_squashed),
    "cropped": _edited(_cut(0, 0, 0, 0)),
    "trimmed": _edited(_cut(0.08, 0.06, 0.1, 0.08)),
    "lopsided": _edited(_cut(0.18, -1, -1, -1)),
    "brightened": _edited(_lit(1.15)),
    "trimmed_dimmed": _edited(lambda image: _lit(0.8)(_cut(0.06, 0.08, 0.08, 0.1)(image))),
    "mirrored": _edited(ImageOps.mirror),
    "flipped": _edited(ImageOps.flip),
    "rotated": _edited(lambda image: image.transpose(Image.Transpose.ROTATE_180)),
    "turned": _edited(lambda image: image.transpose(Image.Transpose.ROTATE_90)),
    "transposed": _edited(lambda image: image.transpose(Image.Transpose.TRANSPOSE)),
    "lopsided_mirrored": _edited(lambda image: ImageOps.mirror(_cut(-1, -1, 0.16, -1)(image))),
    "inverted": _edited(ImageOps.invert),
    "twin": _edited(lambda image: image, 75),
    "corrupt": lambda data: data[: len(data) // 2],
}

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


def _cropped(image: Image.Image) -> Image.Image:
    """Without its black border: from the first to the last row and column that crosses the head."""
    bright = np.asarray(image.convert("L")) > 16
    rows, columns = np.flatnonzero(bright.mean(1) > 0.02), np.flatnonzero(bright.mean(0) > 0.02)
    return image.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def _edited(edit: Callable[[Image.Image], Image.Image], quality: int = 90) -> Callable[[bytes], bytes]:
    return lambda data: jpeg(edit(Image.open(io.BytesIO(data))), quality)


COPIES: dict[str, Callable[[bytes], bytes]] = {
    "exact": bytes,
    "reencoded": _edited(lambda image: image, 70),
    "resized": _edited(_resized),
    "squashed": _edited(_squashed),
    "cropped": _edited(_cropped),
    "brightened": _edited(lambda image: ImageEnhance.Brightness(image).enhance(1.15)),
    "mirrored": _edited(ImageOps.mirror),
    "flipped": _edited(ImageOps.flip),
    "twin": _edited(lambda image: image, 75),
    "corrupt": lambda data: data[: len(data) // 2],
}

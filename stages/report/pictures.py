"""Pictures inside the page."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from stages.catalog import PIXELS, pixel_rows

SIDE = 224  # of a picture in the page, at most, pixels


class Pictures:
    """The preprocessed pictures, as the network gets them, each encoded when it is asked for."""

    def __init__(self):
        self._pixels = np.load(PIXELS, mmap_mode="r")
        self._row_of = pixel_rows()

    def show(self, row: pd.Series) -> dict:
        """A row of the predictions as a card: its fields, the picture as a data URI (`uri`), its side and a text for who cannot see it."""
        image = Image.fromarray(self._pixels[self._row_of[row.image_id]])
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        uri = _encode(image)
        text = f"{row.plane or 'MRI'} picture of {row.who}: {row.label}, taken for {row.predicted}"
        return row.to_dict() | {"uri": uri, "side": image.width, "alt": text[0].upper() + text[1:]}

    def cards(self, rows: pd.DataFrame) -> list[dict]:
        return [self.show(row) for _, row in rows.iterrows()]


def inline(path: str, width: int) -> dict:
    """A picture file, at most so many pixels wide, as a data URI (`uri`) with its width and height."""
    with Image.open(path) as image:
        image = image.convert("RGB")
    image.thumbnail((width, image.height), Image.Resampling.LANCZOS)
    return {"uri": _encode(image), "width": image.width, "height": image.height}


def _encode(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80, method=6)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()

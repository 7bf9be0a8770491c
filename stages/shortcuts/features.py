"""What can be said of a picture without looking at what it shows."""

import numpy as np
import pandas as pd

from stages.pixels import BLACK, bars

EDGE = 2  # width of the border, pixels of the thumbnail
FEATURES = {
    "file": ["width", "height", "mode", "format", "source"],
    "intensity": ["mean", "sd", "black"],
    "border": ["border_mean", "border_sd", "border_black", "bar_top", "bar_bottom", "bar_left", "bar_right"],
}


def describe(catalog: pd.DataFrame, thumbnails: np.ndarray) -> pd.DataFrame:
    """All columns of FEATURES, by image_id, for rows of the catalog and their uint8 thumbnails [N, S, S]; words as categories.

    mean and sd are in grey levels; black is the share of pixels up to pixels.BLACK. The border is the outermost EDGE pixels on
    all sides. A bar is the width of the black bar at that side, as a share of the picture's.
    """
    ring = np.ones(thumbnails.shape[1:], bool)
    ring[EDGE:-EDGE, EDGE:-EDGE] = False
    table = catalog.set_index("image_id")[FEATURES["file"]].astype({"width": float, "height": float})
    table = table.astype({"mode": "category", "format": "category", "source": "category"})
    for name, values in (("", thumbnails.reshape(len(thumbnails), -1)), ("border_", thumbnails[:, ring])):
        table[f"{name}mean"] = values.mean(1)
        table[f"{name}sd"] = values.std(1)
        table[f"{name}black"] = (values <= BLACK).mean(1)
    table[["bar_top", "bar_bottom", "bar_left", "bar_right"]] = bars(thumbnails)
    return table

"""A contact sheet: published test pictures beside the same picture in a published training folder, a row a kind of copy."""

import textwrap
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.demonstration import titled
from stages.leaks.counts import CLOSEST
from stages.lettering import lettered
from stages.pixels import decode, open_image

matplotlib.use("agg")

EXAMPLES = 3  # pairs a kind
PICTURE, PAIR, BAND, TOP = 2.4, 5.2, 3.4, 0.6  # inches: a picture's side, the width of a pair, the height of a kind, the title's
WIDTH = PAIR * EXAMPLES + 0.2
MEANING = {
    "exact": "the same file, byte for byte",
    "reencoded": "compressed again: other bytes, the same picture",
    "brightened": "brighter or darker",
    "resized": "another size",
    "squashed": "another aspect",
    "cropped": "the border cut off or added",
    "mirrored": "left and right swapped",
    "flipped": "upside down",
    "rotated": "turned by 180 degrees",
    "turned": "a quarter turn, mirrored or not",
    "inverted": "a negative",
}


def draw(table: pd.DataFrame, pairs: pd.DataFrame, demonstration: bool, path: str | Path) -> None:
    """Write the PNG; table: image_id, source, member, width, height; pairs: of counts.published_pairs, row numbers of the table."""
    kinds = [kind for kind in CLOSEST if (pairs.kind == kind).any()]
    height = TOP + BAND * len(kinds)
    figure = Figure(figsize=(WIDTH, height))
    title = f"Published test pictures that a published training folder {'holds too' if kinds else 'holds: none'}"
    figure.text(0.5, 1 - 0.3 / height, titled(title, demonstration), ha="center", size=15)
    for row, kind in enumerate(kinds):
        mine = pairs[pairs.kind == kind]
        top = height - TOP - BAND * row  # inches from the bottom, as all that follows
        figure.text(0.2 / WIDTH, (top - 0.25) / height, f"{kind}: {MEANING[kind]} ({len(mine):,} pairs)", weight="bold", size=12)
        for column, pair in enumerate(_examples(mine).itertuples()):
            for half, (side, number) in enumerate((("in training", pair.train), ("in test", pair.test))):
                left = 0.2 + column * PAIR + half * (PICTURE + 0.1)
                panel = figure.add_axes((left / WIDTH, (top - BAND + 0.1) / height, PICTURE / WIDTH, PICTURE / height))
                _show(panel, table.loc[number], side)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes


def _examples(pairs: pd.DataFrame) -> pd.DataFrame:
    # Of the same set where there are any, from all over the list, so that classes and sets vary.
    inside = pairs[pairs.test_source == pairs.train_source]
    chosen = (inside if len(inside) else pairs).drop_duplicates("test").sort_values(["test", "train"])
    return chosen.iloc[np.unique(np.linspace(0, len(chosen) - 1, EXAMPLES).round().astype(int))]


def _show(panel, row: pd.Series, side: str) -> None:
    with zipfile.ZipFile(f"data/raw/{row.source}.zip") as archive:
        grey = decode(open_image(archive.read(row.member), max_megapixels=float("inf")))  # merge has refused what is too large
    panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
    panel.axis("off")
    # A name breaks between folders; the sides of the stored picture tell what a resized or squashed copy hides here.
    name = textwrap.fill(lettered(row.image_id).replace("/", "/ "), 34, break_on_hyphens=False).replace("/ ", "/")
    panel.set_title(f"{side}, {row.width} x {row.height}\n{name}", size=8)

"""The figures of a picture's explanation, and what the explained pictures say together."""

import numpy as np
import pandas as pd
from PIL import Image

from stages.explain.faithfulness import Probability, by_attention, deletion, insertion
from stages.pixels import head_box

BASELINES = ("random", "head", "centre")  # maps that know nothing of the class, the last two only where the head is
COLUMNS = [
    "inside_head",
    "head_area",
    *(f"{name}{end}" for name in ("deletion", "insertion") for end in ("", *(f"_{b}" for b in BASELINES))),
]
OUTCOMES = ("right", "wrong")


def measure(probability: Probability, picture: np.ndarray, attention: np.ndarray, random: np.ndarray) -> dict[str, float]:
    """COLUMNS of one picture, uint8 [S, S]; without any attention only head_area is a number.

    attention: [S, S], 0 to 1; random: [S, S], the attention of the random baseline. The baseline head is that inside the box around the
    head first; centre a Gaussian in the middle of it. inside_head and head_area are shares of the attention and of the pixels in the box.
    """
    left, top, right, bottom = head_box(Image.fromarray(picture))
    head_area = (right - left) * (bottom - top) / picture.size
    if not attention.any():
        return dict.fromkeys(COLUMNS, np.nan) | {"head_area": head_area}
    inside = np.zeros(picture.shape)
    inside[top:bottom, left:right] = 1
    y, x = ((np.arange(len(picture)) + 0.5 - (low + high) / 2) / max(high - low, 1) for low, high in ((top, bottom), (left, right)))
    centre = -np.hypot(y[:, None], x)  # in the order of any Gaussian as wide as the box
    orders = {"": attention, "_random": random, "_head": inside, "_centre": centre}
    orders = {end: by_attention(first, random) for end, first in orders.items()}
    return {
        "inside_head": attention[top:bottom, left:right].sum(dtype=float) / attention.sum(dtype=float),
        "head_area": head_area,
        **{f"deletion{end}": deletion(probability, picture, order) for end, order in orders.items()},
        **{f"insertion{end}": insertion(probability, picture, order) for end, order in orders.items()},
    }


def summarise(explained: pd.DataFrame, classes: list[str]) -> dict:
    """Means of the pictures that are right and of those that are wrong, all and of each class: outcome -> figures."""
    by_outcome = {outcome: explained[explained.outcome == outcome] for outcome in OUTCOMES}
    return {outcome: _means(mine) for outcome, mine in by_outcome.items()} | {
        "classes": {name: {outcome: _means(mine[mine.label == name]) for outcome, mine in by_outcome.items()} for name in classes}
    }


def _means(explained: pd.DataFrame) -> dict:
    """Over the pictures with any attention, and on what share of them it beats the random order and the centre; None where there are no such."""
    seen = explained[explained.inside_head.notna()]
    figures = {name: float(seen[name].mean()) for name in COLUMNS}
    for end, baseline in (("better", "random"), ("better_than_centre", "centre")):
        figures[f"deletion_{end}"] = float((seen.deletion < seen[f"deletion_{baseline}"]).mean())
        figures[f"insertion_{end}"] = float((seen.insertion > seen[f"insertion_{baseline}"]).mean())
    counts = {"pictures": len(explained), "without_attention": len(explained) - len(seen)}
    return counts | {name: value if len(seen) else None for name, value in figures.items()}

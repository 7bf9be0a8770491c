"""The figures of a picture's explanation, and what the explained pictures say together."""

import numpy as np
import pandas as pd
from PIL import Image

from stages.explain.faithfulness import Probability, by_attention, deletion, insertion
from stages.pixels import head_box

COLUMNS = ["inside_head", "head_area", "deletion", "deletion_random", "insertion", "insertion_random"]
OUTCOMES = ("right", "wrong")


def measure(probability: Probability, picture: np.ndarray, attention: np.ndarray, random: np.ndarray) -> dict[str, float]:
    """COLUMNS of one picture, uint8 [S, S]; without any attention only head_area is a number.

    attention: [S, S], 0 to 1; random: [S, S], the attention of the random baseline. inside_head and head_area are shares of the
    attention and of the pixels in the box around the head.
    """
    left, top, right, bottom = head_box(Image.fromarray(picture))
    head_area = (right - left) * (bottom - top) / picture.size
    if not attention.any():
        return dict.fromkeys(COLUMNS, np.nan) | {"head_area": head_area}
    guided, blind = by_attention(attention, random), by_attention(random, random)
    return {
        "inside_head": attention[top:bottom, left:right].sum(dtype=float) / attention.sum(dtype=float),
        "head_area": head_area,
        "deletion": deletion(probability, picture, guided),
        "deletion_random": deletion(probability, picture, blind),
        "insertion": insertion(probability, picture, guided),
        "insertion_random": insertion(probability, picture, blind),
    }


def summarise(explained: pd.DataFrame, classes: list[str]) -> dict:
    """Means of the pictures that are right and of those that are wrong, all and of each class: outcome -> figures."""
    by_outcome = {outcome: explained[explained.outcome == outcome] for outcome in OUTCOMES}
    return {outcome: _means(mine) for outcome, mine in by_outcome.items()} | {
        "classes": {name: {outcome: _means(mine[mine.label == name]) for outcome, mine in by_outcome.items()} for name in classes}
    }


def _means(explained: pd.DataFrame) -> dict:
    """Over the pictures with any attention, and on what share of them it beats the random order; None where there are no such."""
    seen = explained[explained.inside_head.notna()]
    figures = {name: float(seen[name].mean()) for name in COLUMNS} | {
        "deletion_better": float((seen.deletion < seen.deletion_random).mean()),
        "insertion_better": float((seen.insertion > seen.insertion_random).mean()),
    }
    counts = {"pictures": len(explained), "without_attention": len(explained) - len(seen)}
    return counts | {name: value if len(seen) else None for name, value in figures.items()}

"""Pictures beside their attention, every class, right and wrong."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.demonstration import titled
from stages.explain.figures import OUTCOMES
from stages.lettering import lettered

matplotlib.use("agg")
COLUMNS = 5


def draw(explained: pd.DataFrame, pairs: list[np.ndarray], classes: list[str], layer: str, demonstration: bool, path: Path) -> None:
    """Write a PNG, a row for each class and outcome.

    explained: columns label, predicted, probability, outcome; pairs: uint8 [S, 2 S, 3], a picture and its overlay for each.
    """
    rows = [(name, outcome) for name in classes for outcome in OUTCOMES]
    figure = Figure(figsize=(3.2 * COLUMNS, 1.9 * len(rows)), layout="constrained")
    title = f"What the model looked at: actual → predicted class with its probability, and Grad-CAM for the predicted class ({layer})"
    figure.suptitle(titled(title, demonstration))
    panels = figure.subplots(len(rows), COLUMNS)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], frame_on=False)
    for (name, outcome), line in zip(rows, panels, strict=True):
        mine = explained[(explained.label == name) & (explained.outcome == outcome)].head(COLUMNS)
        line[0].set_ylabel(lettered(name) + (f"\n{outcome}" if len(mine) else f"\nnone {outcome}"))
        for panel, row in zip(line, mine.itertuples(), strict=False):
            panel.imshow(pairs[row.Index])
            panel.set_title(lettered(f"{row.label} → {row.predicted} {row.probability:.2f}"), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})

"""The most suspicious labels with their pictures."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.demonstration import titled
from stages.lettering import lettered

matplotlib.use("agg")
COLUMNS, ROWS = 6, 5


def draw(suspects: pd.DataFrame, pictures: list[np.ndarray], demonstration: bool, path: Path) -> None:
    """Write a PNG of the first suspects (columns label, suggested, p_suggested, patient) and their pictures, uint8 [S, S] each."""
    figure = Figure(figsize=(13, 13.5), layout="constrained")
    figure.suptitle(titled("Labels to check, most suspicious first: label → what the model says, out of fold", demonstration))
    panels = figure.subplots(ROWS, COLUMNS)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, row, picture in zip(panels.flat, suspects.itertuples(), pictures, strict=False):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
        patient = f", patient {row.patient}" if row.patient else ""
        panel.set_title(lettered(f"{row.Index + 1}{patient}\n{row.label} → {row.suggested} {row.p_suggested:.2f}"), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})

"""Accuracy against confidence, for the probabilities as they come and as they are calibrated."""

import numpy as np
import pandas as pd

from stages.report.chart import Line, chart

LARGEST = 9  # radius of the dot of the fullest bin


def reliability_chart(name: str, title: str, table: pd.DataFrame) -> dict:
    """What the macro `chart` draws of a table of scores.reliability; name: its id."""
    confidence, accuracy, counts = (table[column].to_numpy(float) for column in ("confidence", "accuracy", "count"))
    radii = np.maximum(LARGEST * np.sqrt(counts / counts.max()), 1.5)
    said = (f"{a:.2f} right at confidence {c:.2f} ({n:.0f} pictures)" for c, a, n in zip(confidence, accuracy, counts, strict=True))
    return chart(
        name=name,
        title=title,
        description=f"A dot a bin of confidence; on the diagonal the confidence is right. {'; '.join(said)}.",
        x_label="Mean confidence of the bin",
        y_label="Share of the bin's predictions that are right",
        lines=[Line("test pictures", confidence, accuracy, colour=0, radii=radii, in_legend=False)],
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
    )

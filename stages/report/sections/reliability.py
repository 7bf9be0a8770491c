"""How often the predictions of each confidence are right."""

import numpy as np

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.results import Results

TITLE = "Reliability"
LARGEST = 9  # radius of the dot of the fullest bin


def context(results: Results) -> dict:
    table = read_table("metrics/plots/reliability.csv")
    confidence, accuracy, counts = (table[name].to_numpy(float) for name in ("confidence", "accuracy", "count"))
    radii = np.maximum(LARGEST * np.sqrt(counts / counts.max()), 1.5)
    said = (f"{a:.2f} right at confidence {c:.2f} ({n:.0f} pictures)" for c, a, n in zip(confidence, accuracy, counts, strict=True))
    drawn = chart(
        name="reliability",
        title="Accuracy against confidence",
        description=f"A dot a bin of confidence; on the diagonal the confidence is right. {'; '.join(said)}.",
        x_label="Mean confidence of the bin",
        y_label="Share of the bin's predictions that are right",
        lines=[Line("test pictures", confidence, accuracy, colour=0, radii=radii, in_legend=False)],
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
    )
    return {"drawn": drawn, "ece": results.summary["ece"]}

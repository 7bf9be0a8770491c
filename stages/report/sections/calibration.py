"""What a temperature makes of the confidence, and what leaving doubtful pictures to a human brings."""

import json
from pathlib import Path

import numpy as np

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.results import Results

TITLE = "Calibration and abstention"
LARGEST = 9  # radius of the dot of the fullest bin
NAMES = {"ece": "Expected calibration error", "brier": "Brier score (0 to 2)"}


def context(results: Results) -> dict:
    calibration = json.loads(Path("metrics/calibration.json").read_text())
    temperatures = list(calibration["temperature"].values())
    rows = [{"name": title, "before": calibration["before"][key], "after": calibration["after"][key]} for key, title in NAMES.items()]

    table = read_table("metrics/plots/calibration.csv")
    confidence, accuracy, counts = (table[name].to_numpy(float) for name in ("confidence", "accuracy", "count"))
    reliability = chart(
        name="calibrated-reliability",
        title="Accuracy against calibrated confidence",
        description="; ".join(f"{a:.2f} right at confidence {c:.2f}" for c, a in zip(confidence, accuracy, strict=True)) + ".",
        x_label="Mean confidence of the bin",
        y_label="Share of the bin's predictions that are right",
        lines=[
            Line("test pictures", confidence, accuracy, 0, radii=np.maximum(LARGEST * np.sqrt(counts / counts.max()), 1.5), in_legend=False)
        ],
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
    )
    curves = list(read_table("metrics/plots/abstention.csv").groupby("class"))
    abstention = chart(
        name="abstention",
        title="Accuracy against the share of pictures that are answered",
        description=f"{'; '.join(f'{share}: accuracy {value:.3f}' for share, value in calibration['accuracy_of_answers'].items())}.",
        x_label="Share answered, the most confident first",
        y_label="Share of the answers that are right",
        lines=[Line(name, c.answered.astype(float), c.accuracy.astype(float), n, int(name != "all")) for n, (name, c) in enumerate(curves)],
        x_range=(0, 1),
    )
    return {"low": min(temperatures), "high": max(temperatures), "rows": rows, "charts": [reliability, abstention]}

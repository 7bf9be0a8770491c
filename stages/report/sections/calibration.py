"""What a temperature makes of the confidence, and what leaving doubtful pictures to a human brings."""

import json
from pathlib import Path

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.reliability_chart import reliability_chart
from stages.report.results import Results

TITLE = "Calibration, abstention and prediction sets"
NAMES = {"ece": "Expected calibration error", "brier": "Brier score (0 to 2)"}


def context(results: Results) -> dict:
    calibration = json.loads(Path("metrics/calibration.json").read_text(encoding="utf-8"))
    rows = [{"name": title, "before": calibration["before"][key], "after": calibration["after"][key]} for key, title in NAMES.items()]

    table = read_table("metrics/plots/calibration.csv")
    reliability = reliability_chart("calibrated-reliability", "Accuracy against calibrated confidence", table)
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
    return {
        "temperature": calibration["temperature"],
        "validation": calibration["validation_cross_entropy"],
        "rows": rows,
        "charts": [reliability, abstention],
        "sets": calibration["prediction_sets"],
    }

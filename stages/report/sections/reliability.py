"""How often the predictions of each confidence are right."""

from stages.catalog import read_table
from stages.report.reliability_chart import reliability_chart
from stages.report.results import Results

TITLE = "Reliability"


def context(results: Results) -> dict:
    table = read_table("metrics/plots/reliability.csv")
    return {"drawn": reliability_chart("reliability", "Accuracy against confidence", table), "ece": results.summary["ece"]}

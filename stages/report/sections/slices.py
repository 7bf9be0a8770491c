"""Accuracy and macro-F1 of the slices, the worst first."""

from stages.report.results import Results

TITLE = "Where it fails"


def context(results: Results) -> dict:
    return {"slices": results.slices["slices"]}

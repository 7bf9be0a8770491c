"""The groups with most errors."""

from stages.report.results import Results

TITLE = "Worst groups"
SHOWN = 25


def context(results: Results) -> dict:
    groups = results.slices["groups"]
    errors = sum(group["wrong"] for group in groups)
    ten = sum(group["wrong"] for group in groups[:10])
    return {"groups": groups[:SHOWN], "total": len(groups), "errors": errors, "ten": ten}

"""Precision, recall, F1 and specificity of each class, lowest F1 first."""

from stages.report.results import Results

TITLE = "Classes"


def context(results: Results) -> dict:
    supports = results.predictions.label.value_counts()
    classes = sorted(results.summary["classes"].items(), key=lambda item: item[1]["f1"]["mean"] or 0)
    rows = [{"name": name, "pictures": int(supports.get(name, 0)), "figures": values} for name, values in classes]
    return {"rows": rows, "metrics": {"precision": "Precision", "recall": "Recall", "f1": "F1", "specificity": "Specificity"}}

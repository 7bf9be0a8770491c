"""Precision, recall, F1 and specificity of each class."""

from stages.report.results import Results

TITLE = "Classes"


def context(results: Results) -> dict:
    supports = results.predictions.label.value_counts()
    rows = [{"name": name, "pictures": int(supports.get(name, 0)), "figures": results.summary[name]} for name in results.classes]
    return {"rows": rows, "metrics": {"precision": "Precision", "recall": "Recall", "f1": "F1", "specificity": "Specificity"}}

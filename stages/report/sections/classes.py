"""Precision, recall, F1 and specificity of each class, lowest F1 first."""

from stages.report.results import Results

TITLE = "Classes"


def context(results: Results) -> dict:
    supports = results.predictions.label.value_counts()
    classes = sorted(results.classes, key=lambda name: results.summary[name]["f1"]["mean"] or 0)
    rows = [{"name": name, "pictures": int(supports.get(name, 0)), "figures": results.summary[name]} for name in classes]
    return {"rows": rows, "metrics": {"precision": "Precision", "recall": "Recall", "f1": "F1", "specificity": "Specificity"}}

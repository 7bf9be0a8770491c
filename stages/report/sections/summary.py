"""Every figure of the summary with its spread and interval."""

from stages.report.results import Results
from stages.scores import METRICS

TITLE = "Summary"
NAMES = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro-F1",
    "macro_auroc": "Macro-AUROC", "ece": "Expected calibration error", "brier": "Brier score (0 to 2)",
}  # fmt: skip


def context(results: Results) -> dict:
    rows = [{"name": title, "meaning": METRICS[name], **results.summary[name]} for name, title in NAMES.items()]
    known = int((results.predictions.patient != "").sum())
    patients = results.summary["patients"]
    return {"rows": rows, "pictures": len(results.predictions), "known": known, "seeds": results.summary["seeds"], "patients": patients}

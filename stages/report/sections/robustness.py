"""What is left when images are noisy, blurred, turned or stored otherwise."""

import json
from pathlib import Path

from stages.report.results import Results

TITLE = "Robustness"


def context(results: Results) -> dict:
    robustness = json.loads(Path("metrics/robustness.json").read_text(encoding="utf-8"))
    unchanged = {"change": "as they are", "strength": "", "fell_by": 0.0, **robustness["unchanged"]}
    return {"rows": [unchanged, *robustness["changes"]], "pictures": robustness["pictures"], "classes": list(unchanged["recall"])}

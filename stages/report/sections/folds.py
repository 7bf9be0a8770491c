"""The same figures fold by fold, and of each seed alone."""

import json
from pathlib import Path

from stages.report.results import Results
from stages.report.sections.summary import NAMES

TITLE = "Folds"


def context(results: Results) -> dict:
    return json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8")) | {"names": NAMES}

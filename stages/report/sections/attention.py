"""What the models looked at."""

import json
from pathlib import Path

from stages.catalog import read_table
from stages.report.pictures import inline
from stages.report.results import Results

TITLE = "What it looked at"
FOLDER = Path("data/explain")
SHOWN = 4  # of each class and outcome
SIDE = 224


def context(results: Results) -> dict:
    figures = json.loads(Path("metrics/explain.json").read_text(encoding="utf-8"))
    explained = read_table(FOLDER / "index.csv")
    rows = []
    for (label, outcome), some in explained.groupby(["label", "outcome"]):
        cards = [{**row._asdict(), **inline(FOLDER / row.file, SIDE)} for row in some.head(SHOWN).itertuples()]
        rows.append({"label": label, "outcome": outcome, "cards": cards})
    return {"figures": {name: figures[name] for name in ("right", "wrong") if figures.get(name)}, "layer": figures["layer"], "rows": rows}

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
ORDERS = ("", "_random", "_head", "_centre")  # of the attention, and of what it is compared with
COLUMNS = ["inside_head", "head_area", *(f"{measure}{order}" for measure in ("deletion", "insertion") for order in ORDERS)]


def context(results: Results) -> dict:
    figures = json.loads(Path("metrics/explain.json").read_text(encoding="utf-8"))
    explained = read_table(FOLDER / "index.csv")
    rows = []
    for (label, outcome), some in explained.groupby(["label", "outcome"]):
        cards = [{**row._asdict(), **inline(FOLDER / row.file, SIDE)} for row in some.head(SHOWN).itertuples()]
        rows.append({"label": label, "outcome": outcome, "cards": cards})
    named = {f"{outcome}, {label}": each[outcome] for label, each in figures["classes"].items() for outcome in ("right", "wrong")}
    shown = {name: found for name, found in {"right": figures["right"], "wrong": figures["wrong"], **named}.items() if found["pictures"]}
    return {"figures": shown, "columns": COLUMNS, "layer": figures["layer"], "rows": rows}

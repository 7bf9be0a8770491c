"""The README and docs/recipes.md say what metrics/ say."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from harness.markers import with_part
from leaderboard.recipes import load_recipes
from tools import readme

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_committed_metrics(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name, text in readme.tables().items():
        document = readme.PARTS[name].read_text()
        assert with_part(document, name, text) == document, "run `make readme`"


def test_a_changed_metric_shows_as_drift(monkeypatch, tmp_path):
    for path in ROOT.iterdir():
        if path.name != "metrics":
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    summary = json.loads(Path("metrics/summary.json").read_text())
    summary["macro_f1"]["mean"] = 0.123
    Path("metrics/summary.json").write_text(json.dumps(summary))
    document = Path("README.md").read_text()
    drifted = with_part(document, "results", readme.tables()["results"])
    assert drifted != document and "| Macro-F1 | 0.123 |" in drifted


def test_of_our_own_systems_a_cell_says_what_was_not_run_and_what_was_run_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    changed = {"summary": {"demonstration": False}, "changed": {"train.epochs": 3}}
    (tmp_path / "ours-lite0-whole-sartaj-naive-same.json").write_text(json.dumps(changed))
    run = {"ours-lite0-whole-sartaj-naive": (0.9, None, "current"), "ours-lite0-whole-sartaj-distinct": (0.8, 0.7, "older")}
    table = pd.DataFrame(
        {"recipe": name, "metric": "accuracy", "same_protocol": same, "honest": honest, "state": state}
        for name in load_recipes()
        for same, honest, state in [run.get(name, (None, None, None))]
    )
    (row,) = readme.ours(table)
    assert (row["set"], row["training"], row["older"]) == ("Sartaj, 80/20", "whole †", True)
    assert list(row["columns"]) == ["0.900* / – / –", "0.800 / – / –", "0.700 / – / –"]


def test_how_many_rows_are_older_is_said_where_there_are_any():
    def said(*older: bool) -> str:
        return readme.render("older", {"rows": [{"older": one} for one in older]}).strip()

    assert said(True, False, False).startswith("†: older (1 of 3 rows): ")
    assert said(True, True).startswith("†: older (all 2 rows): ")
    assert said(False) == ""


def test_a_part_without_markers_is_an_error():
    with pytest.raises(ValueError, match="no <!-- results --> markers"):
        with_part("text", "results", "table")


def test_only_what_is_between_the_markers_changes():
    assert with_part("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", "new") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"

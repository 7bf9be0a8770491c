"""The README says what metrics/ say."""

from pathlib import Path

import pytest

from tools import readme
from tools.markers import with_part

ROOT = Path(__file__).parents[2]


def test_the_readme_tables_are_those_of_the_committed_metrics(monkeypatch):
    monkeypatch.chdir(ROOT)
    document = Path("README.md").read_text()
    for name, text in readme.tables().items():
        assert with_part(document, name, text) == document, "run `make readme`"


def test_a_changed_metric_shows_as_drift(monkeypatch):
    monkeypatch.chdir(ROOT)
    document = Path("README.md").read_text()
    drifted = readme.tables()["results"].replace("Macro-F1 | 0.", "Macro-F1 | 1.")
    assert with_part(document, "results", drifted) != document


def test_a_part_without_markers_is_an_error():
    with pytest.raises(ValueError, match="no <!-- results --> markers"):
        with_part("text", "results", "table")


def test_only_what_is_between_the_markers_changes():
    assert with_part("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", "new") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"

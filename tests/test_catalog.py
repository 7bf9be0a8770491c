import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.catalog import read_table, write_metrics, write_table


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_table_survives_the_way_to_disk_and_back():
    table = pd.DataFrame({
        "image_id": ["a/NA.jpg", 'b/nan, "1".jpg', "c/null\u00e9.jpg"], "label": ["NA", "None", "true"], "patient": ["", "", ""],
        "fold": [0, 1, 2], "weight": [1.0, 0.1, 1e-06], "kept": [True, False, True],
    })  # fmt: skip
    write_table(table, "deep/folder/table.csv")
    back = read_table("deep/folder/table.csv")
    for column in table:
        assert back[column].tolist() == table[column].tolist()
    assert b"\r" not in Path("deep/folder/table.csv").read_bytes()
    write_table(back, "again.csv")
    assert Path("again.csv").read_bytes() == Path("deep/folder/table.csv").read_bytes()


@pytest.mark.parametrize("column", ["patient", "label", "predicted", "published_split", "image_id"])
@pytest.mark.parametrize("values", [["007", "12"], ["1", "2"], ["True", "False"], ["1e5", "0x1"], ["", "3"]])
def test_text_that_looks_like_something_else_stays_text(column, values):
    write_table(pd.DataFrame({column: values}), "table.csv")
    assert read_table("table.csv")[column].tolist() == values


def test_an_empty_table_keeps_its_columns():
    write_table(pd.DataFrame({"image_id": [], "reason": []}), "table.csv")
    assert read_table("table.csv").columns.tolist() == ["image_id", "reason"] and read_table("table.csv").empty


def test_metrics_are_plain_ordered_rounded_json():
    write_metrics({"z": np.float32(0.1), "a": [np.int64(3), (1 / 3,)], "none": None, "yes": np.bool_(True)}, "metrics/x.json")
    assert Path("metrics/x.json").read_text().startswith('{\n  "z": 0.1,\n  "a"')
    assert json.loads(Path("metrics/x.json").read_text()) == {"z": 0.1, "a": [3, [0.333333]], "none": None, "yes": True}


def test_metrics_without_a_value_are_refused():
    with pytest.raises(SystemExit, match=r"^x.json: accuracy, folds.1.f1 came out as no finite number"):
        write_metrics({"accuracy": float("nan"), "folds": [{"f1": 1.0}, {"f1": np.float64("inf")}], "name": "nan"}, "x.json")
    assert not Path("x.json").exists()

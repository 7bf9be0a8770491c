"""The leaderboard of faked cells: the arithmetic of rows, and what a row says that was not run."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import ROOT

from leaderboard import plot
from leaderboard.recipes import Recipe, load_recipes
from leaderboard.table import COLUMNS, changes, collect, main
from stages.catalog import write_table


def cell(accuracy: float, low: float, high: float, leaked: int = 0, changed=None, demonstration: bool = False) -> dict:
    def figure(mean):
        return {"mean": mean, "std": 0.01, "low": low, "high": high}

    return {
        "changed": changed or {},
        "test_pictures": 200,
        "test_labels": {"glioma": 150, "notumor": 40, "pituitary": 10},
        "leaked_test_pictures": leaked,
        "accuracy_of_leaked": 0.995 if leaked else None,
        "accuracy_of_clean": 0.9,
        "validation_accuracy": 0.97,
        "others": {"best_accuracy": {"mean": 0.98}, "T1": {"accuracy": {"mean": 0.85}}},
        "summary": {
            "demonstration": demonstration,
            "pictures": 200,
            "accuracy": figure(accuracy),
            "classes": {
                "glioma": {"precision": figure(0.8)},
                "notumor": {"precision": figure(0.9)},
                "pituitary": {"precision": figure(None)},
            },
        },
    }


RECIPES = {
    "done": Recipe(
        document="kazemi",
        table="Table 1",
        params={"model.backbone": "resnet18"},
        reported={
            "accuracy": 0.98,
            "macro_precision": 0.95,
            "validation_accuracy": 0.96,
            "weighted_f1": 0.94,
            "weighted_precision": 0.94,
            "glioma": {"precision": 0.91},
            "best_accuracy": 0.99,
            "T1": {"accuracy": 0.86},
        },
        seconds_per_epoch=6.5,
        note="Other weights.",
    ),
    "half": Recipe(document="kazemi", table="Table 1", params={}, reported={"train_accuracy": 0.99}),
    "never": Recipe(document="bhandaru", table="Table 3", params={}, reported={"accuracy": 0.7}, missing="a thing"),
    "offline": Recipe(document="praveen", table="Table III", params={}, reported={"accuracy": 0.8}, weights_needed="vgg16.tv_in1k"),
}


@pytest.fixture
def board(tmp_path) -> pd.DataFrame:
    write(tmp_path, "done-same", cell(0.99, 0.98, 1.0, leaked=130))
    write(tmp_path, "done-honest", cell(0.91, 0.88, 0.93, changed={"train.epochs": 10}))
    write(tmp_path, "half-honest", cell(0.9, 0.8, 0.95))
    write(tmp_path, "never-same", cell(1.0, 1.0, 1.0, demonstration=True))
    return collect(RECIPES, tmp_path)


def write(folder, name, content):
    (folder / f"{name}.json").write_text(json.dumps(content))


def row(board: pd.DataFrame, recipe: str, metric: str) -> dict:
    rows = board[(board.recipe == recipe) & (board.metric == metric)]
    assert len(rows) == 1
    return rows.iloc[0].dropna().to_dict()


def test_every_published_figure_has_its_row_and_every_system_one_of_accuracy(board):
    assert list(board) == COLUMNS
    assert [(r.recipe, r.metric) for r in board.itertuples()] == [
        ("done", "accuracy"), ("done", "macro_precision"), ("done", "validation_accuracy"), ("done", "weighted_f1"), ("done", "weighted_precision"),
        ("done", "glioma.precision"), ("done", "best_accuracy"), ("done", "T1.accuracy"),
        ("done", "seconds_per_epoch"), ("done", "accuracy_of_leaked"), ("done", "accuracy_of_clean"), ("half", "accuracy"), ("half", "train_accuracy"), ("never", "accuracy"), ("offline", "accuracy"),
    ]  # fmt: skip


def test_a_finished_system_has_published_same_and_honest_side_by_side(board):
    assert row(board, "done", "accuracy") == {
        "recipe": "done", "document": "kazemi", "table": "Table 1", "metric": "accuracy", "published": 0.98, "same_protocol": 0.99,
        "honest": 0.91, "honest_low": 0.88, "honest_high": 0.93, "leaked_share": 0.65, "note": "Other weights. Run with train.epochs=10 (honest).", "state": "older",
    }  # fmt: skip


def test_what_a_system_was_run_with_is_known_once_a_key(board, tmp_path):
    write(tmp_path, "both-same", cell(0.9, 0.8, 1.0, changed={"train.epochs": 10}))
    write(tmp_path, "both-honest", cell(0.9, 0.8, 1.0, changed={"train.epochs": 10, "model.weights": "none"}))
    assert changes("both", tmp_path) == ["train.epochs=10", "model.weights=none"]
    assert changes("half", tmp_path) == changes("never", tmp_path) == changes("offline", tmp_path) == []


def test_figures_are_found_wherever_the_results_have_them(board):
    assert row(board, "done", "glioma.precision")["same_protocol"] == 0.8
    macro = row(board, "done", "macro_precision")
    assert macro["honest"] == pytest.approx(0.85), "over the classes that have one"
    assert "honest_low" not in macro, "a mean over classes has no interval of its own"
    weighted = row(board, "done", "weighted_precision")
    assert weighted["honest"] == pytest.approx((150 * 0.8 + 40 * 0.9) / 190), "by the pictures of the classes that have one"
    assert macro["note"] == "Run with train.epochs=10 (honest).", "the recipe's note stands beside accuracy"
    assert row(board, "done", "validation_accuracy")["honest"] == 0.97
    assert row(board, "done", "best_accuracy")["honest"] == 0.98
    assert row(board, "done", "T1.accuracy")["same_protocol"] == 0.85
    for metric in ("weighted_f1", "seconds_per_epoch"):
        assert not {"same_protocol", "honest"} & set(row(board, "done", metric))


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("half", "Not run: same; `make recipe NAME=half PROTOCOL=same` does."),
        ("never", "Not run; missing: a thing; then `make recipe NAME=never`."),
        ("offline", "Not run; `make recipe NAME=offline` does, where the weights of vgg16.tv_in1k can be fetched."),
    ],
)
def test_what_was_not_run_is_empty_and_says_how(board, name, note):
    found = row(board, name, "accuracy")
    assert found["note"] == note
    assert "same_protocol" not in found and "leaked_share" not in found, "a run on synthetic pictures is no result"
    assert ("honest" in found) == (name == "half")


def test_the_stage_writes_a_table_and_a_plot_without_any_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/one.yaml").write_text("{document: ours, table: x, params: {}, reported: {accuracy: 0.5}}")
    (tmp_path / "recipes/honest.yaml").write_text("params: {}")
    with contextlib.redirect_stdout(None):
        main()
    assert (tmp_path / "metrics/leaderboard.csv").read_text().splitlines() == [
        ",".join(COLUMNS),
        "one,ours,x,accuracy,0.5,,,,,,Not run; `make recipe NAME=one` does.,",
    ]
    with Image.open(tmp_path / "metrics/plots/leaderboard.png") as drawn:
        assert drawn.width == 1000


def test_the_picture_has_a_line_for_each_published_system_that_was_run():
    table = pd.DataFrame({"recipe": ["b", "a", "never", "other", "ours-x"], "document": ["kazemi", "kazemi", "kazemi", "bhandaru", "ours"]})
    table = table.assign(
        published=[0.9, 0.95, 0.99, np.nan, np.nan], same_protocol=[0.8, np.nan, np.nan, 0.6, 0.5], honest=[np.nan, 0.7, np.nan, 0.4, 0.3]
    )
    lines = plot._published(table.assign(state=["current", "older", "", "older", "older"]))
    assert list(zip(lines.recipe, lines.older, strict=True)) == [("other", True), ("a", True), ("b", False)]


def test_in_the_picture_a_system_of_ours_is_one_line_with_every_copy_and_with_distinct_pictures():
    recipes = [
        "lite1-svm-merged-naive",
        "lite0-svm-merged-distinct",
        "lite0-svm-merged-naive",
        "lite0-knn-merged-naive",
        "lite0-svm-sartaj-naive",
    ]
    table = pd.DataFrame({"recipe": [f"ours-{name}" for name in recipes], "document": "ours"})
    table = table.assign(table=[f"network; {'votes' if 'knn' in name else 'margins'}; set; copies" for name in recipes])
    table = table.assign(published=np.nan, same_protocol=[0.9, 0.7, 0.8, 0.6, 0.5], honest=[np.nan, 0.5, np.nan, 0.6, 0.4])
    lines = plot._ours(table.assign(state=["current", "older", "current", "current", "older"]))
    assert lines.older.tolist() == [False, True, False], "if either run is"
    assert list(zip(lines.training, lines.network, strict=True)) == [("votes", "lite0"), ("margins", "lite0"), ("margins", "lite1")]
    assert lines.same_protocol.tolist() == [0.6, 0.8, 0.9]
    assert lines.distinct.dropna().tolist() == [0.7]
    assert lines.honest.dropna().tolist() == [0.6, 0.5], "either run is the honest one of both"


def test_the_committed_table_is_that_of_the_recipes_and_the_committed_results(tmp_path):
    write_table(collect(load_recipes(ROOT / "recipes"), ROOT / "leaderboard/results"), tmp_path / "leaderboard.csv")
    assert (tmp_path / "leaderboard.csv").read_text() == (ROOT / "metrics/leaderboard.csv").read_text(), "run `make leaderboard`"


def test_honestly_naive_and_distinct_are_the_same_run_in_the_committed_results():
    folder = ROOT / "leaderboard/results"
    pairs = [
        (path, other)
        for path in folder.glob("ours-*-naive-honest.json")
        if (other := folder / path.name.replace("naive", "distinct")).exists()
    ]
    assert pairs
    for pair in pairs:
        naive, distinct = (json.loads(path.read_text()) for path in pair)
        assert naive["summary"] == distinct["summary"], f"run both again on one machine: {pair[0].stem}"

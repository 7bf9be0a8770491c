"""python -m leaderboard.cell as a user runs it, on a small synthetic data set."""

import json
import sys

import pytest
import yaml
from commands import run
from small_cell import NAME, SMALL

pytestmark = pytest.mark.slow


def test_one_command_trains_and_scores_both_protocols_and_the_second_repeats_nothing_that_is_the_same(checkout):
    output = run(sys.executable, "-m", "leaderboard.cell", NAME, "--set", *SMALL, "model.freeze=none", cwd=checkout)
    assert [output.count(f"Running stage '{stage}'") for stage in ("download@phantom", "merge", "dedupe", "weights")] == [1] * 4
    assert output.count("Running stage 'train'") == 2

    same, honest = (json.loads((checkout / f"leaderboard/results/{NAME}-{protocol}.json").read_text()) for protocol in ("same", "honest"))
    assert same["leaked_test_pictures"] > 0 and honest["leaked_test_pictures"] == 0
    leaked, clean = same["leaked_test_pictures"], same["test_pictures"] - same["leaked_test_pictures"]
    by_leak = (same["accuracy_of_leaked"] * leaked + same["accuracy_of_clean"] * clean) / (leaked + clean)
    assert by_leak == pytest.approx(same["summary"]["accuracy"]["mean"], abs=1e-6)
    assert honest["accuracy_of_leaked"] is None and honest["accuracy_of_clean"] == pytest.approx(
        honest["summary"]["accuracy"]["mean"], abs=1e-6
    )
    assert same["changed"]["train.epochs"] == 1 and same["weights"] == "none"
    assert 0 < honest["test_pictures"] < same["test_pictures"] and 0 <= honest["validation_accuracy"] <= 1
    assert honest["others"]["best_accuracy"]["mean"] >= honest["validation_accuracy"]
    assert honest["others"]["validation_macro_f1"]["mean"] == pytest.approx(honest["train"]["validation_macro_f1"]["mean"], abs=0.05)
    assert honest["summary"]["folds"] == 1 and honest["summary"]["accuracy"]["low"] <= honest["summary"]["accuracy"]["high"]
    params = yaml.safe_load((checkout / f"leaderboard/runs/{NAME}-honest/params.yaml").read_text())
    assert params["split"]["group_by"] == "patient" and params["split"]["protocol"] == "holdout"

    lock = yaml.safe_load((checkout / f"leaderboard/runs/{NAME}-same/dvc.lock").read_text())["stages"]
    read = {dep["path"]: dep["md5"] for stage in ("train", "evaluate", "aggregate") for dep in lock[stage]["deps"]}
    hashes = same["made_from"]["checkout"] | same["made_from"]["data"]
    assert {path: md5 for path, md5 in read.items() if path in hashes} == {path: hashes[path] for path in read.keys() & hashes.keys()}
    made = {out["path"] for stage in ("train", "evaluate", "aggregate") for out in lock[stage]["outs"]}
    assert read.keys() - made <= hashes.keys(), "all that the three stages read and none of them wrote"
    assert same["made_from"]["data"].keys() <= read.keys()

    assert same["changed"].keys() == {change.split("=")[0] for change in SMALL}, "not what the recipe says itself"

    again = run(sys.executable, "-m", "leaderboard.cell", NAME, "--protocol", "same", "--set", *SMALL, cwd=checkout)
    assert "Running stage" not in again

    run(sys.executable, "-m", "leaderboard.table", cwd=checkout)
    row = next(line for line in (checkout / "metrics/leaderboard.csv").read_text().splitlines() if line.startswith(f"{NAME},"))
    assert ",accuracy,,,,,,,Not run;" in row, "synthetic pictures give no result"


def test_a_recipe_that_lacks_a_part_of_the_pipeline_says_which(checkout):
    recipe = {"document": "ours", "table": "none", "params": {}, "missing": "a crystal ball"}
    (checkout / "recipes/lacking.yaml").write_text(yaml.safe_dump(recipe))
    output = run(sys.executable, "-m", "leaderboard.cell", "lacking", cwd=checkout, ok=False)
    assert output == "lacking cannot be run yet; missing: a crystal ball\n"

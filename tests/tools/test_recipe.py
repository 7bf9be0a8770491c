"""python -m tools.recipe as a user runs it, on a small synthetic data set."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic import ROOT

from tools.layout import lay_out

BIN = Path(sys.executable).parent
NAME = "ours-lite0-whole-sartaj-naive"
SMALL = [
    "data.sources=[phantom]", "model.backbone=mobilenetv3_small_050", "model.weights=none", "model.image_size=48", "train.epochs=1",
    "train.precision=float32", "aggregate.resamples=50",
]  # fmt: skip


def run(*command: str, cwd: Path, ok: bool = True) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("BRAIN_MRI_MIRROR", None)
    result = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (result.returncode == 0) == ok, f"{' '.join(command)}: {result.stdout}"
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A git repository of the checkout's files, with a small synthetic set and without results."""
    folder = tmp_path_factory.mktemp("checkout")
    with contextlib.chdir(ROOT):
        lay_out(folder, ROOT / "recipes/demo.yaml")
    sources = yaml.safe_load((folder / "data/sources.yaml").read_text())
    sources["phantom"]["archive"]["phantom"]["patients_per_class"] = 5
    (folder / "data/sources.yaml").write_text(yaml.safe_dump(sources))
    run("git", "init", "-q", cwd=folder)
    return folder


def test_one_command_trains_and_scores_both_protocols_and_the_second_downloads_nothing(checkout):
    output = run(sys.executable, "-m", "tools.recipe", NAME, "--set", *SMALL, cwd=checkout)
    assert output.count("Running stage 'download@phantom'") == 1
    assert output.count("Running stage 'train'") == 2

    same, honest = (json.loads((checkout / f"benchmarks/results/{NAME}-{protocol}.json").read_text()) for protocol in ("same", "honest"))
    assert same["leaked_test_pictures"] > 0 and honest["leaked_test_pictures"] == 0
    assert same["changed"]["train.epochs"] == 1 and same["weights"] == "none"
    assert 0 < honest["test_pictures"] < same["test_pictures"] and 0 <= honest["validation_accuracy"] <= 1
    assert honest["summary"]["folds"] == 1 and honest["summary"]["accuracy"]["low"] <= honest["summary"]["accuracy"]["high"]
    params = yaml.safe_load((checkout / f"benchmarks/runs/{NAME}-honest/params.yaml").read_text())
    assert params["split"]["group_by"] == "patient" and params["split"]["protocol"] == "holdout"

    again = run(sys.executable, "-m", "tools.recipe", NAME, "--protocol", "same", "--set", *SMALL, cwd=checkout)
    assert "Running stage" not in again

    run(sys.executable, "-m", "benchmarks.leaderboard", cwd=checkout)
    row = next(line for line in (checkout / "metrics/leaderboard.csv").read_text().splitlines() if line.startswith(f"{NAME},"))
    assert ",accuracy,,,,,,,Not run;" in row, "synthetic pictures give no result"


def test_a_recipe_that_lacks_a_part_of_the_pipeline_says_which(checkout):
    recipe = {"document": "ours", "table": "none", "params": {}, "missing": "a crystal ball"}
    (checkout / "recipes/lacking.yaml").write_text(yaml.safe_dump(recipe))
    output = run(sys.executable, "-m", "tools.recipe", "lacking", cwd=checkout, ok=False)
    assert output == "lacking cannot be run yet; missing: a crystal ball\n"

"""The pipeline as a user runs it: DVC commands in a fresh clone, on a small synthetic data set."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from commands import run

from benchmarks.torture.project import fingerprint
from harness.layout import SMALL, apply_recipe, lay_out, set_params, shrink_phantom

ROOT = Path(__file__).parents[1]


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A git repository of the checkout's files, results apart, with small params and their results committed."""
    folder = tmp_path_factory.mktemp("clone")
    with contextlib.chdir(ROOT):
        lay_out(folder)
    set_params(folder / "params.yaml", SMALL, "test")
    (folder / ".dvc/config.local").unlink()  # this one is a git repository of its own
    shrink_phantom(folder)
    run("git", "init", "-q", "-b", "main", cwd=folder)
    run("git", "config", "user.email", "test@example.org", cwd=folder)
    run("git", "config", "user.name", "test", cwd=folder)
    commit(folder, "code and params")
    return folder


def commit(folder: Path, message: str) -> None:
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-q", "-m", message, cwd=folder)


@pytest.fixture(scope="module")
def finished(clone) -> Path:
    """The same after `dvc repro`, its results committed."""
    output = run("dvc", "repro", cwd=clone)
    assert ran(output) == {
        "download@phantom", "merge", "dedupe", "split", "balance", "preprocess", "leaks", "shortcuts", "weights", "train", "evaluate", "aggregate",
        "calibrate", "audit", "slices", "explain", "robustness", "statement", "report",
    }  # fmt: skip
    commit(clone, "results")
    return clone


def test_repro_writes_every_result(finished):
    summary = json.loads((finished / "metrics/summary.json").read_text())
    assert summary["demonstration"] is True
    assert summary["folds"] == 2 and 0 <= summary["accuracy"]["mean"] <= 1
    predictions = (finished / "data/predictions.csv").read_text().splitlines()
    assert len(predictions) - 1 == summary["pictures"] == json.loads((finished / "metrics/dedupe.json").read_text())["kept"]
    assert json.loads((finished / "metrics/split.json").read_text())["leaks"]["test_pictures"] == 0
    slices = json.loads((finished / "metrics/slices.json").read_text())["slices"]
    assert {one["slice"] for one in slices if one["by"] == "tumour area"} > {"no mask"}, "the synthetic set knows its tumours"
    page = (finished / "metrics/report.html").read_text()
    assert f"Macro-F1 {summary['macro_f1']['mean']:.3f}" in page
    hashes = set(re.findall(r"[0-9a-f]{32}(?=<)", page)) & set(re.findall(r"md5: (\w+)", (finished / "dvc.lock").read_text()))
    assert len(hashes) == 3, "by these a reader finds the run in git's history of dvc.lock"


def test_a_second_repro_does_nothing(finished):
    assert ran(run("dvc", "repro", cwd=finished)) == set()
    assert run("git", "status", "--porcelain", cwd=finished) == ""


def test_a_clean_clone_without_data_passes_the_check_and_a_change_names_the_stale_stages(finished, tmp_path):
    run("git", "clone", "-q", str(finished), str(tmp_path / "clean"), cwd=tmp_path)
    clean = tmp_path / "clean"
    assert "belong to" in run("python", "-m", "tools.check", cwd=clean)

    params = clean / "params.yaml"
    params.write_text(params.read_text().replace("flips: true", "flips: false"))
    assert (
        "Results are missing for: evaluate (and what follows: aggregate, audit, calibrate, explain, report, robustness, slices, statement)"
        in run("python", "-m", "tools.check", cwd=clean, ok=False)
    )
    run("git", "checkout", "-q", "params.yaml", cwd=clean)

    (clean / "stages/split/audit.py").write_text((clean / "stages/split/audit.py").read_text() + "\n# changed\n")
    assert "split" in run("python", "-m", "tools.check", cwd=clean, ok=False)
    run("git", "checkout", "-q", "stages", cwd=clean)

    summary = clean / "metrics/summary.json"
    summary.write_text(summary.read_text().replace('"folds": 2', '"folds": 3'))
    assert "aggregate" in run("python", "-m", "tools.check", cwd=clean, ok=False)


def test_another_backbone_reruns_only_what_depends_on_it_and_the_diffs_say_so(finished):
    output = run("dvc", "exp", "run", "-S", "model.backbone=torchvision.shufflenet_v2_x0_5", cwd=finished)
    assert ran(output) == {
        "weights",
        "train",
        "evaluate",
        "aggregate",
        "calibrate",
        "audit",
        "slices",
        "explain",
        "robustness",
        "statement",
        "report",
    }
    assert "torchvision.shufflenet_v2_x0_5" in run("dvc", "params", "diff", cwd=finished)
    metrics = run("dvc", "metrics", "diff", cwd=finished)
    assert "accuracy.mean" in metrics and "metrics/summary.json" in metrics
    assert "accuracy" in run("dvc", "exp", "show", "--md", cwd=finished)
    table = run("python", "-m", "tools.check", "--base", "HEAD", cwd=finished)
    assert "model.backbone" in table and "| metrics/summary.json |" in table
    page = run("dvc", "plots", "diff", "--out", "plots", cwd=finished)
    html = Path(page.strip().splitlines()[-1].removeprefix("file://")).read_text()
    for title in ("Confusion matrix", "ROC curves", "Reliability", "Loss, by fold"):
        assert title in html
    shutil.rmtree(finished / "plots")
    run("git", "checkout", "-q", ".", cwd=finished)
    run("dvc", "checkout", "-q", cwd=finished)


def test_what_a_stage_had_before_it_failed_comes_back(finished):
    params, before = finished / "params.yaml", fingerprint(finished)
    good = params.read_text()
    params.write_text(re.sub(r"\n  lr: .*", "\n  lr: -1", good))
    assert "train.lr" in run("dvc", "repro", cwd=finished, ok=False)
    assert fingerprint(finished) == before
    assert run("git", "status", "--porcelain", cwd=finished) == " M params.yaml\n"
    params.write_text(good)
    assert not ran(run("dvc", "repro", cwd=finished))


def test_queued_experiments_run_from_a_clean_clone(finished, tmp_path):
    run("git", "clone", "-q", str(finished), str(tmp_path / "clean"), cwd=tmp_path)
    clean = tmp_path / "clean"
    run("git", "config", "user.email", "test@example.org", cwd=clean)
    run("git", "config", "user.name", "test", cwd=clean)
    run("dvc", "exp", "run", "--queue", "-S", "model.backbone=torchvision.squeezenet1_1,mobilenetv3_small_075", cwd=clean)
    run("dvc", "exp", "run", "--run-all", cwd=clean)
    shown = run("dvc", "exp", "show", "--csv", cwd=clean)
    assert "squeezenet1_1" in shown and "mobilenetv3_small_075" in shown
    assert "Failed" not in shown


def test_the_demo_recipe_names_only_params_that_exist(tmp_path):
    params = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", params)
    apply_recipe(ROOT / "recipes/demo.yaml", params)
    assert yaml.safe_load(params.read_text())["data"]["sources"] == ["phantom"]
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("params: {train.epoch: 3}")
    with pytest.raises(SystemExit, match="no train.epoch"):
        apply_recipe(recipe, params)

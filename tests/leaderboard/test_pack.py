"""make pack, the other machine, make unpack: as a user runs them, on a small synthetic data set."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import yaml
from commands import run
from small_cell import NAME, SMALL

from harness import processes
from leaderboard.elsewhere import run as run_packed
from leaderboard.elsewhere import unpack

pytestmark = pytest.mark.slow

CELLS = [f"{NAME}-same", f"{NAME}-honest"]
RESULTS = [f"leaderboard/results/{cell}.json" for cell in CELLS]


@pytest.fixture(scope="module")
def packed(checkout) -> str:
    """The checkout with packed.tar.bz2 of two cells: what `make pack` printed."""
    recipe = {"document": "ours", "table": "none", "params": {}, "missing": "a part that nobody wrote"}
    (checkout / "recipes/later.yaml").write_text(yaml.safe_dump(recipe))
    return run(sys.executable, "-m", "leaderboard.elsewhere.pack", NAME, "later", "--set", *SMALL, cwd=checkout)


@pytest.fixture(scope="module")
def elsewhere(checkout, packed, tmp_path_factory):
    """A machine without DVC and Kaggle's client, and with the archive: a function that runs Python there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for module in ("dvc", "kaggle"):
        (folder / f"absent/{module}").mkdir(parents=True)
        (folder / f"absent/{module}/__init__.py").write_text("raise ImportError('it is not installed here')")
    shutil.copy(checkout / "packed.tar.bz2", folder)

    def python(*command: str, ok: bool = True) -> str:
        environment = {**os.environ, "PATH": os.defpath, "PYTHONPATH": str(folder / "absent")}
        environment.pop("BRAIN_MRI_MIRROR", None)
        result = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert (result.returncode == 0) == ok, result.stdout
        return result.stdout

    python.folder = folder
    python("-m", "tarfile", "-e", "packed.tar.bz2", ".")
    return python


@pytest.fixture(scope="module")
def printed(elsewhere) -> list[str]:
    """What three calls of run.py printed: out of time, one cell failing at the end of its training, all finished."""
    obstacle = elsewhere.folder / f"packed/cells/{CELLS[0]}/metrics/plots/history.csv"
    calls = [elsewhere("packed/run.py", "--minutes", "0.001")]
    obstacle.mkdir(parents=True)
    calls.append(elsewhere("packed/run.py", ok=False))
    obstacle.rmdir()
    calls.append(elsewhere("packed/run.py"))
    return calls


@pytest.fixture(scope="module")
def results(printed, elsewhere) -> Path:
    return elsewhere.folder / "results.tar.gz"


def test_the_archive_holds_what_the_stages_read_once_and_nothing_else(checkout, packed):
    assert "\nlater-same is left out: missing: a part that nobody wrote\n" in packed
    with tarfile.open(checkout / "packed.tar.bz2") as tar:
        members = {member.name.removeprefix("packed/"): member for member in tar}
        manifest = json.load(tar.extractfile("packed/manifest.json"))
    assert list(manifest["cells"]) == CELLS
    assert {"torch", "pandas", "pydantic", "timm"} < set(manifest["modules"])
    assert not {"dvc", "kaggle", "faiss", "stages", "tools"} & set(manifest["modules"])
    paths = {name.split("/", 2)[2] for name in members if name.startswith("cells/")}
    assert {path for path in paths if not path.endswith(".py")} == {
        "data/preprocessed/pixels.npy", "data/preprocessed/index.csv", "data/balanced/samples.csv", "data/dedupe/clusters.csv",
        "data/merged/demonstration.json", "data/weights/weights.safetensors", "params.yaml",
    }  # fmt: skip
    assert {path.split("/")[1] for path in paths if path.endswith("__main__.py")} == {"train", "evaluate", "aggregate"}
    assert members.keys() - {f"cells/{cell}/{path}" for cell in CELLS for path in paths} == {
        "manifest.json",
        "run.py",
        "harness/processes.py",
    }
    assert members[f"cells/{CELLS[1]}/stages/model.py"].islnk() and not members[f"cells/{CELLS[1]}/params.yaml"].islnk()


def test_what_is_killed_or_fails_goes_on_and_keeps_no_other_cell_from_running(printed):
    out_of_time, failing, finished = printed
    assert "the time is up" in out_of_time and "0 of 2 cells are finished" in out_of_time
    assert f"{CELLS[0]}: train ended with 1 (see above); goes on with the next" in failing
    assert f"1 of 2 cells are finished, failed: {CELLS[0]}" in failing
    assert "goes on after epoch 1" in finished and "2 of 2 cells are finished" in finished
    assert finished.count("macro-F1") < failing.count("macro-F1"), "what is finished is not run again"


def test_what_comes_back_is_what_the_checkout_computes_itself(checkout, results):
    output = run(sys.executable, "-m", "leaderboard.elsewhere.unpack", str(results), cwd=checkout)
    assert output.count("`make leaderboard` puts it into") == 2
    there = [json.loads((checkout / result).read_text()) for result in RESULTS]
    assert not (checkout / f"leaderboard/runs/{CELLS[0]}/data/models").exists()

    output = run(sys.executable, "-m", "leaderboard.cell", NAME, "--protocol", "honest", "--set", *SMALL, cwd=checkout)
    assert "Running stage 'train'" in output, "what came back is not taken for what DVC ran"
    result, here = there[1], json.loads((checkout / RESULTS[1]).read_text())
    ran = result.pop("ran")
    assert result == here
    assert ran.keys() == {"train", "evaluate", "aggregate"} and ran["evaluate"]["device"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", ran["train"]["torch"]) and ran["train"]["command"] == "python packed/run.py"


def test_cells_that_run_at_a_time_bring_back_the_same(elsewhere, results):
    elsewhere("-m", "tarfile", "-e", "packed.tar.bz2", "beside")
    output = elsewhere("beside/packed/run.py", "--together", "2", "--out", "beside.tar.gz")
    assert "2 of 2 cells are finished" in output and "macro-F1" not in output
    for cell in CELLS:
        assert "macro-F1" in (elsewhere.folder / f"beside/packed/cells/{cell}/log.txt").read_text()
    one_by_one, beside = (
        {n: c for n, c in contents(path).items() if not n.endswith("run.json")} for path in (results, results.with_name("beside.tar.gz"))
    )
    assert beside.keys() == one_by_one.keys() and len(beside) > 10
    del beside["manifest.json"], one_by_one["manifest.json"]  # in the order in which cells finished
    assert beside == one_by_one


@pytest.mark.parametrize("together", [1, 2])
def test_when_the_time_is_up_it_ends_whatever_still_waits(tmp_path, together):
    cells = {f"cell-{n}": {"files": {}, "stages": ["train"], "results": []} for n in range(5)}
    for name in cells:
        (tmp_path / f"cells/{name}/stages").mkdir(parents=True)
        (tmp_path / f"cells/{name}/stages/train.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"modules": [], "cells": cells}))
    copy_runner(tmp_path)
    command = [sys.executable, "run.py", "--minutes", "0.02", "--together", str(together)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=40)
    assert result.returncode == 0 and result.stdout.count("the time is up") == 1
    assert "0 of 5 cells are finished" in result.stdout


def test_ctrl_c_ends_the_stages_that_run(tmp_path):
    (tmp_path / "cells/cell/stages").mkdir(parents=True)
    (tmp_path / "cells/cell/stages/train.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    (tmp_path / "manifest.json").write_text(
        json.dumps({"modules": [], "cells": {"cell": {"files": {}, "stages": ["train"], "results": []}}})
    )
    copy_runner(tmp_path)
    running = subprocess.Popen([sys.executable, "run.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = tmp_path / "cells/cell/pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 1 and said == "Interrupted; the same command goes on here\n"
    wait_until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def copy_runner(folder: Path) -> None:
    """What the archive holds beside the cells and the manifest."""
    (folder / "harness").mkdir()
    shutil.copy(processes.__file__, folder / "harness")
    shutil.copy(run_packed.__file__, folder)


def wait_until(true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def rewritten(results: Path, target: Path, change) -> Path:
    """A copy of an archive, each (member, content) as change gives it; None leaves a member out."""
    with tarfile.open(results) as old, tarfile.open(target, "w:gz") as new:
        for member in old.getmembers():
            content = old.extractfile(member).read()
            changed = change(member, content)
            if changed is not None:
                member, content = changed
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return target


def renamed(name: str):
    def change(member, content):
        if member.name == f"{CELLS[0]}/metrics/summary.json":
            member.name = name
        return member, content

    return change


def linked(kind: bytes):
    def change(member, content):
        if member.name == f"{CELLS[0]}/metrics/summary.json":
            member.type, member.linkname, content = kind, "/etc/hostname", b""
        return member, content

    return change


@pytest.mark.parametrize(
    "change",
    [
        renamed("/tmp/summary.json"),
        renamed("../summary.json"),
        renamed(f"{CELLS[0]}/../../../stages/model.py"),
        renamed(f"{CELLS[0]}/data/models/../../stages/model.py"),
        renamed(f"{CELLS[0]}/params.yaml"),
        renamed("stages/model.py"),
        renamed("unknown-same/metrics/summary.json"),
        renamed(f"{CELLS[0]}/metrics/train.json"),
        linked(tarfile.SYMTYPE),
        linked(tarfile.LNKTYPE),
        linked(tarfile.FIFOTYPE),
        linked(tarfile.DIRTYPE),
    ],
    ids=[
        "absolute",
        "parent",
        "out of the cell",
        "out of models",
        "input",
        "code",
        "recipe",
        "twice",
        "symlink",
        "hardlink",
        "fifo",
        "folder",
    ],
)
def test_an_archive_with_anything_unexpected_is_refused_as_a_whole(checkout, results, tmp_path, monkeypatch, change):
    for result in RESULTS:
        (checkout / result).unlink(missing_ok=True)
    archive = rewritten(results, tmp_path / "results.tar.gz", change)
    monkeypatch.chdir(checkout)
    monkeypatch.setattr(sys, "argv", ["unpack", str(archive)])
    with pytest.raises(SystemExit, match=r"is refused, and nothing of it taken: '[^']+' is none of the files that run\.py writes$"):
        unpack.main()
    assert not any(Path(result).exists() for result in RESULTS)


def test_what_is_no_archive_or_lacks_a_figure_is_refused_in_one_line(checkout, results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(results.read_bytes()[:2000])
    monkeypatch.setattr(sys, "argv", ["unpack", str(broken)])
    with pytest.raises(SystemExit, match=r"^[^\n]+ holds no results: [^\n]+$"):
        unpack.main()

    lacking = rewritten(
        results, tmp_path / "lacking.tar.gz", lambda member, content: None if member.name.endswith("summary.json") else (member, content)
    )
    monkeypatch.setattr(sys, "argv", ["unpack", str(lacking)])
    with pytest.raises(SystemExit) as ended:
        unpack.main()
    assert ended.value.code == 1
    assert capsys.readouterr().out == "".join(f"{cell} is not taken: it lacks metrics/summary.json\n" for cell in CELLS)


def test_results_of_other_code_params_or_data_are_refused(checkout, results, tmp_path):
    code, recipe = checkout / "stages/scores.py", checkout / "recipes/honest.yaml"
    for path, change in ((code, "\n# another\n"), (recipe, "  evaluate.bins: 10\n  split.seed: 1\n")):
        before = path.read_text()
        path.write_text(before + change)
        output = run(sys.executable, "-m", "leaderboard.elsewhere.unpack", str(results), cwd=checkout, ok=False)
        path.write_text(before)
        if path == code:
            assert output.count("is not taken: it was computed from another stages/scores.py; pack it again") == 2
        else:
            assert f"{CELLS[0]}.json (CPU" in output and "is not taken" in output
            refused = next(line for line in output.splitlines() if line.startswith(f"{CELLS[1]} is not taken"))
            assert "data/balanced/samples.csv" in refused and "evaluate" in refused and "train," not in refused


def test_an_input_that_broke_on_the_way_is_not_trained_on(elsewhere, results):
    weights = elsewhere.folder / f"packed/cells/{CELLS[0]}/data/weights/weights.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before + b" ")
    output = elsewhere("packed/run.py", ok=False)
    weights.write_bytes(before)
    assert f"{CELLS[0]}: data/weights/weights.safetensors is not the file that was packed" in output


def test_the_pipeline_itself_comes_back_as_a_training_that_dvc_records(checkout, elsewhere):
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    params["split"]["folds"] = 2
    params["model"] |= {"backbone": "mobilenetv3_small_050", "weights": "none", "image_size": 48}
    params["train"] |= {"epochs": 1, "precision": "float32"}
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    run(sys.executable, "-m", "leaderboard.elsewhere.pack", "default", cwd=checkout)
    shutil.copy(checkout / "packed.tar.bz2", elsewhere.folder)
    shutil.rmtree(elsewhere.folder / "packed")
    elsewhere("-m", "tarfile", "-e", "packed.tar.bz2", ".")
    elsewhere("packed/run.py", "--out", "default.tar.gz")

    output = run(sys.executable, "-m", "leaderboard.elsewhere.unpack", str(elsewhere.folder / "default.tar.gz"), cwd=checkout)
    assert "now `dvc commit --force train`" in output
    run("dvc", "commit", "--force", "train", cwd=checkout)
    assert "Stage 'train' didn't change" in run("dvc", "repro", "train", cwd=checkout)
    assert len(list((checkout / "data/models").glob("fold-*.safetensors"))) == 2


def test_a_cell_whose_weights_cannot_be_had_is_left_out_with_the_reason(checkout):
    output = run(
        sys.executable,
        "-m",
        "leaderboard.elsewhere.pack",
        NAME,
        "--protocol",
        "same",
        "--set",
        *SMALL,
        "model.weights=package",
        cwd=checkout,
        ok=False,
    )
    assert f"{NAME}-same is left out: model.weights: no package carries" in output and output.endswith("There is nothing to pack.\n")

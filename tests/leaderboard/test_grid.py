"""make grid as a user runs it: on this machine, on a cluster of two nodes, killed in the middle. Real Ray, small synthetic pictures."""

import contextlib
import csv
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from commands import BIN, run
from small_cell import NAME, SMALL

from harness.layout import set_params

PYTHON = Path(sys.prefix, "cluster/bin/python")
CELL = f"{NAME}-same"
SEVERAL = [*SMALL, "split.protocol=kfold", "split.folds=2", "train.seeds=[0,1,2,3]", "train.epochs=20"]  # eight trainings of some seconds
MAKE_READY = """
import sys
from leaderboard.ready import lay_out_if_whole, reproduce
from leaderboard.cell import environment, parse
folder = lay_out_if_whole(sys.argv[1], "same", parse(sys.argv[2:]))
reproduce(folder, ["weights", "balance", "preprocess"], environment())
"""
CLUSTER = {  # of two nodes
    "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0",
}  # fmt: skip
LATE = """  # of the cells, all but the first seem to become ready when that has its result
import sys
from leaderboard.grid.driver import Grid
from leaderboard.cell import parse

class Late(Grid):
    held = []

    def is_ready(self, *cell_and_ref):
        if cell_and_ref[0].recipe != sys.argv[1] and not self.results:
            self.held.append(cell_and_ref)
        else:
            super().is_ready(*cell_and_ref)

    def is_scored(self, *arguments):
        super().is_scored(*arguments)
        while self.held:
            super().is_ready(*self.held.pop())

grid = Late([(name, "honest") for name in sys.argv[1:3]], parse(sys.argv[3:]), None, 1, 1e9)
grid.run()
sys.exit(grid.report())
"""
LOST = """  # the interruption comes while a destructor runs, where Python ignores exceptions
import signal, sys
sys.unraisablehook = lambda lost: None
from leaderboard.grid.__main__ import main
from leaderboard.grid.driver import Grid

class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

class Interrupted(Grid):
    def is_trained(self, *arguments):
        super().is_trained(*arguments)
        Dying()

sys.modules[Grid.__module__].Grid = Interrupted
main()
"""
BUSY = """  # the first node has no core for a training before this is killed: else it might be done with all of them before the second begins
import sys, time
from pathlib import Path
import ray
from leaderboard.grid.cluster import connected, on_this_node

def occupy(path):
    Path(path).touch()
    time.sleep(1e6)

with connected(1):
    ray.get(on_this_node(occupy, cores=1).remote(sys.argv[1]))
"""
TIMEOUT = 300  # seconds, for what takes a tenth of it on a quiet machine
SERIAL = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="needs Ray: `make .venv/cluster/installed`")]


@pytest.fixture(scope="module")
def made(checkout) -> Path:
    """The checkout with the inputs of one cell, nothing trained."""
    run(sys.executable, "-c", MAKE_READY, NAME, *SEVERAL, cwd=checkout)
    return checkout


@pytest.fixture(scope="module")
def serial(made, tmp_path_factory) -> Path:
    """A copy in which `make recipe` has run the cell, one training after another on one thread."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("serial") / "checkout", symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SERIAL.items():
            patch.setenv(name, value)
        run(sys.executable, "-m", "leaderboard.cell", NAME, "--protocol", "same", "--set", *SEVERAL, cwd=folder)
    return folder


@pytest.fixture
def fresh(made, tmp_path) -> Path:
    """A copy in which nothing is trained."""
    return shutil.copytree(made, tmp_path / "checkout", symlinks=True)


@contextlib.contextmanager
def started(*command: str | Path, cwd: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A command in a session of its own, of which nothing is left afterwards; what it prints goes to a file there."""
    environment = {**os.environ, "PATH": f"{PYTHON.parent}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    environment.pop("BRAIN_MRI_MIRROR", None)
    with (cwd / "printed.txt").open("w") as printed:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            while left := processes_of(process):
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.poll()
                time.sleep(0.05)


def processes_of(process: subprocess.Popen, called: str = "") -> list[int]:
    """The living processes of its session, those of whose command line this is a part."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == process.pid and state != "Z" and called in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found


def grid(folder: Path, *arguments: str, **variables: str) -> contextlib.AbstractContextManager[subprocess.Popen]:
    return started(PYTHON, "-m", "leaderboard.grid", *arguments, cwd=folder, **variables)


def printed(folder: Path) -> str:
    return (folder / "printed.txt").read_text()


def rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "leaderboard/runs/grid.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".scratch/grid/*/*.safetensors"))


def wait_for(condition, process: subprocess.Popen, folder: Path):
    """What the condition gives, once that is true."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert process.poll() is None and time.monotonic() < deadline, printed(folder)
        time.sleep(0.02)
    return value


def assert_same(folder: Path, serial: Path) -> None:
    """The result, and all hashes that DVC has of the cell."""
    result = f"leaderboard/results/{CELL}.json"
    assert (folder / result).read_bytes() == (serial / result).read_bytes()
    locks = [yaml.safe_load((one / f"leaderboard/runs/{CELL}/dvc.lock").read_text()) for one in (folder, serial)]
    assert locks[0] == locks[1] and "train" in locks[0]["stages"]
    models = [sorted((one / f"leaderboard/runs/{CELL}/data/models").iterdir()) for one in (folder, serial)]
    assert [path.read_bytes() for path in models[0]] == [path.read_bytes() for path in models[1]] and len(models[0]) == 9


def assert_interrupted(folder: Path) -> list[str]:
    """It says so last, once, and without a traceback; the lines of its trainings before that. Ray's own processes may print to the same terminal."""
    assert "Traceback" not in printed(folder), printed(folder)
    own = [line for line in printed(folder).splitlines() if line.startswith((f"{CELL}: ", "Interrupted"))]
    *trainings, last = own
    assert last == "Interrupted. What finished is kept; the same command goes on.", printed(folder)
    return trainings


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A cluster of two nodes with a core each: its address, and the second node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = ["--block", "--num-cpus", "1", "--object-store-memory", "200000000"]
    places = [folder / name for name in ("first", "second")]
    for place in places:
        place.mkdir()
    ray = PYTHON.with_name("ray")
    head = [ray, "start", "--head", "--port", address.split(":")[1], "--include-dashboard", "False", "--node-name", "first", *common]
    with started(*head, cwd=places[0], **CLUSTER) as first:
        wait_for(lambda: "Ray runtime started" in printed(places[0]), first, places[0])
        with started(ray, "start", "--address", address, "--node-name", "second", *common, cwd=places[1], **CLUSTER) as second:
            wait_for(lambda: "Ray runtime started" in printed(places[1]), second, places[1])
            yield address, second


def test_two_nodes_give_the_bytes_of_a_serial_run_though_one_dies(fresh, serial, made, tmp_path):
    selection = [NAME, "--protocol", "same", "--set", *SEVERAL]
    with two_nodes(tmp_path) as (address, second):
        busy = tmp_path / "busy"
        with started(PYTHON, "-c", BUSY, busy, cwd=made, RAY_ADDRESS=address, **CLUSTER) as occupant:
            wait_for(busy.exists, occupant, made)
            with grid(fresh, *selection, RAY_ADDRESS=address, **CLUSTER) as driver:
                wait_for(lambda: any(row["node"] == "second" for row in rows(fresh)), driver, fresh)
                # Between the two looks it may go from one name to the other.
                (worker,) = wait_for(lambda: {*processes_of(second, "ray::train"), *processes_of(second, "ray::IDLE")}, driver, fresh)
                os.kill(worker, signal.SIGSTOP)  # its next training is in the middle while the first node trains
                occupant.kill()
                wait_for(lambda: any(row["node"] == "first" for row in rows(fresh)), driver, fresh)
                (raylet,) = processes_of(second, "raylet/raylet")
                os.kill(raylet, signal.SIGKILL)
                before = len(saved(fresh))
                assert driver.wait(timeout=TIMEOUT) == 0, printed(fresh)
        assert [row["state"] for row in rows(fresh)] == ["done"] * 8 and {row["node"] for row in rows(fresh)} == {"first", "second"}
        with grid(fresh, *selection, RAY_ADDRESS=address, **CLUSTER) as driver:
            assert driver.wait(timeout=TIMEOUT) == 0, printed(fresh)
    assert 0 < before < 8, "it was killed in the middle"
    assert "0 trainings are done, 0 failed; 1 cells have a result now" in printed(fresh), "the second time DVC has them"
    assert not saved(fresh)
    assert_same(fresh, serial)


def test_after_a_kill_of_the_driver_only_the_rest_is_trained(fresh, serial):
    selection = [NAME, "--protocol", "same", "--set", *SEVERAL]
    with grid(fresh, *selection) as driver:
        wait_for(lambda: saved(fresh), driver, fresh)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    kept = saved(fresh)
    before = [row for row in rows(fresh) if f"fold-{row['fold']}-seed-{row['seed']}.safetensors" in kept]
    assert 0 < len(kept) < 8
    with grid(fresh, *selection) as driver:
        assert driver.wait(timeout=TIMEOUT) == 0, printed(fresh)
    assert "8 trainings are done, 0 failed; 1 cells have a result now" in printed(fresh)
    assert printed(fresh).count(" took ") == 8 - len(kept)
    assert all(row in rows(fresh) for row in before), "with the seconds of then"
    assert_same(fresh, serial)


def test_what_fails_is_a_row_and_the_others_go_on_and_twins_are_trained_once(fresh):
    set_params(fresh / "params.yaml", {"model.weights": "none"}, "test")
    once = {"split.protocol": "holdout", "train.seeds": [0]}
    for name, recipe in {
        "diverging": {"params": once | {"train.lr": 1e9, "train.optimizer": "sgd", "train.schedule": "constant"}},
        "lacking": {"params": {}, "missing": "a crystal ball"},
        "weightless": {"params": {"model.weights": "package"}},
    }.items():
        (fresh / f"recipes/{name}.yaml").write_text(yaml.safe_dump({"document": "ours", "table": "none"} | recipe))
    small = [change for change in SMALL if not change.startswith(("model.weights", "train.epochs"))] + ["train.epochs=4"]
    twin = NAME.replace("naive", "distinct")
    with grid(fresh, "diverging", "lacking", "weightless", NAME, twin, "--protocol", "honest", "--set", *small) as driver:
        assert driver.wait(timeout=TIMEOUT) == 1, printed(fresh)
    found = {row["cell"]: row for row in rows(fresh)}
    assert found["diverging-honest"]["state"] == "failed"
    # Whether the loss of training or that of validation is the first to be no number differs from machine to machine.
    assert re.match("Training diverged: the (validation )?loss of fold 0, seed 0, epoch ", found["diverging-honest"]["reason"])
    assert found["lacking-honest"] | {"state": "left out", "reason": "missing: a crystal ball"} == found["lacking-honest"]
    assert found["weightless-honest"]["reason"].startswith("model.weights: no package carries")
    assert found[f"{NAME}-honest"]["state"] == "done"
    results = [json.loads((fresh / f"leaderboard/results/{name}-honest.json").read_text()) for name in (NAME, twin)]
    assert results[0] == results[1] | {"recipe": NAME}
    assert "1 trainings are done, 1 failed; 2 cells have a result now, 2 are left out" in printed(fresh)
    assert "Traceback" not in printed(fresh)


def test_a_cell_that_trains_the_same_and_is_ready_late_finds_what_was_trained(fresh):
    twin = NAME.replace("naive", "distinct")
    with started(PYTHON, "-c", LATE, NAME, twin, *SMALL, cwd=fresh) as driver:
        assert driver.wait(timeout=TIMEOUT) == 0, printed(fresh)
    assert "1 trainings are done, 0 failed; 2 cells have a result now" in printed(fresh) and not saved(fresh)


def test_an_interruption_ends_it_with_one_line(fresh):
    with grid(fresh, NAME, "--protocol", "same", "--set", *SEVERAL) as driver:
        wait_for(lambda: saved(fresh), driver, fresh)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=30) == 1
        assert 0 < len(saved(fresh)) == len(assert_interrupted(fresh))


def test_an_interruption_that_a_destructor_swallows_ends_it_as_well(fresh):
    with started(PYTHON, "-c", LOST, NAME, "--protocol", "same", "--set", *SEVERAL, cwd=fresh) as driver:
        assert driver.wait(timeout=TIMEOUT) == 1
    assert len(saved(fresh)) == len(assert_interrupted(fresh)) == 1


def test_only_the_folds_that_are_named_are_trained(fresh):
    with grid(fresh, NAME, "--protocol", "same", "--folds", "1", "--seeds", "7", "8", "--set", *SEVERAL, "train.epochs=1") as driver:
        assert driver.wait(timeout=TIMEOUT) == 0, printed(fresh)
    assert saved(fresh) == ["fold-1-seed-7.safetensors", "fold-1-seed-8.safetensors"]
    assert not (fresh / f"leaderboard/results/{CELL}.json").exists()


def test_a_mistaken_name_gives_the_closest_and_a_pattern_of_nothing_says_so(made):
    assert "did you mean kazemi-resnet18-whole" in run(sys.executable, "-m", "leaderboard.grid", "kazemi-resnet18-hole", cwd=made, ok=False)
    assert "No recipe is called like 'nobody-*'" in run(sys.executable, "-m", "leaderboard.grid", "nobody-*", cwd=made, ok=False)

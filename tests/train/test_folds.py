"""Folds trained side by side, in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from joblib import cpu_count
from test_train import ROOT, SIZE, configure, outputs, project  # noqa: F401

from stages.params import load_params
from stages.train import __main__ as train_stage
from stages.train import folds, memory
from stages.train.checkpoint import SCRATCH

STAGE = [sys.executable, "-m", "stages.train"]


@pytest.fixture
def cores(project, monkeypatch):  # noqa: F811
    return lambda count: monkeypatch.setattr(folds, "cpu_count", lambda: count)


@pytest.mark.parametrize(
    ("cpus", "count", "freeze", "expected"),
    [(1, 5, "none", 1), (2, 5, "none", 2), (16, 5, "none", 5), (2, 1, "none", 1), (2, 5, "backbone", 2)],
)
def test_trainings_share_the_cores(cores, cpus, count, freeze, expected):
    cores(cpus)
    configure({"model.freeze": freeze})
    together, threads = folds.share_cores(load_params(), count)
    assert together == expected
    assert together * threads <= cpus


def test_no_more_trainings_than_memory_holds(cores, monkeypatch, capsys):
    cores(8)
    each = memory.memory_of_a_training(load_params())
    monkeypatch.setattr(folds, "free_memory", lambda: int(2.5 * each))
    assert folds.share_cores(load_params(), 10) == (2, 4)
    assert capsys.readouterr().out.startswith(f"2 of 10 trainings at a time, not 8: each takes about {each / 2**30:.1f} GiB, and ")
    monkeypatch.setattr(folds, "free_memory", lambda: each // 2)
    assert folds.share_cores(load_params(), 10)[0] == 1
    monkeypatch.setattr(folds, "free_memory", lambda: 8 * each)
    assert folds.share_cores(load_params(), 10) == (8, 1)
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/job/step", "job", ("memory.max", "memory.current")),
        ("9:memory:/job/step", "memory/job", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)
def test_a_control_group_leaves_less_than_the_machine(tmp_path, monkeypatch, line, folder, names):
    (tmp_path / folder / "step").mkdir(parents=True)
    for group, most in ((tmp_path / folder, 5_000_000), (tmp_path / folder / "step", "max")):
        for name, value in zip((*names, "memory.stat"), (most, 4_000_000, "anon 1\ninactive_file 500000"), strict=True):
            (group / name).write_text(f"{value}\n")
    read = Path.read_text
    own = Path("/proc/self/cgroup")
    monkeypatch.setattr(Path, "read_text", lambda path, **how: f"{line}\n3:cpuset:/\n" if path == own else read(path, **how))
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    assert memory.free_memory() == 1_500_000


def test_the_memory_of_a_training_grows_with_batch_picture_and_precision(cores):
    takes = []
    for changed in ({}, {"train.batch_size": 16}, {"model.image_size": 64}, {"train.precision": "bfloat16"}, {"model.freeze": "backbone"}):
        configure({"model.backbone": "resnet18", "train.batch_size": 8, "train.precision": "float32", "model.image_size": SIZE} | changed)
        takes.append(memory.memory_of_a_training(load_params()))
    plain, batch, size, half, frozen = takes
    assert frozen < half < plain < batch and plain < size


def test_frozen_layers_that_run_once_keep_the_folds_together(cores):
    cores(2)
    configure(
        {"model.freeze": "backbone", "train.augment": {"mirror": False, "rotate": 0, "translate": 0, "scale": 0, "contrast": 0, "crop": 0}}
    )
    assert folds.share_cores(load_params(), 5)[0] == 1


def test_two_cores_give_the_bytes_of_one(cores):
    configure({"train.seeds": [0, 1], "train.epochs": 2})
    train_stage.main()
    expected = outputs()
    cores(2)
    train_stage.main()
    assert outputs() == expected


def test_a_fold_that_diverges_ends_the_others_with_its_line(cores):
    cores(2)
    configure({"train.optimizer": "sgd", "train.lr": 1e9, "train.schedule": "constant", "train.epochs": 100000})
    with pytest.raises(SystemExit, match="Training diverged: .* Lower train.lr"):
        train_stage.main()
    assert not Path("data/models").exists()


@pytest.mark.skipif(cpu_count() < 2, reason="one core: the folds are trained one after another")
@pytest.mark.parametrize(
    ("how", "line"),
    [
        (signal.SIGKILL, "was killed, most likely by the system because memory ran out. Lower train.batch_size (now 16)"),
        (signal.SIGSEGV, "crashed (SIGSEGV): a fault in a library's native code, not a lack of memory"),
    ],
)
def test_a_worker_that_ends_by_a_signal_ends_the_run_with_one_line_and_the_next_goes_on(cores, how, line):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "2"}
    configure({"train.epochs": 6})
    train_stage.main()
    expected = outputs()
    for file in expected:
        Path(file).unlink()

    running = subprocess.Popen(STAGE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any(SCRATCH.glob("*/*.pt")):
        assert running.poll() is None, "ended before its first checkpoint"
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(running.pid), "-f", "loky"], capture_output=True, text=True).stdout.split()
    os.kill(int(children[-1]), how)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 1
    assert line in error and "Traceback" not in error
    assert not Path("metrics/train.json").exists()

    again = subprocess.run(STAGE, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert outputs() == expected


LITTLE_MEMORY = """
import resource
from stages.train.__main__ import main
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28,) * 2)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory as Linux does")
def test_where_memory_runs_out_it_says_what_to_lower(project):  # noqa: F811
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "1"}
    configure({"model.backbone": "vgg11"})
    ended = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Memory ran out. Lower train.batch_size (now 16) or model.image_size (now 32)"), ended.stderr


@pytest.mark.skipif(cpu_count() < 2, reason="one core: the folds are trained one after another")
def test_killed_from_outside_its_workers_end_and_the_next_run_goes_on(cores):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "2"}
    configure({"train.epochs": 6})
    cores(2)
    train_stage.main()
    expected = outputs()
    for file in expected:
        Path(file).unlink()

    running = subprocess.Popen(STAGE, env=environment, stdout=subprocess.PIPE)
    while not any(SCRATCH.glob("*/*.pt")):
        assert running.poll() is None, "ended before its first checkpoint"
        time.sleep(0.02)
    workers = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split()
    assert len(workers) >= 2
    running.send_signal(signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/stat").exists() and " Z " not in Path(f"/proc/{worker}/stat").read_text() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlives the run"
        time.sleep(0.1)

    again = subprocess.run(STAGE, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "goes on after epoch" in again.stdout
    assert outputs() == expected

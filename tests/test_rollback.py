"""What a stage leaves behind when it fails after it had succeeded (stages/rollback.py): DVC runs a small stage of the test's own."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from commands import BIN, run
from synthetic import ROOT

from stages.rollback import _end

pytestmark = pytest.mark.slow

STAGE = """
import json, os, signal, sys, time
from pathlib import Path
how, words = Path("how.txt").read_text().split(maxsplit=1)
Path("data").mkdir(exist_ok=True)
Path("data/models").mkdir()
Path("data/models/one.txt").write_text(words)
if how == "exit":
    sys.exit("It could not be done.")
if how == "raise":
    raise OSError(28, "No space left on device", "data/models/two.txt")
if how == "memory":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if how == "wait":
    time.sleep(60)
Path("data/models/two.txt").write_text(words * 2)
Path("data/table.csv").write_text(words * 3)
Path("metrics").mkdir(exist_ok=True)
Path(f"metrics/{sys.argv[1]}.json").write_text(json.dumps(words))
"""
PIPELINE = {
    "stages": {
        "work": {
            "matrix": {"source": ["a"]},
            "cmd": "python -m stages.work ${item.source}",
            "deps": ["how.txt"],
            "outs": ["data/models", "data/table.csv", {"metrics/a.json": {"cache": False}}],
        }
    }
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A DVC project whose one stage has succeeded, its results committed."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "stages").mkdir()
    for name in ("__init__.py", "rollback.py"):
        shutil.copy(ROOT / "stages" / name, folder / "stages")
    (folder / "stages/work.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / ".gitignore").write_text("/data/\n/.scratch/\n__pycache__\n")
    run("git", "init", "-q", "-b", "main", cwd=folder)
    run("git", "config", "user.email", "test@example.org", cwd=folder)
    run("git", "config", "user.name", "test", cwd=folder)
    run("dvc", "init", "-q", cwd=folder)
    ask(folder, "succeed", "committed")
    run("dvc", "repro", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-q", "-m", "results", cwd=folder)
    return folder


@pytest.fixture
def project(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


def ask(folder: Path, how: str, words: str) -> None:
    (folder / "how.txt").write_text(f"{how} {words}")


def outputs(folder: Path) -> dict[str, str]:
    files = [path for part in ("data", "metrics") for path in (folder / part).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def written(words: str) -> dict[str, str]:
    return {
        "data/models/one.txt": words, "data/models/two.txt": words * 2, "data/table.csv": words * 3, "metrics/a.json": f'"{words}"',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("exit", "It could not be done."),
        ("raise", "No space left on device"),
        ("memory", "most likely by the system because memory ran out"),
        ("crash", "crashed (SIGSEGV): a fault in a library's native code, not a lack of memory"),
    ],
)
def test_earlier_outputs_are_there_again(project, how, line):
    ask(project, how, "half done")
    output = run("dvc", "repro", cwd=project, ok=False)
    assert line in output and "Traceback" not in output
    assert outputs(project) == written("committed")
    assert run("git", "status", "--porcelain", cwd=project) == " M how.txt\n"
    assert (project / ".scratch/failed/work@a/data/models/one.txt").read_text() == "half done"

    ask(project, "succeed", "committed")
    assert "didn't change" in run("dvc", "repro", cwd=project)


def test_those_that_nobody_committed_as_well(project):
    ask(project, "succeed", "another day")
    run("dvc", "repro", cwd=project)
    ask(project, "exit", "half done")
    run("dvc", "repro", cwd=project, ok=False)
    assert outputs(project) == written("another day")


def test_in_a_clone_without_data_those_of_git(made, tmp_path):
    run("git", "clone", "-q", str(made), "clone", cwd=tmp_path)
    ask(tmp_path / "clone", "exit", "half done")
    run("dvc", "repro", cwd=tmp_path / "clone", ok=False)
    assert outputs(tmp_path / "clone") == {"data/models/one.txt": "half done", "metrics/a.json": '"committed"'}


def test_a_stage_that_never_succeeded_leaves_what_it_wrote(project):
    (project / "dvc.lock").unlink()
    ask(project, "exit", "half done")
    run("dvc", "repro", cwd=project, ok=False)
    assert outputs(project) == {"data/models/one.txt": "half done"}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_too(project, kind):
    ask(project, "wait", "half done")
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        ["dvc", "repro"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        deadline = time.monotonic() + 60
        while outputs(project) != {"data/models/one.txt": "half done"}:
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, kind)
        printed = running.communicate(timeout=30)[0].decode()
    wait_for_group(running.pid)
    assert "Traceback" not in printed
    assert outputs(project) == written("committed")


def test_a_signal_for_a_child_that_has_ended_is_no_error():
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        _end(ended.pid)


def wait_for_group(group: int) -> None:
    """DVC does not wait for its stages when it is ended itself."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(600):
            os.killpg(group, 0)
            time.sleep(0.05)

"""How a stage ends when the machine refuses something, the user interrupts it, or it is given arguments (stages/__init__.py)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import ROOT, encode, smooth, write_archive


def end_of(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Of a Python process in this folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_is_one_line_that_says_what_to_do(small_project):
    write_archive("set", {"glioma/a.png": encode(smooth(0)), "normal/b.png": encode(smooth(1))})
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/merge.json").symlink_to("/dev/full")
    ended = end_of("-m", "stages.merge")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        "No space left on device. The disk is full; free some space and run the same command again."
    )
    assert "Traceback" not in ended.stderr


def test_a_full_disk_under_the_models_is_one_line_too():
    message = "Error while serializing: I/O error: No space left on device (os error 28)"
    ended = end_of("-c", f"import stages; from safetensors import SafetensorError; raise SafetensorError({message!r})")
    assert (ended.returncode, ended.stderr) == (
        1,
        "Writing: No space left on device. The disk is full; free some space and run the same command again.\n",
    )


def test_a_refusal_names_the_file(small_project):
    ended = end_of("-c", "import stages; raise PermissionError(13, 'Permission denied', 'data/x.npy')")
    assert (ended.returncode, ended.stderr) == (
        1,
        "data/x.npy: Permission denied. There is no permission; change the file's, or run as its owner.\n",
    )


def test_a_mistake_of_ours_still_shows_where():
    ended = end_of("-c", "import stages; {}['missing']")
    assert ended.returncode == 1 and "Traceback" in ended.stderr and "KeyError: 'missing'" in ended.stderr


def test_ctrl_c_says_nothing():
    ended = end_of("-c", f"import os, stages; os.kill(os.getpid(), {signal.SIGINT:d})")
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("lines", [0, 1])
def test_output_into_head_ends_quietly(small_project, lines):
    command = f"{sys.executable} -m stages.params | head -n {lines}"
    ended = subprocess.run(["sh", "-c", command], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (ended.stderr, ended.stdout.count("\n")) == ("", lines)


def test_what_is_printed_is_utf_8_whatever_the_locale():
    ended = end_of("-c", r"import stages; print('\u8133 \udce9')", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (ended.returncode, ended.stdout) == (0, "\u8133 \\udce9\n")


WITHOUT_ARGUMENTS = sorted({path.parent.name for path in ROOT.glob("stages/*/__main__.py")} - {"download", "predict"}) + ["params"]


@pytest.mark.parametrize("stage", WITHOUT_ARGUMENTS)
def test_help_is_what_the_stage_does_and_runs_nothing(small_project, stage):
    before = sorted(small_project.rglob("*"))
    ended = end_of("-m", f"stages.{stage}", "--help")
    source = next(path for path in (ROOT / f"stages/{stage}/__main__.py", ROOT / f"stages/{stage}.py") if path.exists()).read_text()
    assert (ended.returncode, ended.stderr) == (0, "") and sorted(small_project.rglob("*")) == before
    assert len(ended.stdout) > 40 and source.startswith(f'"""{ended.stdout.rstrip()}')


def test_arguments_that_a_stage_does_not_know_are_refused(small_project):
    ended = end_of("-W", "ignore", "-m", "stages.merge", "sartaj", "nickparvar")
    assert ended.returncode == 1 and ended.stderr == (
        "python -m stages.merge takes no arguments, and was given sartaj nickparvar; "
        "what it does is set in params.yaml (python -m stages.params)\n"
    )
    assert not Path("data/merged").exists()


@pytest.mark.parametrize("stage", ["download", "predict"])
def test_stages_with_arguments_answer_themselves(small_project, stage):
    ended = end_of("-m", f"stages.{stage}", "--help")
    assert ended.returncode == 0 and ended.stdout.startswith(f"usage: python -m stages.{stage}")

"""Ended at random moments, then run again: the outputs must be those of an undisturbed run."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from benchmarks.torture.project import Project, start

LONGEST = 12.0  # seconds from the start of a run to the signal
PATIENCE = 5.0  # seconds in which Ctrl-C has to end it
STARTS = 10  # of a stage that is to be ended before it comes to its end


def ended_by(kind: signal.Signals, project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """Send a signal to all processes of `dvc repro`, so many times; each run goes on where the one before was ended.

    A run that comes to its end first is compared with the undisturbed one, and the next begins in a new folder.
    Returns what went wrong in each try, empty where nothing did, and prints during which stages they were.
    """
    wrong, during = [], Counter()
    while len(wrong) < tries:
        with project.new() as folder:
            while len(wrong) < tries and not _came_to_its_end(running := start(folder, "dvc", "repro"), rng):
                during[_stage(folder)] += 1
                wrong.append(_end(running, kind, folder))
            fault = project.next_run(folder)
        if wrong:
            wrong[-1] = wrong[-1] or fault
    tqdm.write(f"{kind.name} during {', '.join(f'{stage} ({times})' for stage, times in during.most_common())}")
    return wrong


def ended_again(project: Project, rng: np.random.Generator) -> str:
    """End a stage that had succeeded before while it runs again; what is wrong with its outputs then, empty if they are those of before.

    A stage that comes to its end first is no try, and another one is started, STARTS times at most.
    """
    with project.finished() as folder:
        stages = list(yaml.safe_load((folder / "dvc.lock").read_text())["stages"])
        for _ in range(STARTS):
            running = start(folder, "dvc", "repro", "--single-item", "--force", str(rng.choice(stages)))
            while running.poll() is None and not _watched(running):
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 3))
            if _watched(running):
                fault = _end(running, signal.Signals(rng.choice([signal.SIGTERM, signal.SIGINT])), folder)
                return fault or project.differences(folder)
            if running.wait():
                return "a stage failed that nothing had ended"
        return f"of {STARTS} stages none was seen to run with a process that would put its outputs back"


def _watched(running: subprocess.Popen) -> bool:
    """Whether its stage runs, and the process that puts its earlier outputs back where it fails."""
    stages = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            group = (process / "stat").read_text().rpartition(")")[2].split()[2]
            stages += int(group) == running.pid and "-m\0stages." in (process / "cmdline").read_text()
    return stages > 1


def _stage(folder: Path) -> str:
    started = re.findall(r"Running stage '(.+?)'", (folder / "torture.log").read_text(errors="replace"))
    return started[-1] if started else "the start"


def _came_to_its_end(running: subprocess.Popen, rng: np.random.Generator) -> bool:
    try:
        running.wait(rng.uniform(0.5, LONGEST))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(running: subprocess.Popen, kind: signal.Signals, folder: Path) -> str:
    os.killpg(running.pid, kind)
    sent = time.monotonic()
    while _alive(running):
        time.sleep(0.02)
        if time.monotonic() - sent > 60:
            os.killpg(running.pid, signal.SIGKILL)
            return f"60 s after {kind.name} it still ran"
    seconds = time.monotonic() - sent
    if kind != signal.SIGINT:
        return ""
    if "Traceback" in (folder / "torture.log").read_text(errors="replace"):
        return "a traceback"
    return f"it took {seconds:.0f} s to end" if seconds > PATIENCE else ""


def _alive(running: subprocess.Popen) -> bool:
    running.poll()  # a process that ended stays in its group until its parent has asked
    try:
        os.killpg(running.pid, 0)
    except ProcessLookupError:
        return False
    return True

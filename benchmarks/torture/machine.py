"""The same bytes wherever and by whom it is run; and two runs at once."""

import os
import shutil
import subprocess

import numpy as np

from benchmarks.torture.project import Project, start

SETTINGS = [  # umask, locale, time zone, share of the cores
    (0o077, "C", "Asia/Kathmandu", 0.5),
    (0o002, "de_DE.UTF-8", "America/St_Johns", 1.0),
]


def elsewhere(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """In another folder, under another umask, locale and time zone, with another number of cores: each of SETTINGS in turn."""
    return [_under(project, *SETTINGS[number % len(SETTINGS)]) for number in range(tries)]


def _under(project: Project, umask: int, locale: str, zone: str, share: float) -> str:
    project.undisturbed()  # under the settings that are here
    cores = sorted(os.sched_getaffinity(0))
    before = os.umask(umask)
    os.sched_setaffinity(0, cores[: max(1, int(share * len(cores)))])
    try:
        with project.new("another näme") as folder:
            lock = project.undisturbed() / "dvc.lock"
            shutil.copy(lock, folder)  # a clone has it too: its entries then keep their places
            fault = project.next_run(folder, LC_ALL=locale, TZ=zone)
            same = (folder / "dvc.lock").read_bytes() == lock.read_bytes()
            return fault or ("" if same else "dvc.lock has other bytes")
    finally:
        os.umask(before)
        os.sched_setaffinity(0, cores)


def two_at_once(project: Project, rng: np.random.Generator) -> str:
    """Of two `dvc repro` in one folder one says that it is locked, and the other is not disturbed."""
    with project.new() as folder:
        first = start(folder, "dvc", "repro")
        try:
            first.wait(rng.uniform(3, 10))
            return "the first run ended before the second could begin"
        except subprocess.TimeoutExpired:
            second = subprocess.run(["dvc", "repro"], cwd=folder, capture_output=True, text=True)
        first.wait()
        said = (folder / "torture.log").read_text(errors="replace")
        refused = [output for code, output in [(first.returncode, said), (second.returncode, second.stderr)] if code]
        if len(refused) != 1 or "lock" not in refused[0] or "Traceback" in refused[0]:
            return f"not one of them said that it is locked: {' | '.join(refused)[-400:]}"
        return project.differences(folder)

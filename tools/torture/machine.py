"""The same bytes wherever and by whom it is run; and two runs at once."""

import os
import shutil
import subprocess

import numpy as np

from tools.torture.project import Project, repro, start


def elsewhere(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """In another folder, under another umask, locale and time zone, with another number of cores."""
    wrong = []
    for number in range(tries):
        folder = project.lay_out(f"a folder {number} of another näme")
        cores = sorted(os.sched_getaffinity(0))
        some = cores[: max(1, len(cores) // 2)] if number % 2 == 0 else cores
        before = os.umask([0o077, 0o002][number % 2])
        os.sched_setaffinity(0, some)
        try:
            locale, zone = [("C", "Asia/Kathmandu"), ("de_DE.UTF-8", "America/St_Johns")][number % 2]
            code, output = repro(folder, LC_ALL=locale, TZ=zone)
        finally:
            os.umask(before)
            os.sched_setaffinity(0, cores)
        wrong.append(f"failed: {output.strip().splitlines()[-1]}" if code else project.differences(folder))
        shutil.rmtree(folder)
    return wrong


def two_at_once(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """A second `dvc repro` in the same folder says that it is locked, and the first is not disturbed."""
    wrong = []
    for _ in range(tries):
        folder = project.lay_out("locked")
        first = start(folder, "dvc", "repro")
        try:
            first.wait(rng.uniform(3, 10))
        except subprocess.TimeoutExpired:
            second = subprocess.run(["dvc", "repro"], cwd=folder, capture_output=True, text=True)
            said = second.returncode != 0 and "lock" in second.stderr and "Traceback" not in second.stderr
            fault = "" if said else f"the second run said nothing of a lock: {second.stderr.strip()[-200:]}"
        else:
            fault = "the first run ended before the second could begin"
        first.wait()
        wrong.append(fault or project.differences(folder))
        shutil.rmtree(folder)
    return wrong

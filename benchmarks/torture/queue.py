"""Experiments of DVC's queue, run by two workers at once."""

import hashlib
import re
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.torture.project import Project

PATIENCE = 900  # seconds in which both have to end


def two_workers(project: Project, rng: np.random.Generator) -> str:
    """Both experiments succeed, the folder is left as it was, and all files in DVC's cache are what their names say."""
    rates = rng.uniform(1e-4, 1e-3, 2).round(6)
    with project.finished() as folder:
        (folder / ".dvc/config.local").unlink()  # experiments need git
        for command in ("init -q", "add -A", "-c user.name=torture -c user.email=torture@example.org commit -qm results"):
            _run(folder, "git", *command.split())
        _run(folder, "dvc", "exp", "run", "--queue", "-S", f"train.lr={rates[0]},{rates[1]}")
        _run(folder, "dvc", "queue", "start", "--jobs", "2")
        deadline = time.monotonic() + PATIENCE
        while re.search("Queued|Running", status := _run(folder, "dvc", "queue", "status")):
            if time.monotonic() > deadline:
                _run(folder, "dvc", "queue", "stop", "--kill")
                return f"the queue did not end in {PATIENCE} s"
            time.sleep(2)
        if status.count("Success") != 2:
            return f"not both experiments succeeded: {' '.join(status.split())}"
        return _damage(folder / ".dvc/cache/files/md5") or project.differences(folder)


def _run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def _damage(cache: Path) -> str:
    """Which file in DVC's cache is not what its name says; empty if all are."""
    for path in sorted(cache.glob("*/*")):
        if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name.removesuffix(".dir"):
            return f"the cache's {path.parent.name}/{path.name} has another content"
    return ""

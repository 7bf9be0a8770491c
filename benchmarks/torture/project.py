"""A small run of the whole pipeline to torment, and what its outputs must be whatever happens to it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from harness import processes
from harness.layout import SMALL, lay_out, set_params, shrink_phantom


class Project:
    """Folders with the checkout's code and small params, each with a DVC cache of its own, in a temporary place."""

    def __init__(self):
        self.home = Path(tempfile.mkdtemp(prefix="torture-"))
        self.expected = None

    @contextmanager
    def new(self, name: str = "new") -> Iterator[Path]:
        """A folder in which nothing has run, removed afterwards."""
        with self._removed(name) as folder:
            self._lay_out(folder)
            yield folder

    @contextmanager
    def finished(self) -> Iterator[Path]:
        """A copy of the folder that nothing disturbed, its cache too, removed afterwards."""
        with self._removed("finished") as folder:
            shutil.copytree(self.undisturbed(), folder, symlinks=True)
            yield folder

    def undisturbed(self) -> Path:
        """The folder of a run that nothing disturbed."""
        folder = self.home / "undisturbed"
        if not folder.exists():
            self._lay_out(folder)
            code, output = repro(folder)
            if code:
                raise SystemExit(f"the undisturbed run failed:\n{output}")
            self.expected = fingerprint(folder)
        return folder

    def next_run(self, folder: Path, **environment: str) -> str:
        """What is wrong after one more run in a folder; empty if its outputs are those of the undisturbed one."""
        code, output = repro(folder, **environment)
        if "RWLock-file" in output:  # ended while DVC wrote its list of who reads what: docs/reliability.md says to remove it
            (folder / ".dvc/tmp/rwlock").unlink()
            code, output = repro(folder, **environment)
        return f"the next run failed: {output.strip().splitlines()[-1]}" if code else self.differences(folder)

    def differences(self, folder: Path) -> str:
        """Which outputs are not those of the undisturbed run; empty if all are."""
        self.undisturbed()
        found = fingerprint(folder)
        names = sorted(name for name in self.expected.keys() | found.keys() if self.expected.get(name) != found.get(name))
        return f"other bytes in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}" if names else ""

    def remove(self) -> None:
        """Remove all folders."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _lay_out(self, folder: Path) -> None:
        folder.mkdir()
        lay_out(folder)
        set_params(folder / "params.yaml", SMALL | {"train.epochs": 3}, "benchmarks.torture")
        shrink_phantom(folder)

    @contextmanager
    def _removed(self, name: str) -> Iterator[Path]:
        folder = self.home / name
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def repeated(attempt: Callable[[Project, np.random.Generator], str]) -> Callable[[Project, int, np.random.Generator], list[str]]:
    """What makes so many tries of an attempt: what went wrong in each, empty where the pipeline held."""
    return lambda project, tries, rng: [attempt(project, rng) for _ in range(tries)]


def outputs(folder: Path) -> list[Path]:
    """The files and folders that dvc.lock lists as made by the stages."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return [folder / out["path"] for stage in stages.values() for out in stage.get("outs", [])]


def fingerprint(folder: Path) -> dict[str, str]:
    """File or entry of dvc.lock -> SHA-256: of all outputs, and of what dvc.lock says of each stage, in whatever order (DVC's is random)."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    files = [file for path in outputs(folder) for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    contents = {str(file.relative_to(folder)): file.read_bytes() for file in files}
    contents |= {f"dvc.lock: {stage}": json.dumps(entry).encode() for stage, entry in lock.items()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen:
    """Start a command in a process group of its own; its output goes to torture.log in the folder."""
    with (folder / "torture.log").open("w") as log:
        return processes.start(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
        )


def repro(folder: Path, **environment: str) -> tuple[int, str]:
    """`dvc repro` to its end: exit status and output."""
    code = start(folder, "dvc", "repro", **environment).wait()
    return code, (folder / "torture.log").read_text(errors="replace")


def complaint(code: int, output: str) -> str:
    """What is wrong with a failed command: that it did not fail, or not with a line that a user can read; empty if nothing is."""
    if code == 0:
        return "it did not fail"
    return f"it ended with a traceback: {output.strip()[-400:]}" if "Traceback" in output else ""

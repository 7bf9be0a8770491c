"""A small run of the whole pipeline to torment, and what its outputs must be whatever happens to it."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import yaml

from tools.layout import lay_out, set_params

SMALL = {
    "data.sources": ["phantom"],
    "split.folds": 2,
    "model.backbone": "mobilenetv3_small_050",
    "model.weights": "none",
    "model.image_size": 48,
    "train.epochs": 3,
    "train.precision": "float32",
    "aggregate.resamples": 50,
    "explain.pictures": 1,
}
PATIENTS_PER_CLASS = 5
OUTPUTS = ("data", "metrics", ".scratch", "dvc.lock")


class Project:
    """Folders with the checkout's code and small params, each with a DVC cache of its own, in a temporary place."""

    def __init__(self):
        self.home = Path(tempfile.mkdtemp(prefix="torture-"))
        self.expected = None

    def lay_out(self, name: str) -> Path:
        """A new folder in which nothing has run."""
        folder = self.home / name
        folder.mkdir()
        lay_out(folder)
        set_params(folder / "params.yaml", SMALL, "tools.torture")
        registry = folder / "data/sources.yaml"
        sources = yaml.safe_load(registry.read_text())
        sources["phantom"]["archive"]["phantom"]["patients_per_class"] = PATIENTS_PER_CLASS
        registry.write_text(yaml.safe_dump(sources))
        return folder

    def undisturbed(self) -> Path:
        """The folder of a run that nothing disturbed."""
        folder = self.home / "undisturbed"
        if not folder.exists():
            self.lay_out(folder.name)
            code, output = repro(folder)
            if code:
                raise SystemExit(f"the undisturbed run failed in {folder}:\n{output}")
            self.expected = fingerprint(folder)
        return folder

    def copy(self, name: str) -> Path:
        """A copy of the finished undisturbed run, its cache too."""
        return Path(shutil.copytree(self.undisturbed(), self.home / name, symlinks=True))

    def differences(self, folder: Path) -> str:
        """Which outputs are not those of the undisturbed run; empty if all are."""
        self.undisturbed()
        found = fingerprint(folder)
        names = sorted(name for name in self.expected.keys() | found.keys() if self.expected.get(name) != found.get(name))
        return f"other bytes in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}" if names else ""

    def remove(self) -> None:
        """Remove all folders."""
        shutil.rmtree(self.home, ignore_errors=True)


def fingerprint(folder: Path) -> dict[str, str]:
    """File -> SHA-256, of dvc.lock and all that it lists."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    paths = [folder / "dvc.lock", *(folder / out["path"] for stage in stages.values() for out in stage.get("outs", []))]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen:
    """Start a command in a process group of its own; its output goes to torture.log in the folder."""
    with (folder / "torture.log").open("w") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
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
    return "it ended with a traceback" if "Traceback" in output else ""

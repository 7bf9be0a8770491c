"""Disks that are full or cannot be written to, and files that were damaged on them."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.torture.project import Project, complaint, outputs, repro, start
from harness.layout import set_params
from harness.processes import end

Generator = np.random.Generator


def full(place: str, project: Project, rng: Generator) -> str:
    """The disk under a folder fills up in the middle of a run; with room again, the next run goes on. (Mounts: for root only.)"""
    needed = sum(file.stat().st_size for file in (project.undisturbed() / place).rglob("*") if file.is_file())
    return _refused(place, project, f"size={int(needed * rng.uniform(0.1, 0.9))}", "size=2g")


def read_only(place: str, project: Project, rng: Generator) -> str:
    """A folder cannot be written to; when it can, the next run goes on. (Mounts: for root only.)"""
    return _refused(place, project, "ro", "rw")


def damaged_cache(project: Project, rng: Generator) -> str:
    """A byte in DVC's cache is another one, and all that DVC could take from there is gone."""
    with project.finished() as folder:
        files = sorted(file for file in (folder / ".dvc/cache/files").rglob("*") if file.is_file() and file.stat().st_size)
        file = files[rng.integers(len(files))]
        content = bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.chmod(0o644)
        file.write_bytes(content)
        for output in outputs(folder):
            shutil.rmtree(output) if output.is_dir() else output.unlink()
        return project.next_run(folder)


def damaged_checkpoint(project: Project, rng: Generator) -> str:
    """A checkpoint of the training is cut short, at the end, in the middle or to nothing."""
    with project.finished() as folder:
        path = _killed_in_training(folder)
        os.truncate(path, int(path.stat().st_size * rng.choice([0, rng.uniform(), 0.999])))
        return project.next_run(folder)


def checkpoint_of_other_params(project: Project, rng: Generator) -> str:
    """A training with another learning rate was killed and left its checkpoints."""
    with project.finished() as folder:
        params = folder / "params.yaml"
        own = params.read_text()
        set_params(params, {"train.lr": float(rng.uniform(1e-4, 1e-2))}, "benchmarks.torture")
        _killed_in_training(folder)
        params.write_text(own)
        return project.next_run(folder)


def lacking() -> str:
    """Why disks cannot be mounted here; empty if they can."""
    return "" if os.geteuid() == 0 else "mounting a small disk takes root"


def _refused(place: str, project: Project, refusing: str, allowing: str) -> str:
    """A run on a disk with one mount option, then another with the other."""
    with project.new() as folder, _disk(folder / place) as change:
        change(refusing)
        fault = complaint(*repro(folder))
        change(allowing)
        return fault or project.next_run(folder)


def _killed_in_training(folder: Path) -> Path:
    """Train again in a finished folder and kill it after its first checkpoint, whose path is returned."""
    running = start(folder, "dvc", "repro", "--single-item", "--force", "train")
    while not (found := sorted(folder.glob(".scratch/train/*/*.pt"))):
        if running.poll() is not None:
            raise SystemExit(f"the training ended without a checkpoint: see {folder}/torture.log")
        time.sleep(0.01)
    end(running)
    return found[0]


@contextmanager
def _disk(place: Path) -> Iterator[Callable[[str], None]]:
    """A disk of its own, in memory, under a folder; yields what changes its mount options."""
    aside = place.with_name(f"{place.name}-aside")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(place, aside)

    def mount(*options: str) -> None:
        subprocess.run(["mount", *options, str(place)], check=True)

    mount("-t", "tmpfs", "-o", "size=2g", "tmpfs")
    try:
        shutil.copytree(aside, place, dirs_exist_ok=True)
        yield lambda option: mount("-o", f"remount,{option}")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.rmtree(aside)

"""Disks that are full or cannot be written to, and files that were damaged on them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tools.layout import set_params
from tools.torture.project import Project, complaint, repro, start


def full(place: str, project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """The disk under a folder fills up in the middle of a run; with room again, the next run goes on. (Mounts: for root only.)"""
    needed = sum(file.stat().st_size for file in (project.undisturbed() / place).rglob("*") if file.is_file())
    wrong = []
    for _ in range(tries):
        folder = project.lay_out("full")
        with _disk(folder / place) as change:
            change(f"size={int(needed * rng.uniform(0.1, 0.9))}")
            fault = complaint(*repro(folder))
            change("size=2g")
            wrong.append(fault or _next_run(project, folder))
        shutil.rmtree(folder)
    return wrong


def read_only(place: str, project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """A folder cannot be written to; when it can, the next run goes on. (Mounts: for root only.)"""
    wrong = []
    for _ in range(tries):
        folder = project.lay_out("read-only")
        with _disk(folder / place) as change:
            change("ro")
            fault = complaint(*repro(folder))
            change("rw")
            wrong.append(fault or _next_run(project, folder))
        shutil.rmtree(folder)
    return wrong


def damaged_cache(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """A byte in DVC's cache is another one, and the output that the file was kept for is gone."""
    wrong = []
    for _ in range(tries):
        folder = project.copy("damaged")
        files = sorted(file for file in (folder / ".dvc/cache/files").rglob("*") if file.is_file() and file.stat().st_size)
        file = files[rng.integers(len(files))]
        content = bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.chmod(0o644)
        file.write_bytes(content)
        for name in ("raw", "merged", "dedupe", "split", "balanced", "preprocessed", "weights", "models", "explain", "predictions.csv"):
            output = folder / "data" / name
            shutil.rmtree(output) if output.is_dir() else output.unlink()
        wrong.append(_next_run(project, folder))
        shutil.rmtree(folder)
    return wrong


def damaged_checkpoint(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """A checkpoint of the training is cut short, at the end, in the middle or to nothing."""
    wrong = []
    for _ in range(tries):
        folder = project.copy("checkpoint")
        path = _killed_in_training(folder)
        os.truncate(path, int(path.stat().st_size * rng.choice([0, rng.uniform(), 0.999])))
        wrong.append(_next_run(project, folder))
        shutil.rmtree(folder)
    return wrong


def checkpoint_of_other_params(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """A training with another learning rate was killed and left its checkpoints."""
    wrong = []
    for _ in range(tries):
        folder = project.copy("other")
        params = folder / "params.yaml"
        own = params.read_text()
        set_params(params, {"train.lr": float(rng.uniform(1e-4, 1e-2))}, "tools.torture")
        _killed_in_training(folder)
        params.write_text(own)
        wrong.append(_next_run(project, folder))
        shutil.rmtree(folder)
    return wrong


def _killed_in_training(folder: Path) -> Path:
    """Train again in a finished folder and kill it after its first checkpoint, whose path is returned."""
    running = start(folder, "dvc", "repro", "--single-item", "--force", "train")
    while not (found := sorted(folder.glob(".scratch/train/*/*.pt"))):
        if running.poll() is not None:
            raise SystemExit(f"the training ended without a checkpoint: see {folder}/torture.log")
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    return found[0]


def _next_run(project: Project, folder: Path) -> str:
    code, output = repro(folder)
    return f"the next run failed: {output.strip().splitlines()[-1]}" if code else project.differences(folder)


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

"""What DVC makes of cells before and after their trainings: data and weights, or the reason why not; and scores."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from harness.processes import start_tied
from leaderboard.cell import lay_out_cell
from leaderboard.recipes import load_recipe


class NotReady(Exception):
    """Why a cell cannot be made ready here."""


def lay_out_if_whole(recipe: str, protocol: str, changes: dict[str, Any]) -> Path:
    """The folder of a cell; raises NotReady where the recipe needs what the pipeline cannot do yet."""
    described = load_recipe(recipe)
    if described.missing:
        raise NotReady(f"missing: {described.missing}")
    return lay_out_cell(recipe, described, protocol, changes)


def dvc(folder: Path, *arguments: str, environment: dict[str, str], stages: bool = True) -> None:
    """Run a DVC command in the folder of a cell and show what it prints; raises NotReady when it fails.

    Without stages a stage that would have to run fails at once: its shell finds no program.
    The command and its stages end with this process, so that nothing of a killed run goes on beside the next one.
    """
    lines = []
    program = shutil.which("dvc", path=environment["PATH"]) or "dvc"
    command = start_tied(
        [program, *arguments],
        cwd=folder,
        env=environment if stages else environment | {"PATH": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in command.stdout:
        print(line, end="", flush=True)
        lines.append(line.strip())
    if command.wait():
        # what the stage said last stands before DVC's own errors
        raise NotReady(next((line for line in reversed(lines) if line and not line.startswith("ERROR")), "dvc " + " ".join(arguments)))


def reproduce(folder: Path, stages: list[str], environment: dict[str, str]) -> None:
    """Run stages of a cell, and what they need, as far as they are not up to date; raises NotReady."""
    stages = sorted(stages, key=lambda name: name != "weights")  # nothing else is made for a cell whose weights cannot be had
    dvc(folder, "repro", *stages, environment=environment)


def make_ready(folder: Path, environment: dict[str, str]) -> bool:
    """Make the inputs of a cell's train stage; whether DVC has its outputs, in the folder or in its run cache, and has put them there."""
    reproduce(folder, ["weights", "balance", "preprocess"], environment)
    try:
        dvc(folder, "repro", "--single-item", "train", environment=environment, stages=False)
    except NotReady:
        return False
    return True


def score(folder: Path, environment: dict[str, str], commit: bool) -> None:
    """Run evaluate and aggregate, after DVC has taken the outputs of train as its own, if asked to, with the cores and GPU of the task."""
    given = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    if commit:
        dvc(folder, "commit", "--force", "train", environment=environment)
    dvc(folder, "repro", "aggregate", environment=environment | given)

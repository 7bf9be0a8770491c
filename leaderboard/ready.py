"""Cells made ready: laid out in their folders, their data and weights made by DVC; or the reason why not."""

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

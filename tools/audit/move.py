"""Take copies out of the folders, with their paths below the folder that is given; nothing is overwritten."""

import shutil
from pathlib import Path

import pandas as pd


def plan_moves(table: pd.DataFrame, base: Path, to: Path) -> list[tuple[Path, Path]]:
    """(from, to) of every copy, but those of an image under two classes: which of these is right only a person can tell.

    Raises SystemExit where something is in the way.
    """
    moves = [(base / path, to / path) for path in table.path[~table.kept & ~table.conflict]]
    if taken := [target for _, target in moves if target.exists() or target.is_symlink()]:
        raise SystemExit(f"{taken[0]} is there already; nothing was moved; give --move another folder")
    return moves


def move(moves: list[tuple[Path, Path]]) -> None:
    for path, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)

"""Finished trainings on disk, until the outputs of their cells are written."""

import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

from leaderboard.grid.outcome import Finished
from stages.catalog import model_file

SCRATCH = Path(".scratch/grid")


class Saved:
    """The finished trainings of one run, by its key."""

    def __init__(self, key: str):
        self.folder = SCRATCH.absolute() / key

    def save(self, finished: Finished) -> None:
        """Keep a training; a kill in the middle leaves nothing of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / model_file(*finished.pair)
        part = path.with_suffix(".part")
        part.write_bytes(finished.file)
        os.replace(part, path)

    def load(self, fold: int, seed: int) -> Finished | None:
        """A training that was kept, None if it was not, or is damaged."""
        path = self.folder / model_file(fold, seed)
        if not path.exists():
            return None
        finished = Finished(path.read_bytes())
        try:
            finished.trained()
        except SafetensorError:
            print(f"{path} is damaged: this training begins anew")
            return None
        return finished

    def clear(self) -> None:
        """Remove them, once the outputs of all cells that need them are there."""
        shutil.rmtree(self.folder, ignore_errors=True)

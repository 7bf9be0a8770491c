"""Finished trainings on disk, until the outputs of their cells are written."""

import json
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stages.catalog import model_file
from stages.train.folds import Trained
from tools.grid.outcome import Finished

SCRATCH = Path(".scratch/grid")


class Saved:
    """The finished trainings of one run, by its key: weights as safetensors, all else as JSON in their header, where floats stay what they are."""

    def __init__(self, key: str):
        self.folder = SCRATCH.absolute() / key

    def save(self, finished: Finished) -> None:
        """Keep a training; a kill in the middle leaves nothing of it."""
        trained = dict(vars(finished.trained))
        state = trained.pop("state")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(finished.trained.fold, finished.trained.seed)
        part = path.with_suffix(".part")
        save_file(state, part, {"finished": json.dumps(vars(finished) | {"trained": trained})})
        os.replace(part, path)

    def load(self, fold: int, seed: int) -> Finished | None:
        """A training that was kept, None if it was not, or is damaged."""
        path = self._path(fold, seed)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}
                about = json.loads(file.metadata()["finished"])
        except SafetensorError:
            print(f"{path} is damaged: this training begins anew")
            return None
        return Finished(**about | {"trained": Trained(**about["trained"], state=state)})

    def clear(self) -> None:
        """Remove them, once the outputs of all cells that need them are there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, fold: int, seed: int) -> Path:
        return self.folder / model_file(fold, seed)

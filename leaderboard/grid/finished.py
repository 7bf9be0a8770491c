"""What comes back from a node, and is kept on disk until the outputs of its cells are written."""

import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.torch import load, save

from stages.catalog import model_file
from stages.train.folds import Trained

SCRATCH = Path(".scratch/grid")


class Failed(Exception):
    """Why a training has no result."""


@dataclass
class Finished:
    """A training in one piece, as it travels and is kept: a safetensors file, and in its header all else as JSON, where floats stay what they are.

    PyTorch pickles tensor by tensor, which takes a tenth of a second for a small network.
    """

    file: bytes

    @classmethod
    def of(cls, trained: Trained, seconds: float, node: str) -> Self:
        """node: the name of the one that it ran on."""
        about = dict(vars(trained))
        state = about.pop("state")
        return cls(save(state, {"about": json.dumps({"seconds": seconds, "node": node, "trained": about})}))

    @cached_property
    def about(self) -> dict[str, Any]:
        """The seconds that it took, the node, and what there is beside the weights; raises SafetensorError for a damaged file."""
        try:
            # safetensors reads metadata from files on disk only. The header is its length in 8 bytes, then JSON.
            header = self.file[8 : 8 + int.from_bytes(self.file[:8], "little")]
            return json.loads(json.loads(header)["__metadata__"]["about"])
        except (ValueError, KeyError) as error:
            raise SafetensorError(f"no training: {error}") from None

    @property
    def pair(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.about["trained"]["fold"], self.about["trained"]["seed"]

    def trained(self) -> Trained:
        """Raises SafetensorError for a damaged file."""
        return Trained(**self.about["trained"], state=load(self.file))


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

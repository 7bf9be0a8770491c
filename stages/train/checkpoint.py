"""Checkpoints outside the DVC outputs, so that a run that was killed goes on where it was."""

import hashlib
import os
import shutil
from pathlib import Path
from pickle import UnpicklingError

import torch

from stages.params import Params

SCRATCH = Path(".scratch/train")
CODE = [
    *sorted(Path(__file__).parent.glob("*.py")),
    *(Path(__file__).parents[1] / name for name in ("architectures.py", "device.py", "heads.py", "model.py")),
]


def describe_platform(device: torch.device, threads: int, precision: torch.dtype) -> str:
    """What else than inputs, params and code the bytes of a model may depend on."""
    return f"{device.type} {threads} {precision} {torch.__version__}"


def run_key(params: Params, inputs: list[Path], platform: str) -> str:
    """What tells a run from others: a hash, 16 hex digits, of its inputs, params, code and platform."""
    key = hashlib.sha256(f"{params.model} {params.train} {platform}".encode())
    for path in [*inputs, *CODE]:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    return key.hexdigest()[:16]


class Checkpoints:
    """The checkpoints of one run, told from others by its key."""

    def __init__(self, params: Params, inputs: list[Path], platform: str):
        self.folder = SCRATCH / run_key(params, inputs, platform)

    def save(self, fold: int, seed: int, parts: dict, progress) -> None:
        """Replace the checkpoint of this fold and seed; a kill in the middle leaves the one before.

        parts: modules and optimisers by name, with "model" among them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in parts.items()} | {"history": progress.history, "kept": progress.kept}
        path = self._path(fold, seed)
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def resume(self, fold: int, seed: int, parts: dict, progress) -> None:
        """Put the checkpoint of this fold and seed, if there is one, into the parts and progress."""
        path = self._path(fold, seed)
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError):
            print(f"{path} is damaged: this training begins anew")
            return
        if state["model"].keys() != parts["model"].state_dict().keys():
            return  # frozen layers were in the model then and are not now, or the other way round: begins anew
        for name, part in parts.items():
            part.load_state_dict(state[name])
        progress.history, progress.kept = state["history"], state["kept"]
        print(f"fold {fold}, seed {seed}: goes on after epoch {len(progress.history)}, from {path}")

    def _path(self, fold: int, seed: int) -> Path:
        return self.folder / f"fold-{fold}-seed-{seed}.pt"

    def clear(self) -> None:
        """Remove this run's checkpoints, once its outputs are written."""
        shutil.rmtree(self.folder, ignore_errors=True)

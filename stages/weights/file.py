"""Weights from a file of one's own. Only tensors are ever read: a pickle that would run code is refused."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")  # keys of training checkpoints
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "base_model.")  # of what a network was put into


def fetch(path: str) -> tuple[dict[str, Tensor], dict]:
    """(state, provenance) of a .safetensors, .pth or .pt file, known by its digest: where it lies says nothing about it."""
    if not Path(path).is_file():
        raise SystemExit(f"model.weights: there is no file {path}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return read(path), {"origin": f"file sha256:{digest}", "url": None, "licence": None}


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict that a file holds, by itself or in a training checkpoint, without the names of what the network was put into
    (DataParallel's "module.", torch.compile's, Lightning's); SystemExit if none."""
    try:
        held = load_file(path) if str(path).endswith(".safetensors") else torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file ends torch's restricted unpickler with almost any kind of error
        raise SystemExit(
            f"{path} is not loaded: it is damaged, or holds more than tensors, and no code is run from a file; "
            "save the model's state_dict() as .safetensors"
        ) from None
    for key in WRAPPINGS:
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise SystemExit(f"{path} holds no state dict: names and tensors are expected")
    while prefix := next((prefix for prefix in PREFIXES if all(str(name).startswith(prefix) for name in held)), None):
        held = {name.removeprefix(prefix): value for name, value in held.items()}
    return held

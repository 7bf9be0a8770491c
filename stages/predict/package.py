"""The model package: everything that a prediction needs, in one folder that `make export` writes."""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file

from stages.catalog import model_file
from stages.device import pick_device
from stages.model import load_state, recreate_model
from stages.predict.ensemble import Ensemble
from stages.predict.likeness import Likeness

PACKAGE = Path("export")


@dataclass
class Package:
    """about: package.json (classes, image_size, geometry, ...); the network, on the device; likeness to the training images; whether these were
    synthetic; the least probability of a class in prediction sets, by their coverage."""

    about: dict
    network: Ensemble
    likeness: Likeness
    demonstration: bool
    thresholds: dict[str, float]


def load(folder: Path) -> Package:
    """Read a package. Raises SystemExit when the folder holds none."""
    try:
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        demonstration, thresholds = about.get("demonstration", False), about.get("thresholds", {})  # packages of before do not say
        likeness = load_arrays(folder / "likeness.safetensors")
        models = []
        for fold, seed in product(about["folds"], about["seeds"]):
            model = recreate_model(about)
            load_state(model, load_file(folder / model_file(fold, seed)))
            models.append(model)
        network = Ensemble(models, len(about["folds"]), about["temperature"], about["mean"], about["std"], about["flips"], about["zoom"])
    except FileNotFoundError as error:
        raise SystemExit(f"{error.filename}: not there. `make export` writes a model package, after `dvc repro`") from None
    except Exception as error:  # json, safetensors and torch each have their own for a file that is not what it should be
        raise SystemExit(f"{folder}: no model package, or damaged ({type(error).__name__} {error}). `make export` writes one") from None
    return Package(about, network.to(pick_device()).eval(), Likeness(**_plain(likeness), planes=about["planes"]), demonstration, thresholds)


def _plain(arrays: dict[str, np.ndarray]) -> dict:
    return arrays | {"farthest": float(arrays["farthest"][0])}

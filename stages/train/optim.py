"""Optimiser and the course of the learning rate."""

import math

import torch
from torch import nn

from stages.params import Train

WARM_UP = 0.25  # share of onecycle that the rate rises


def make_optimizer(model: nn.Module, params: Train) -> torch.optim.Optimizer:
    """The optimiser of train.optimizer over what is trained; biases and norms are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match params.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, params.lr, eps=params.epsilon, fused=True)
        case "adam":
            return torch.optim.Adam(groups, params.lr, eps=params.epsilon, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, params.lr, momentum=params.momentum, fused=True)


def learning_rate(params: Train, step: int, steps_an_epoch: int) -> float:
    """The rate at a step, counted over all epochs, by train.schedule.

    onecycle rises to lr over the first quarter and falls to nearly 0, both along a cosine (Smith and Topin, 2017).
    """
    progress = step / (steps_an_epoch * params.epochs)
    match params.schedule:
        case "onecycle" if progress < WARM_UP:
            return params.lr * (0.04 + 0.96 * _cosine_fall(1 - progress / WARM_UP))
        case "onecycle":
            return params.lr * _cosine_fall((progress - WARM_UP) / (1 - WARM_UP))
        case "cosine":
            return params.lr * _cosine_fall(progress)
        case "step":
            return params.lr * params.step_factor ** (step // steps_an_epoch // params.step_epochs)
        case "constant":
            return params.lr


def _cosine_fall(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2

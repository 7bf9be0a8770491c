"""What runs on the nodes: trainings of a cell, from values to values. No file is written."""

import time
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import ray
import torch
from safetensors.torch import load

from leaderboard.grid.finished import Failed, Finished
from stages.params import Params
from stages.train.folds import Training
from stages.train.memory import advise_on_memory

OTHERWISE = "give each training more of its machine (--cores, --gpu-memory)."


def train(
    params: Params,
    samples: pd.DataFrame,
    pixels: np.ndarray,
    weights: bytes,
    pairs: list[tuple[int, int]],
    cores: int,
) -> list[Finished]:
    """Train each (fold, seed) on so many cores, one after another, as `python -m stages.train` does; raises Failed.

    weights: the pretrained ones as a safetensors file, which is read far faster than tensors are unpickled.
    """
    torch.set_num_threads(cores)
    try:
        with advise_on_memory(params, OTHERWISE):
            return list(_train(Training(params, samples, pixels, load(weights), checkpoints=None), pairs))
    except SystemExit as end:  # which Ray would take for a worker that wants to end
        raise Failed(end.code) from None
    finally:
        torch.cuda.empty_cache()  # the worker stays, and others share its GPU


def _train(training: Training, pairs: list[tuple[int, int]]) -> Iterator[Finished]:
    for fold, seed in pairs:
        began = time.monotonic()
        trained = training.fold(fold, seed)
        yield Finished.of(trained, time.monotonic() - began, _node())


@cache
def _node() -> str:
    """The name that `ray start --node-name` gave the node that this process runs on, by default its address."""
    here = ray.get_runtime_context().get_node_id()
    return next(one["NodeName"] for one in ray.nodes() if one["NodeID"] == here)

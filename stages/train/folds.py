"""All folds of a split and all seeds, each pair a training of its own: on a CPU several at a time, on a GPU one after another."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from safetensors.torch import load_file
from torch import Tensor, nn

from stages.catalog import INDEX, PIXELS, SAMPLES, pixel_rows, read_table
from stages.device import pick_device, pick_precision
from stages.heads import HEADS
from stages.model import create_model, freeze, load_pretrained, normalisation
from stages.params import Params
from stages.train.checkpoint import Checkpoints
from stages.train.cpu import prepare_for_cpu
from stages.train.data import Images, split_rows
from stages.train.loop import cpu_state, train_fold
from stages.train.memory import free_memory, memory_of_a_training

WEIGHTS = Path("data/weights/weights.safetensors")
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)  # of a size: each family has its own
INPUTS = [PIXELS, INDEX, SAMPLES, WEIGHTS]


@dataclass
class Trained:
    """One fold from one seed: a dict an epoch, the weights of the epoch that is kept (on the CPU), and how many parameters there are."""

    fold: int
    seed: int
    history: list[dict]
    state: dict[str, Tensor]
    parameters: int
    trained_parameters: int


def share_cores(params: Params, trainings: int) -> tuple[int, int]:
    """How many trainings, each of a fold and a seed, to run at a time, and the threads of each.

    On a CPU the trainings share the cores evenly, a process each. Two on a core each are as fast as one after the other on
    both, whatever disturbs one core does not hold up the other, and the result is the same on any machine with fewer than
    two cores a training. Where memory does not hold so many, fewer run, and a line says so. Frozen layers that run once for
    all keep them in one process.
    """
    if pick_device().type != "cpu" or frozen_run_once(params):
        return 1, torch.get_num_threads()
    together = min(cpu_count(), trainings)
    if together > 1:
        try:
            each, free = memory_of_a_training(params), free_memory()
        except REFUSALS:  # the training says of what
            return 1, torch.get_num_threads()
        if (held := max(free // each, 1)) < together:
            print(
                f"{held} of {trainings} trainings at a time, not {together}: each takes about {each / 2**30:.1f} GiB, and {free / 2**30:.1f} are free"
            )
            together = held
    return together, (cpu_count() // together if together > 1 else torch.get_num_threads())


def train_folds(params: Params, samples: pd.DataFrame, checkpoints: Checkpoints, together: int, threads: int) -> list[Trained]:
    """Train every fold of samples from every seed, so many together. Raises SystemExit when a loss is no longer finite."""
    pairs = trainings(params, samples)
    if together == 1:
        training = Training(params, samples, *read_inputs(), checkpoints)
        return [training.fold(fold, seed) for fold, seed in pairs]
    with parallel_config("loky", inner_max_num_threads=threads):
        return Parallel(n_jobs=together)(
            delayed(_in_worker)(os.getpid(), params, samples, checkpoints, threads, fold, seed, n % together)
            for n, (fold, seed) in enumerate(pairs)
        )


def trainings(params: Params, samples: pd.DataFrame) -> list[tuple[int, int]]:
    """Every fold of samples with every seed, in the order of the results."""
    return [(int(fold), seed) for fold in sorted(samples.fold.unique()) for seed in params.train.seeds]


def read_inputs() -> tuple[np.ndarray, dict[str, Tensor]]:
    """Pixels, uint8 [M, S, S], in memory that processes share, and pretrained weights."""
    return np.load(PIXELS, mmap_mode="r"), load_file(WEIGHTS)


def read_samples() -> pd.DataFrame:
    """samples.csv, and in the column row where each picture is in the pixel array."""
    samples = read_table(SAMPLES)
    samples["row"] = samples.image_id.map(pixel_rows()).to_numpy(int)
    return samples


def class_names(samples: pd.DataFrame) -> list[str]:
    """The classes, in the order of the model's outputs."""
    return sorted(samples.label[samples.role == "train"].unique())


def frozen_run_once(params: Params) -> bool:
    """Whether something is frozen and every epoch shows it the same pictures, or there are no epochs."""
    if params.model.head in HEADS:
        return True
    augmented = any(params.train.augment.model_dump().values())
    return params.model.freeze != "none" and not augmented


class Training:
    """What the trainings of one process have in common: pixels, pretrained weights, frozen layers."""

    def __init__(
        self, params: Params, samples: pd.DataFrame, pixels: np.ndarray, weights: dict[str, Tensor], checkpoints: Checkpoints | None
    ):
        """pixels: uint8 [M, S, S], never written to; without checkpoints none are read or written."""
        self.params, self.samples, self.weights, self.checkpoints = params, samples, weights, checkpoints
        self.device = pick_device()
        self.precision = pick_precision(params.train.precision, self.device)
        self.images = Images(pixels, *normalisation(params.model.backbone, params.model.normalisation), self.device)
        self.frozen = self.features = None
        seen = torch.tensor(sorted(samples.row[samples.role != "test"].unique()))
        if params.model.head in HEADS:
            from stages.train.fit import Features

            self.features = Features(self.images, seen, self.precision)
        elif frozen_run_once(params):
            from stages.train.frozen import FrozenLayers

            self.frozen = FrozenLayers(self.images, seen, self.precision)

    def fold(self, fold: int, seed: int, line: int = 0) -> Trained:
        """Train one fold from one seed, from its last checkpoint if there is one; its progress bar is on this line of the terminal."""
        params, classes = self.params, class_names(self.samples)
        # The new classifier starts at random, and from no sum of the two: then fold 1 of seed 0 would start as fold 0 of seed 1 does.
        torch.manual_seed(int(np.random.SeedSequence([seed, fold]).generate_state(1)[0]))
        model = create_model(params.model.backbone, len(classes), params.model.dropout, params.model.image_size, params.model.head)
        load_pretrained(model, self.weights, str(WEIGHTS))
        freeze(model, params.model.freeze)
        model.to(self.device).to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            prepare_for_cpu(model, self.precision)
        rows = self.samples[self.samples.fold == fold]
        train, validation = (split_rows(rows, role, classes) for role in ("train", "validation"))
        try:
            if self.features:
                from stages.train.fit import fit_fold

                progress = fit_fold(model, self.features, train, validation, params.train, fold)
            else:
                network, inputs = self.frozen.split(model) if self.frozen else (model, self.images)
                progress = train_fold(network, inputs, train, validation, params.train, fold, seed, self.precision, self.checkpoints, line)
        except REFUSALS:
            check_image_size(model, params)
            raise
        return Trained(
            fold=fold,
            seed=seed,
            history=progress.history,
            state={name: progress.kept.get(name, tensor) for name, tensor in cpu_state(model).items()},
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            trained_parameters=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        )


@torch.no_grad()
def check_image_size(model: nn.Module, params: Params) -> None:
    """Raise SystemExit where a network does not take pictures of model.image_size."""
    size = params.model.image_size
    try:
        model.eval()(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    except REFUSALS as error:
        reason = " ".join(str(error).split())
        raise SystemExit(f"model.image_size: {params.model.backbone} does not take {size} ({reason:.100}); take another") from None


def _in_worker(
    parent: int, params: Params, samples: pd.DataFrame, checkpoints: Checkpoints, threads: int, fold: int, seed: int, line: int
) -> Trained:
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    torch.set_num_threads(threads)
    return Training(params, samples, *read_inputs(), checkpoints).fold(fold, seed, line)


def _end_with(parent: int) -> None:
    # What was killed must not go on writing checkpoints beside the run that follows it.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

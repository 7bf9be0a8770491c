"""Ours: what the stages preprocess and train call, for one fold."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from benchmarks.speed.task import Stopwatch, Task, read_task
from harness.layout import set_params
from stages.catalog import PIXELS
from stages.params import Params, load_params
from stages.preprocess.render import render
from stages.train.checkpoint import Checkpoints
from stages.train.folds import WEIGHTS, Training, read_inputs


class Timed(Checkpoints):
    """Checkpoints that stop the time where training begins and where an epoch ends, once it is saved."""

    def __init__(self, params: Params, watch: Stopwatch):
        super().__init__(params, [], "")
        self.watch = watch

    def resume(self, *training) -> None:
        super().resume(*training)
        self.watch.lap()

    def save(self, *training) -> None:
        super().save(*training)
        self.watch.lap()


def write_params(task: Task) -> Params:
    """params.yaml of the working directory, changed to the task: as the documents train, by Adam at a constant rate."""
    changes = {
        "model.backbone": task.backbone,
        "model.weights": "none",
        "model.image_size": task.size,
        "model.freeze": "backbone" if task.frozen else "none",
        "model.dropout": 0.0,
        "train.epochs": task.epochs,
        "train.batch_size": task.batch_size,
        "train.seeds": [0],
        "train.optimizer": "adam",
        "train.weight_decay": 0.0,
        "train.schedule": "constant",
    }
    if task.frozen:
        changes |= {"train.augment.mirror": False} | {f"train.augment.{name}": 0.0 for name in ("rotate", "translate", "scale", "contrast")}
    set_params(Path("params.yaml"), changes, "benchmark")
    return load_params()


def main() -> None:
    task = read_task()
    os.chdir(task.folder)
    params = write_params(task)
    save_file({}, WEIGHTS)  # random weights, for everyone: no hub is needed and the time is the same

    watch = Stopwatch()
    with zipfile.ZipFile("data/raw/pictures.zip") as archive:
        members = pd.Series(archive.namelist())
    PIXELS.parent.mkdir(parents=True, exist_ok=True)
    np.save(PIXELS, render(pd.DataFrame({"source": "pictures", "member": members, "change": ""}), task.size, params.preprocess.geometry))
    samples = members.str.extract(r"(?P<role>\w+)/(?P<label>\w+)/").assign(fold=0, row=range(len(members)), weight=1.0)
    checkpoints = Timed(params, watch)
    Training(params, samples, *read_inputs(), checkpoints).fold(0, params.train.seeds[0])
    checkpoints.clear()
    watch.report()


if __name__ == "__main__":
    main()

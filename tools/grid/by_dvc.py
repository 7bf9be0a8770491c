"""What DVC runs of a cell on the driver's node, before and after the trainings. These tasks have no need of PyTorch."""

import os
from pathlib import Path

from tools.ready import dvc, reproduce


def make_ready(folder: Path, environment: dict[str, str]) -> bool:
    """Make the inputs of a cell's train stage; whether DVC need not run it, since nothing changed or since it remembers the outputs."""
    reproduce(folder, ["weights", "balance", "preprocess"], environment)
    plan = dvc(folder, "repro", "--dry", "--single-item", "train", environment=environment)
    return any("didn't change" in line or "is cached" in line for line in plan)


def score(folder: Path, environment: dict[str, str], commit: bool) -> None:
    """Run evaluate and aggregate, after DVC has taken the outputs of train as its own, if asked to, with the cores and GPU of the task."""
    given = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    if commit:
        dvc(folder, "commit", "--force", "train", environment=environment)
    dvc(folder, "repro", "aggregate", environment=environment | given)

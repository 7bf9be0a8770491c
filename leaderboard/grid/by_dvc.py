"""What DVC runs of a cell on the driver's node, before and after the trainings. These tasks have no need of PyTorch."""

import os
from pathlib import Path

from leaderboard.ready import NotReady, dvc, reproduce


def make_ready(folder: Path, environment: dict[str, str]) -> bool:
    """Make the inputs of a cell's train stage; whether DVC has its outputs, in the folder or in its run cache, and has put them there."""
    reproduce(folder, ["weights", "balance", "preprocess"], environment)
    try:
        dvc(folder, "repro", "--single-item", "train", environment=environment, stages=False)
    except NotReady:
        return False
    return True


def score(folder: Path, environment: dict[str, str], commit: bool) -> None:
    """Run evaluate and aggregate, after DVC has taken the outputs of train as its own, if asked to, with the cores and GPU of the task."""
    given = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    if commit:
        dvc(folder, "commit", "--force", "train", environment=environment)
    dvc(folder, "repro", "aggregate", environment=environment | given)

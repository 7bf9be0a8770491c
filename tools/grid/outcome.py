"""What comes back from a node."""

from dataclasses import dataclass

from stages.train.folds import Trained


class Failed(Exception):
    """Why a training has no result."""


@dataclass
class Finished:
    """A training, the seconds that it took, and the node that it ran on: its id in Ray, and its name once the driver has it."""

    trained: Trained
    seconds: float
    node: str

"""What comes back from a node."""

from dataclasses import dataclass, replace

from safetensors.torch import load, save

from stages.train.folds import Trained


class Failed(Exception):
    """Why a training has no result."""


@dataclass
class Finished:
    """A training, the seconds that it took, and the node that it ran on: its id in Ray, and its name once the driver has it."""

    trained: Trained
    seconds: float
    node: str

    def __getstate__(self) -> dict:
        # On its way the state is one piece: PyTorch pickles tensor by tensor, which takes a tenth of a second for a small network.
        return vars(self) | {"trained": replace(self.trained, state=save(self.trained.state))}

    def __setstate__(self, values: dict) -> None:
        vars(self).update(values)
        self.trained.state = load(self.trained.state)

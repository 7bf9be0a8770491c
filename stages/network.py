"""A fold's model behind its preprocessing."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from stages.device import pick_device
from stages.model import Normalise, load_state, recreate_model

BATCH = 64


class Network:
    """The model that data/models/model.json describes, with the weights of one fold at a time."""

    def __init__(self, about: dict):
        self.device = pick_device()
        self.model = recreate_model(about).to(self.device).to(memory_format=torch.channels_last).eval()
        self._normalise = Normalise(about["mean"], about["std"]).to(self.device)

    def load(self, path: Path) -> None:
        load_state(self.model, load_file(path))

    def inputs(self, pictures: np.ndarray) -> Tensor:
        """Grey pictures, 0 to 255, [N, S, S], as the model takes them: [N, 3, S, S]."""
        grey = torch.from_numpy(np.asarray(pictures, np.float32)).to(self.device).unsqueeze(1)
        return self._normalise(grey / 255).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def probability(self, k: int, pictures: np.ndarray) -> np.ndarray:
        """float32 [N]: the probability of class k for grey pictures, as above."""
        return self.probabilities(pictures)[:, k]

    @torch.inference_mode()
    def probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """float32 [N, K] of grey pictures, as above."""
        batches = (self.inputs(pictures[n : n + BATCH]) for n in range(0, len(pictures), BATCH))
        return np.concatenate([self.model(batch).softmax(1).cpu().numpy() for batch in batches])

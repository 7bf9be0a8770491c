"""The trained folds, and the seeds of each, as one network, calibrated."""

import torch
from torch import Tensor, nn

from stages.calibrate.temperature import SMALLEST


class Ensemble(nn.Module):
    """Grey pictures [N, 1, S, S], levels 0 to 255, to probabilities [N, K].

    Each fold's softmax, averaged over its models and over the picture and its mirror image where flips says so, is brought to that
    fold's temperature as stages/calibrate does; the folds are averaged. models: fold by fold, as many for each of the temperatures.
    mean and std: of the three channels, after scaling to 0..1.
    """

    def __init__(self, models: list[nn.Module], temperatures: list[float], mean: list[float], std: list[float], flips: bool):
        super().__init__()
        self.models, self.temperatures, self.flips = nn.ModuleList(models), temperatures, flips
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalised(self, grey: Tensor) -> Tensor:
        """What each network gets: [N, 3, S, S]."""
        return (grey / 255 - self.mean) / self.std

    def forward(self, grey: Tensor) -> Tensor:
        x = self.normalised(grey)
        each = len(self.models) // len(self.temperatures)
        total = 0
        for fold, temperature in enumerate(self.temperatures):
            p = sum(self._probabilities(model, x) for model in self.models[fold * each : (fold + 1) * each]) / each
            total = total + (p.clamp(min=SMALLEST).log() / temperature).softmax(1)
        return total / len(self.temperatures)

    def _probabilities(self, model: nn.Module, x: Tensor) -> Tensor:
        p = model(x).float().softmax(1)
        return (p + model(x.flip(-1)).float().softmax(1)) / 2 if self.flips else p

"""The trained folds, and the seeds of each, as one network, calibrated."""

import torch
from torch import Tensor, nn

from stages.calibrate.temperature import SMALLEST
from stages.model import Normalise
from stages.views import views


class Ensemble(nn.Module):
    """Grey pictures [N, 1, S, S], levels 0 to 255, to probabilities [N, K].

    Each fold's softmax, averaged over its models and the picture's views (flips and zoom, as in stages.views), is brought to the
    temperature as stages/calibrate does; the folds are averaged. models: fold by fold, as many for each of the folds.
    mean and std: of the three channels, after scaling to 0..1.
    """

    def __init__(
        self, models: list[nn.Module], folds: int, temperature: float, mean: list[float], std: list[float], flips: bool, zoom: float
    ):
        super().__init__()
        self.models, self.folds, self.temperature, self.flips, self.zoom = nn.ModuleList(models), folds, temperature, flips, zoom
        self.normalise = Normalise(mean, std)

    def normalised(self, grey: Tensor) -> Tensor:
        """The whole picture as a network takes it: [N, 3, S, S]."""
        return self.normalise(grey / 255)

    def forward(self, grey: Tensor) -> Tensor:
        seen = views(self.normalised(grey), self.flips, self.zoom)
        p = torch.stack([self._probabilities(model, seen) for model in self.models]).unflatten(0, (self.folds, -1)).mean(1)
        return (p.clamp(min=SMALLEST).log() / self.temperature).softmax(2).mean(0)

    def _probabilities(self, model: nn.Module, seen: list[Tensor]) -> Tensor:
        return sum(model(view).float().softmax(1) for view in seen) / len(seen)

"""Pixels on the device, and batches of them: augmented for training, plain for validation."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.model import Normalise
from stages.params import Augment


@dataclass
class Rows:
    """The pictures of one role: rows of the pixel array, class numbers, sampling weights (all [N], on the CPU)."""

    rows: Tensor
    labels: Tensor
    weights: Tensor


def split_rows(samples: pd.DataFrame, role: str, classes: list[str]) -> Rows:
    """The rows of one fold's samples (columns role, row, label, weight) that have this role."""
    chosen = samples[samples.role == role]
    return Rows(
        torch.tensor(chosen.row.to_numpy(dtype=np.int64)),
        torch.tensor([classes.index(label) for label in chosen.label]),
        torch.tensor(chosen.weight.to_numpy(dtype=np.float64)),
    )


class Images:
    """All pictures, uint8 [M, S, S], resident on the device."""

    def __init__(self, pixels: np.ndarray, mean: tuple, std: tuple, device: torch.device):
        self.device = device
        with warnings.catch_warnings():  # nothing writes into the pixels: they may be memory that processes share for reading
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self.pixels = torch.from_numpy(pixels)[:, None].to(device)
        self._normalise = Normalise(mean, std).to(device)

    def plain(self, rows: Tensor) -> Tensor:
        """Network input [B, 3, S, S], float32 and normalised."""
        return self._normalise(self._grey(rows)).contiguous(memory_format=torch.channels_last)

    def augmented(self, rows: Tensor, how: Augment, generator: torch.Generator) -> Tensor:
        """Network input [B, 3, S, S], each picture turned, shifted, scaled, mirrored and changed in contrast at random."""
        x = self._grey(rows)
        theta, gain, offset = (values.to(self.device) for values in random_changes(len(rows), how, generator))
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        x = (x * gain + offset * (x > 0)).clamp_(0, 1)  # black stays black
        return self._normalise(x).contiguous(memory_format=torch.channels_last)

    def _grey(self, rows: Tensor) -> Tensor:
        return self.pixels[rows.to(self.device)].float() / 255


ASPECT = 4 / 3  # of a random crop, at most, either way


def random_changes(count: int, how: Augment, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse affine maps [B, 2, 3] in the coordinates of grid_sample, and gains and offsets [B, 1, 1, 1] of the grey level."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = uniform(how.rotate) * torch.pi / 180
    scale = 1 / (1 + uniform(how.scale))
    mirror = 1 - 2 * (torch.rand(count, generator=generator) < 0.5 * how.mirror).float()
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    x, y = uniform(2 * how.translate), uniform(2 * how.translate)  # the picture is 2 wide in these coordinates
    theta = torch.stack([torch.stack([cos * mirror, -sin, x], 1), torch.stack([sin * mirror, cos, y], 1)], 1)
    if how.crop:
        theta = _crops(count, how.crop, generator) @ torch.cat([theta, torch.tensor([0.0, 0.0, 1.0]).expand(count, 1, 3)], 1)
    gain, offset = (uniform(how.contrast).view(-1, 1, 1, 1) for _ in range(2))
    return theta, 1 + gain, offset / 2


def _crops(count: int, smallest: float, generator: torch.Generator) -> Tensor:
    """Maps [B, 2, 3] of the whole onto random parts of a picture, as torchvision's RandomResizedCrop draws them (Szegedy et al. 2015, arXiv
    1409.4842): area and aspect, then the place; a side that would be longer than the picture's is the picture's."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    area, aspect = uniform(smallest, 1), torch.exp(uniform(-math.log(ASPECT), math.log(ASPECT)))
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    x, y = ((1 - side) * uniform(-1, 1) for side in (width, height))
    nothing = torch.zeros(count)
    return torch.stack([torch.stack([width, nothing, x], 1), torch.stack([nothing, height, y], 1)], 1)

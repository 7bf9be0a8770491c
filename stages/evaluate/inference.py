"""Pixels and a model in, probabilities out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from stages.device import pick_device
from stages.model import Normalise
from stages.views import views

BATCH = 64


@torch.inference_mode()
def probabilities(
    model: nn.Module, pixels: np.ndarray, rows: np.ndarray, mean: list[float], std: list[float], flips: bool, zoom: float
) -> Iterator[np.ndarray]:
    """Softmax of a model's outputs, batch by batch: float32 [<= BATCH, K], the rows in the order given.

    pixels: uint8 [M, S, S], grey; rows: int [N], those to predict; mean and std: of the three channels, after scaling to
    0..1; flips and zoom: those of stages.views, whose views are averaged. bfloat16 on a GPU; float32, the same bytes every time, on the CPU.
    """
    device = pick_device()
    model = model.to(device).to(memory_format=torch.channels_last).eval()
    normalise = Normalise(mean, std).to(device)
    for start in range(0, len(rows), BATCH):
        grey = torch.from_numpy(pixels[rows[start : start + BATCH]]).to(device).unsqueeze(1)
        seen = views(normalise(grey / 255), flips, zoom)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            outputs = [model(view.contiguous(memory_format=torch.channels_last)) for view in seen]
        yield torch.stack([output.float().softmax(1) for output in outputs]).mean(0).cpu().numpy()

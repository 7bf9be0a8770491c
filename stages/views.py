"""What a network sees of a test picture."""

import torch.nn.functional as F
from torch import Tensor


def views(images: Tensor, flips: bool, zoom: float) -> list[Tensor]:
    """Network inputs of the same shape as images, [N, 3, S, S], over whose probabilities a prediction is the mean.

    zoom: how much the middle is enlarged, 1 for not at all. Augmentation leaves no training picture as sharp as it was, and resampling
    makes the test pictures alike; that objects had better be larger in a test is known from Touvron et al. 2019 (arXiv 1906.06423).
    flips: also the mirror image.
    """
    size = images.shape[-1]
    side = round(size / zoom)
    if side < size:
        start = (size - side) // 2
        images = F.interpolate(images[..., start : start + side, start : start + side], size=(size, size), mode="bilinear")
    return [images, images.flip(-1)] if flips else [images]

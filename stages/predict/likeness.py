"""Whether a picture is like those the models were trained on, and in which plane it lies: from its thumbnail's gradients."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from stages.gradients import gradients

SATURATION = 12  # mean difference of the strongest and the weakest channel from which a picture counts as coloured, grey levels


@dataclass
class Likeness:
    """A Gaussian over gradients (probabilistic PCA: Tipping and Bishop 1999), and a linear classifier of planes.

    mean [F], precision [F, F]; farthest: the distance beyond which a picture is unlike the training pictures;
    weights [P, F], bias [P] and names of the planes.
    """

    mean: np.ndarray
    precision: np.ndarray
    farthest: float
    weights: np.ndarray
    bias: np.ndarray
    planes: list[str]

    def distances(self, thumbnails: np.ndarray) -> np.ndarray:
        """float [N]: squared Mahalanobis distances of uint8 [N, 64, 64] from the training pictures."""
        x = gradients(thumbnails) - self.mean
        return np.einsum("nf,fg,ng->n", x, self.precision, x)

    def plane(self, thumbnails: np.ndarray) -> list[str]:
        """The most probable plane of each; "" for all if the models' data had none."""
        if not self.planes:
            return [""] * len(thumbnails)
        return [self.planes[k] for k in (gradients(thumbnails) @ self.weights.T + self.bias).argmax(1)]


def is_coloured(image: Image.Image) -> bool:
    """Whether a picture has colours beyond those that JPEG makes of grey."""
    if image.mode not in ("RGB", "RGBA", "CMYK", "YCbCr", "P", "LAB", "HSV"):
        return False
    values = np.asarray(image.convert("RGB").resize((64, 64)), int)
    return float((values.max(-1) - values.min(-1)).mean()) > SATURATION

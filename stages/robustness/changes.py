"""What images of other scanners, settings and archives look like: changes of an image, each mild and strong.

MONAI's transforms (Cardoso et al. 2022, arXiv 2211.02701), and Pillow where a file or a screen does it.
"""

import io
from collections.abc import Callable

import numpy as np
from monai.transforms import AdjustContrast, GaussianSmooth, GibbsNoise, RandBiasField, RandGaussianNoise, Rotate
from PIL import Image

Change = Callable[[np.ndarray, int], np.ndarray]  # grey image [S, S], 0 to 1, and a seed -> [S, S]


def _noise(deviation: float) -> Change:
    def change(image: np.ndarray, seed: int) -> np.ndarray:
        noise = RandGaussianNoise(prob=1, std=deviation, sample_std=False)
        noise.set_random_state(seed)
        return _plain(noise, image)

    return change


def _bias(coefficient: float) -> Change:
    def change(image: np.ndarray, seed: int) -> np.ndarray:
        field = RandBiasField(prob=1, coeff_range=(-coefficient, coefficient))
        field.set_random_state(seed)
        changed = _plain(field, image)
        return changed * image.mean() / max(changed.mean(), 1e-6)

    return change


def _by(transform: Callable) -> Change:
    return lambda image, seed: _plain(transform, image)


def _plain(transform: Callable, image: np.ndarray) -> np.ndarray:
    return np.asarray(transform(image[None]))[0]


def _jpeg(quality: int) -> Change:
    def change(image: np.ndarray, seed: int) -> np.ndarray:
        file = io.BytesIO()
        _picture(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file), np.float32) / 255

    return change


def _coarse(share: float) -> Change:
    def change(image: np.ndarray, seed: int) -> np.ndarray:
        side = max(1, round(len(image) * share))
        small = _picture(image).resize((side, side), Image.Resampling.BOX)
        return np.asarray(small.resize(image.shape[::-1], Image.Resampling.BILINEAR), np.float32) / 255

    return change


def _window(low: float, high: float) -> Change:
    return lambda image, seed: (image - low) / (high - low)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8))


CHANGES: dict[tuple[str, str], Change] = {  # name and strength
    ("noise", "5 % of the range"): _noise(0.05),
    ("noise", "10 % of the range"): _noise(0.1),
    ("blur", "1 pixel"): _by(GaussianSmooth(1)),
    ("blur", "2 pixels"): _by(GaussianSmooth(2)),
    ("gamma", "0.7"): _by(AdjustContrast(0.7)),
    ("gamma", "1.5"): _by(AdjustContrast(1.5)),
    ("bias field", "coefficients to 0.1"): _bias(0.1),
    ("bias field", "coefficients to 0.3"): _bias(0.3),
    ("Gibbs ringing", "0.5"): _by(GibbsNoise(0.5)),
    ("Gibbs ringing", "0.7"): _by(GibbsNoise(0.7)),
    ("JPEG", "quality 30"): _jpeg(30),
    ("JPEG", "quality 10"): _jpeg(10),
    ("resolution", "a half"): _coarse(1 / 2),
    ("resolution", "a quarter"): _coarse(1 / 4),
    ("rotation", "10 degrees"): _by(Rotate(np.deg2rad(10), padding_mode="zeros")),
    ("rotation", "20 degrees"): _by(Rotate(np.deg2rad(20), padding_mode="zeros")),
    ("window", "0.1 to 0.9"): _window(0.1, 0.9),
    ("window", "0 to 0.6"): _window(0, 0.6),
}


def apply(change: Change, pictures: np.ndarray, seeds: list[int]) -> np.ndarray:
    """Grey pictures, uint8 [N, S, S], changed: float32 [N, S, S], 0 to 255."""
    changed = [change(picture.astype(np.float32) / 255, seed) for picture, seed in zip(pictures, seeds, strict=True)]
    return np.stack(changed).clip(0, 1).astype(np.float32) * 255

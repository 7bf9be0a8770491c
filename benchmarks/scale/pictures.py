"""Any number of synthetic thumbnails of heads with planted copies, as a zip that the mirror folder takes for a data set.

`glioma/original/<number>.jpg` are seven in ten, and one in ten each `glioma/<way>/<number of its original>.jpg` for the ways of COPIES.
"""

import io
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import dct
from tqdm import tqdm

SIDE = 64
CHUNK = 1000  # pictures made from one seed: the same whatever the number of all
ORIGINALS = 700  # of these
SLICES = 4  # of a patient: one head, and what is in it alike
MODES = 14  # a side, of the cosines that what is in a head is made of

COPIES: dict[str, Callable[[Image.Image], tuple[Image.Image, int]]] = {  # picture -> copy and the quality of its JPEG
    "mirrored": lambda image: (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
    "squashed": lambda image: (image.resize((58, 45), Image.Resampling.BICUBIC), 90),
    "reencoded": lambda image: (image, 60),
}


def write_zip(count: int, target: Path) -> None:
    """Write so many pictures, a multiple of CHUNK."""
    with ProcessPoolExecutor(os.cpu_count()) as pool, zipfile.ZipFile(target, "w") as archive:
        chunks = pool.map(make_chunk, range(count // CHUNK))
        for files in tqdm(chunks, total=count // CHUNK, unit=f" x {CHUNK} pictures", desc="phantoms", disable=None):
            for name, data in files.items():
                archive.writestr(name, data)


def make_chunk(number: int) -> dict[str, bytes]:
    """CHUNK files by member path; copies are of originals of the same chunk, and made from their files."""
    rng = np.random.default_rng([0, number])
    first = number * ORIGINALS
    originals = [_encode(Image.fromarray(picture), 90) for picture in heads(rng, ORIGINALS)]
    files = {f"glioma/original/{first + k:08}.jpg": data for k, data in enumerate(originals)}
    for way, copy in COPIES.items():
        for k in rng.choice(ORIGINALS, (CHUNK - ORIGINALS) // len(COPIES), replace=False):
            files[f"glioma/{way}/{first + k:08}.jpg"] = _encode(*copy(Image.open(io.BytesIO(originals[k]))))
    return files


def heads(rng: np.random.Generator, count: int) -> np.ndarray:
    """uint8 [count, 64, 64]: ellipses on black that are filled with smooth structure; SLICES in a row share ellipse and half of it."""
    patients = count // SLICES
    of = np.repeat(np.arange(patients), SLICES)
    structure = 0.5 * _smooth(rng, patients)[of] + 0.87 * _smooth(rng, count)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)

    def by_patient(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (patients, 1, 1)).astype(np.float32)[of]

    distance = ((y - by_patient(30, 33)) / by_patient(24, 30)) ** 2 + ((x - by_patient(30, 33)) / by_patient(20, 27)) ** 2
    return (((1 - distance) * 6).clip(0, 1) * (75 + 45 * structure).clip(20, 255)).astype(np.uint8)


def _smooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """float32 [count, 64, 64] of mean 0 and variance 1 on average, whose frequencies fade."""
    frequency = np.arange(MODES)
    size = (1 / (1 + 0.06 * (frequency[:, None] ** 2 + frequency**2))).astype(np.float32)
    size[0, 0] = 0
    cosines = dct(np.eye(SIDE, dtype=np.float32), axis=0, norm="ortho")[:MODES]
    amplitudes = rng.standard_normal((count, MODES, MODES), np.float32) * (size * SIDE / np.sqrt((size**2).sum()))
    return cosines.T @ amplitudes @ cosines


def _encode(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()

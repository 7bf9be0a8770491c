"""Decode and resize on all cores, straight into one array."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from stages.archives import read_member
from stages.pixels import decode, open_image, to_square

CHUNK = 64


def render(index: pd.DataFrame, size: int, geometry: str) -> np.ndarray:
    """uint8 [N, size, size] for the rows of index: source, member, and change ("", or how balance changed the picture)."""
    jobs = [
        (rows[["source", "member", "change"]].to_numpy().tolist(), size, geometry)
        for rows in (index.iloc[i : i + CHUNK] for i in range(0, len(index), CHUNK))
    ]
    pixels = np.empty((len(index), size, size), np.uint8)
    with (
        ProcessPoolExecutor(os.cpu_count(), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool,  # Ctrl-C is mine
        tqdm(total=len(index), unit=" pictures", desc="preprocess", disable=None) as bar,
    ):
        for number, chunk in enumerate(pool.map(_render_chunk, jobs)):
            pixels[number * CHUNK : number * CHUNK + len(chunk)] = chunk
            bar.update(len(chunk))
    return pixels


def _render_chunk(job) -> np.ndarray:
    rows, size, geometry = job
    return np.stack([_render_one(source, member, change, size, geometry) for source, member, change in rows])


def _render_one(source: str, member: str, change: str, size: int, geometry: str) -> np.ndarray:
    data = read_member(Path(f"data/raw/{source}.zip"), member)
    image = open_image(data, max_megapixels=float("inf"))  # merge has refused what is too large
    # A change counts in pixels of the stored picture, so only an unchanged one may be decoded at a reduced size.
    grey = decode(image, at_least=None if change else 2 * size)
    return to_square(apply_change(grey, change), size, geometry)


def apply_change(image: Image.Image, change: str) -> Image.Image:
    """A change named by balance: shift_x<pixels>, shift_y<pixels> or rotate<degrees>, on black; "" leaves the picture alone."""
    if change.startswith("rotate"):
        return image.rotate(float(change.removeprefix("rotate")), Image.Resampling.BILINEAR)
    if change.startswith("shift"):
        amount = int(change[len("shift_x") :])
        x, y = (amount, 0) if change.startswith("shift_x") else (0, amount)
        return image.transform(image.size, Image.Transform.AFFINE, (1, 0, -x, 0, 1, -y))
    return image

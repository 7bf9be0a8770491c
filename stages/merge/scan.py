"""Decode every archive member once, on all cores."""

import hashlib
import os
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.archives import read_member
from stages.pixels import Undecodable, decode, head_box, open_image, squash

SIDE = 64
# Resizing to 64 from at least twice that keeps JPEG's reduced decoding from showing in a thumbnail.
DECODE_AT_LEAST = 2 * SIDE
CHUNK = 64


def scan(archives: dict[str, Path], max_megapixels: float) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Read all members of all archives.

    Returns a table (source, member, sha256, width, height, mode, format, reason; reason is empty where the picture
    decoded), and two uint8 arrays [N, 64, 64] in its order: the whole picture and the head's bounding box, both
    squashed to the square.
    """
    jobs = []
    for source, path in archives.items():
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name != "annotations.csv"]
        jobs += [(source, path, members[i : i + CHUNK], max_megapixels) for i in range(0, len(members), CHUNK)]

    rows, thumbnails, heads = [], [], []
    total = sum(len(job[2]) for job in jobs)
    with ProcessPoolExecutor(os.cpu_count()) as pool, tqdm(total=total, unit=" pictures", desc="merge", disable=None) as bar:
        for chunk in pool.map(_scan_chunk, jobs):
            rows += chunk[0]
            thumbnails.append(chunk[1])
            heads.append(chunk[2])
            bar.update(len(chunk[0]))
    columns = ["source", "member", "sha256", "width", "height", "mode", "format", "reason"]
    return pd.DataFrame(rows, columns=columns), np.concatenate(thumbnails), np.concatenate(heads)


def _scan_chunk(job) -> tuple[list[tuple], np.ndarray, np.ndarray]:
    source, path, members, max_megapixels = job
    scanned = [_scan_member(source, member, read_member(path, member), max_megapixels) for member in members]
    rows, thumbnails, heads = zip(*scanned, strict=True)
    return list(rows), np.stack(thumbnails), np.stack(heads)


def _scan_member(source: str, member: str, data: bytes, max_megapixels: float) -> tuple:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = open_image(data, max_megapixels)
        stored = (image.width, image.height, image.mode, image.format)
        grey = decode(image, at_least=DECODE_AT_LEAST)
    except Undecodable as reason:
        blank = np.zeros((SIDE, SIDE), np.uint8)
        return (source, member, sha256, 0, 0, "", "", str(reason)), blank, blank
    return (source, member, sha256, *stored, ""), squash(grey, SIDE), squash(grey, SIDE, head_box(grey))

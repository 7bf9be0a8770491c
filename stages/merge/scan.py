"""Decode every archive member once, on all cores."""

import hashlib
import os
import signal
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


def scan(archives: dict[str, Path], max_megapixels: float, thumbnails: Path, heads: Path) -> pd.DataFrame:
    """Read all members of all archives.

    Returns a table (image_id, source, member, sha256, width, height, mode, format, reason; reason is empty where the picture
    decoded), sorted by image_id, and writes two arrays uint8 [N, 64, 64] in its order, as .npy: the whole picture and the
    head's bounding box, both squashed to the square.
    """
    members = []
    for source, path in archives.items():
        with zipfile.ZipFile(path) as archive:
            members += [(f"{source}/{name}", source, name, path) for name in archive.namelist() if name != "annotations.csv"]
    members.sort()
    for path in (thumbnails, heads):
        np.lib.format.open_memmap(path, "w+", np.uint8, (len(members), SIDE, SIDE))

    jobs = [(i, members[i : i + CHUNK], max_megapixels, thumbnails, heads) for i in range(0, len(members), CHUNK)]
    rows = []
    leave_ctrl_c_to_me = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    with (
        ProcessPoolExecutor(os.cpu_count(), **leave_ctrl_c_to_me) as pool,
        tqdm(total=len(members), unit=" pictures", desc="merge", disable=None) as bar,
    ):
        for some in pool.map(_scan_chunk, jobs):
            rows += some
            bar.update(len(some))
    return pd.DataFrame(rows, columns=["image_id", "source", "member", "sha256", "width", "height", "mode", "format", "reason"])


def _scan_chunk(job) -> list[tuple]:
    first, members, max_megapixels, *paths = job
    scanned = [_scan_member(read_member(path, member), max_megapixels) for _, _, member, path in members]
    # Straight into the files, each chunk its own rows: a hundred megabytes less to send to the parent process.
    for path, pictures in zip(paths, zip(*(pictures for _, *pictures in scanned), strict=True), strict=True):
        np.load(path, mmap_mode="r+")[first : first + len(members)] = pictures
    return [(image_id, source, member, *row) for (image_id, source, member, _), (row, *_) in zip(members, scanned, strict=True)]


def _scan_member(data: bytes, max_megapixels: float) -> tuple[tuple, np.ndarray, np.ndarray]:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = open_image(data, max_megapixels)
        stored = (image.width, image.height, image.mode, image.format)
        grey = decode(image, at_least=DECODE_AT_LEAST)
    except Undecodable as reason:
        blank = np.zeros((SIDE, SIDE), np.uint8)
        return (sha256, 0, 0, "", "", str(reason)), blank, blank
    return (sha256, *stored, ""), squash(grey, SIDE), squash(grey, SIDE, head_box(grey))

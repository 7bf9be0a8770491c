"""Decode the members of the archives, on all cores, each picture once."""

import hashlib
import os
import signal
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.archives import read_member
from stages.pixels import Undecodable, decode, head_box, open_image, squash

SIDE = 64
# Resizing to 64 from at least twice that keeps JPEG's reduced decoding from showing in a thumbnail.
DECODE_AT_LEAST = 2 * SIDE
CHUNK = 64


class Member(NamedTuple):
    image_id: str
    source: str
    name: str
    path: Path
    checksum: tuple[int, int]  # CRC-32 and size, from the archive's directory


def scan(archives: dict[str, Path], max_megapixels: float, thumbnails: Path, heads: Path) -> pd.DataFrame:
    """Read all members of all archives.

    Returns a table (image_id, source, member, sha256, width, height, mode, format, reason; reason is empty where the picture
    decoded), sorted by image_id, and writes two arrays uint8 [N, 64, 64] in its order, as .npy: the whole picture and the
    head's bounding box, both squashed to the square.
    """
    members = []
    for source, path in archives.items():
        with zipfile.ZipFile(path) as archive:
            members += [
                Member(f"{source}/{info.filename}", source, info.filename, path, (info.CRC, info.file_size))
                for info in archive.infolist()
                if info.filename != "annotations.csv"
            ]
    members.sort()
    for path in (thumbnails, heads):
        np.lib.format.open_memmap(path, "w+", np.uint8, (len(members), SIDE, SIDE))

    # Files that may be byte-identical go to one worker, which decodes them once: in the three sets that is nearly every other one.
    first = {}
    for row, member in enumerate(members):
        first.setdefault(member.checksum, row)
    order = sorted(range(len(members)), key=lambda row: first[members[row].checksum])
    chunks = [{row: members[row] for row in order[i : i + CHUNK]} for i in range(0, len(order), CHUNK)]
    jobs = [(chunk, max_megapixels, thumbnails, heads) for chunk in chunks]
    rows = []
    leave_ctrl_c_to_me = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    with (
        ProcessPoolExecutor(os.cpu_count(), **leave_ctrl_c_to_me) as pool,
        tqdm(total=len(members), unit=" pictures", desc="merge", disable=None) as bar,
    ):
        for some in pool.map(_scan_chunk, jobs):
            rows += some
            bar.update(len(some))
    columns = ["row", "image_id", "source", "member", "sha256", "width", "height", "mode", "format", "reason"]
    return pd.DataFrame(rows, columns=columns).sort_values("row", ignore_index=True).drop(columns="row")


def _scan_chunk(job) -> list[tuple]:
    members, max_megapixels, *paths = job
    scanned, rows, pictures = {}, [], []
    for row, member in members.items():
        data = read_member(member.path, member.name)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in scanned:
            scanned[sha256] = _decode(data, max_megapixels)
        found, *reduced = scanned[sha256]
        rows.append((row, member.image_id, member.source, member.name, sha256, *found))
        pictures.append(reduced)
    # Straight into the files: a hundred megabytes less to send to the parent process.
    for path, some in zip(paths, zip(*pictures, strict=True), strict=True):
        np.load(path, mmap_mode="r+")[list(members)] = some
    return rows


def _decode(data: bytes, max_megapixels: float) -> tuple[tuple, np.ndarray, np.ndarray]:
    """(width, height, mode, format, reason) and the two thumbnails."""
    try:
        image = open_image(data, max_megapixels)
        stored = (image.width, image.height, image.mode, image.format)
        grey = decode(image, at_least=DECODE_AT_LEAST)
    except Undecodable as reason:
        blank = np.zeros((SIDE, SIDE), np.uint8)
        return (0, 0, "", "", str(reason)), blank, blank
    return (*stored, ""), squash(grey, SIDE), squash(grey, SIDE, head_box(grey))

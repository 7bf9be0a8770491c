"""Decode the members of the archives, on all cores, each picture once."""

import hashlib
import os
import signal
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages import pixels
from stages.archives import read_stored
from stages.merge.progress import Progress
from stages.pixels import Undecodable, decode, head_box, open_image, squash

SIDE = 64
# Resizing to 64 from at least twice that keeps JPEG's reduced decoding from showing in a thumbnail.
DECODE_AT_LEAST = 2 * SIDE
CHUNK = 64


def scan(archives: dict[str, Path], max_megapixels: float, folder: Path) -> pd.DataFrame:
    """Read all members of all archives, from where a scan into the same folder was cut off.

    Returns a table (image_id, source, member, sha256, width, height, mode, format, reason; reason is empty where the picture
    decoded), sorted by image_id, and writes to the folder two arrays uint8 [N, 64, 64] in its order, thumbnails.npy and heads.npy:
    the whole picture and the head's bounding box, both squashed to the square.
    """
    members = pd.concat([_directory(source, path) for source, path in archives.items()]).sort_values("image_id", ignore_index=True)
    progress = Progress(folder, _key(members, max_megapixels), (len(members), SIDE, SIDE))
    done = progress.done()

    # Files that may be byte-identical go to one worker, which decodes them once: in the three sets that is nearly every other one.
    first = members.index.to_series().groupby([members.checksum, members["size"]]).transform("min")
    order = np.argsort(first.to_numpy(), kind="stable")
    order = order[~np.isin(order, done)]
    work = (members.source.map(archives).to_numpy(), *(members[name].to_numpy() for name in ("offset", "size", "checksum")))
    with (
        ProcessPoolExecutor(os.cpu_count(), initializer=_begin, initargs=(work, max_megapixels, progress.arrays)) as pool,
        tqdm(total=len(members), initial=len(done), unit=" pictures", desc="merge", disable=None) as bar,
    ):
        for some in pool.map(_scan_rows, (order[i : i + CHUNK] for i in range(0, len(order), CHUNK))):
            progress.add(some)
            bar.update(len(some))
    return pd.concat([members[["image_id", "source", "member"]], progress.table()], axis=1)


def _directory(source: str, path: Path) -> pd.DataFrame:
    """image_id, source, member, and of its bytes offset, size and checksum, of all members of an archive."""
    with zipfile.ZipFile(path) as archive:
        places = [(info.filename, info.header_offset, info.file_size, info.CRC) for info in archive.infolist()]
    table = pd.DataFrame(places, columns=["member", "offset", "size", "checksum"])
    table = table[table.member != "annotations.csv"]
    return table.assign(source=source, image_id=source + "/" + table.member)


def _key(members: pd.DataFrame, max_megapixels: float) -> str:
    """What a scan comes to hangs on: the members, their bytes as far as the checksums tell, and how they are read."""
    key = hashlib.sha256(str(max_megapixels).encode())
    key.update(pd.util.hash_pandas_object(members).to_numpy().tobytes())
    for file in (__file__, pixels.__file__):
        key.update(Path(file).read_bytes())
    return key.hexdigest()


def _begin(*arguments) -> None:
    # Once a worker and not with every chunk: the places of a million members are many bytes to send.
    global _places, _max_megapixels, _arrays
    _places, _max_megapixels, _arrays = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one


def _scan_rows(rows: np.ndarray) -> list[tuple]:
    scanned, found, pictures = {}, [], []
    for row in rows.tolist():
        data = read_stored(*(column[row] for column in _places))
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in scanned:
            scanned[sha256] = _decode(data, _max_megapixels)
        facts, *reduced = scanned[sha256]
        found.append((row, sha256, *facts))
        pictures.append(reduced)
    # Straight into the files: a hundred megabytes less to send to the parent process.
    for path, some in zip(_arrays, zip(*pictures, strict=True), strict=True):
        np.load(path, mmap_mode="r+")[rows] = some
    return found


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

"""Decode the members of the archives, on all cores, each picture once."""

import hashlib
import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages import pixels
from stages.archives import directory, read_stored
from stages.merge.progress import Progress
from stages.merge.shipped import find_tables
from stages.pixels import Undecodable, decode, open_image, squash

SIDE = 64
# Resizing to 64 from at least twice that keeps JPEG's reduced decoding from showing in a thumbnail.
DECODE_AT_LEAST = 2 * SIDE
CHUNK = 64
AHEAD = 4 * (os.cpu_count() or 1)  # chunks that the workers are given


@contextmanager
def scan(archives: dict[str, Path], max_megapixels: float, folder: Path) -> Iterator[Progress]:
    """Read all members of all archives, from where a scan into the same folder was cut off.

    Yields what was found, with the pictures, squashed to the square, in its array uint8 [N, 64, 64].
    """
    how = [str(max_megapixels).encode(), *(Path(file).read_bytes() for file in (__file__, pixels.__file__))]
    with closing(Progress(folder, b"".join(how), SIDE, _members(archives))) as progress:
        with (
            ProcessPoolExecutor(os.cpu_count(), initializer=_begin, initargs=(archives, max_megapixels, progress.thumbnails)) as pool,
            tqdm(total=progress.members, initial=progress.done, unit=" pictures", desc="merge", disable=None) as bar,
        ):
            for some in _in_turn(pool, progress.left(CHUNK)):
                progress.add(some)
                bar.update(len(some))
        yield progress


def _members(archives: dict[str, Path]) -> Iterator[tuple]:
    for source, path in archives.items():
        tables = find_tables(path)
        for info in directory(path):
            if info.filename not in tables:
                yield source, info.filename, info.header_offset, info.file_size, info.CRC


def _in_turn(pool: ProcessPoolExecutor, chunks: Iterator[list[tuple]]) -> Iterator[list[tuple]]:
    """What the workers find in the chunks. The pool's own map would take all chunks at once, and a million members are many bytes."""
    waiting: deque[Future] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(_scan_chunk, chunk))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


def _begin(*arguments) -> None:
    global _archives, _max_megapixels, _thumbnails
    _archives, _max_megapixels, _thumbnails = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one


def _scan_chunk(chunk: list[tuple]) -> list[tuple]:
    scanned, found, thumbnails = {}, [], []
    for row, source, *place in chunk:
        data = read_stored(_archives[source], *place)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in scanned:
            scanned[sha256] = _decode(data, _max_megapixels)
        facts, thumbnail = scanned[sha256]
        found.append((row, sha256, *facts))
        thumbnails.append(thumbnail)
    # Straight into the file: a hundred megabytes less to send to the parent process.
    np.load(_thumbnails, mmap_mode="r+")[[row for row, *_ in chunk]] = thumbnails
    return found


def _decode(data: bytes, max_megapixels: float) -> tuple[tuple, np.ndarray]:
    """(width, height, mode, format, reason) and the thumbnail."""
    try:
        image = open_image(data, max_megapixels)
        stored = (image.width, image.height, image.mode, image.format)
        grey = decode(image, at_least=DECODE_AT_LEAST)
    except Undecodable as reason:
        return (0, 0, "", "", str(reason)), np.zeros((SIDE, SIDE), np.uint8)
    return (*stored, ""), squash(grey, SIDE)

"""Reading members of the archives in data/raw, many from each."""

import os
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path


def read_member(path: Path, member: str) -> bytes:
    """A member's bytes."""
    return _open(path.absolute(), path.stat().st_mtime_ns, os.getpid()).read(member)


@lru_cache(maxsize=16)
def _open(path: Path, changed: int, process: int) -> zipfile.ZipFile:
    # Once a process: reading the directory of an archive takes as long as decoding a hundred pictures. The process is part of the
    # key because one that is forked would share its parent's position in the file.
    return zipfile.ZipFile(path)


def read_stored(path: Path, offset: int, size: int, checksum: int) -> bytes:
    """The bytes of a member that is stored, not compressed, as all are in data/raw; offset, size and CRC-32 are from the archive's directory.

    It needs no directory in memory, which for a million members is half a gigabyte a process. Raises BadZipFile when the bytes
    are not those of the checksum.
    """
    with path.open("rb") as file:
        file.seek(offset)
        name, extra = struct.unpack("<26x2H", file.read(30))  # of the header before the bytes, only how long it is
        file.seek(name + extra, os.SEEK_CUR)
        data = file.read(size)
    if zlib.crc32(data) != checksum:
        raise zipfile.BadZipFile(f"{path}: damaged at byte {offset}")
    return data

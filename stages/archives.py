"""Reading zip archives of any number of members; the form of a zip is that of PKWARE's APPNOTE, 6.3.10."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory, before the member's name (4.3.12)
END, END_64, LOCATOR_64 = (
    struct.Struct("<4s4H2LH"),
    struct.Struct("<4sQ2H2L4Q"),
    struct.Struct("<4sLQL"),
)  # after it (4.3.16, 4.3.14, 4.3.15)
MAX_COMMENT = (1 << 16) - 1  # bytes after the end
UTF_8 = 0x800  # flag of a name that is, where others are of code page 437
LARGE = 0xFFFFFFFF  # in place of a number that needs more than 32 bits, and is in the extra field 1


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

    Raises BadZipFile when the bytes are not those of the checksum.
    """
    with path.open("rb") as file:
        seek_data(file, offset)
        data = file.read(size)
    if zlib.crc32(data) != checksum:
        raise zipfile.BadZipFile(f"{path}: damaged at byte {offset}")
    return data


def seek_data(file: BinaryIO, offset: int) -> None:
    """Go to the bytes of the member whose header is at offset. Raises BadZipFile where none is."""
    file.seek(offset)
    signature, name, extra = struct.unpack("<4s22x2H", _read(file, 30))
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile(f"no member at byte {offset}")
    file.seek(name + extra, os.SEEK_CUR)


def directory(path: Path) -> Iterator[zipfile.ZipInfo]:
    """The members as the archive's directory has them, one after another: zipfile keeps a kilobyte of each in memory.

    Raises BadZipFile, or what struct and codecs raise, when the directory is damaged.
    """
    with path.open("rb") as file:
        start, end, shift = _find_directory(file)
        file.seek(start)
        while start < end:
            signature, *_, flags, method, _, _, checksum, packed, size, name, extra, comment, _, _, attributes, offset = ENTRY.unpack(
                _read(file, ENTRY.size)
            )
            if signature != b"PK\1\2":
                raise zipfile.BadZipFile(f"no entry of the directory at byte {start}")
            start += ENTRY.size + name + extra + comment
            info = zipfile.ZipInfo(_read(file, name).decode("utf-8" if flags & UTF_8 else "cp437"))
            info.flag_bits, info.compress_type, info.CRC, info.external_attr = flags, method, checksum, attributes
            info.file_size, info.compress_size, offset = _large(_read(file, extra + comment)[:extra], size, packed, offset)
            info.header_offset = offset + shift
            yield info


def _find_directory(file: BinaryIO) -> tuple[int, int, int]:
    """First byte of the directory, the one after its last, and how far all of the archive lies behind where it takes itself to lie."""
    length = file.seek(0, os.SEEK_END)
    before = max(0, length - END.size - MAX_COMMENT)
    file.seek(before)
    tail = file.read()
    found = tail.rfind(b"PK\5\6", 0, len(tail) - END.size + 4)
    if found < 0:
        raise zipfile.BadZipFile("it has no end of a zip")
    *_, size, offset, _ = END.unpack_from(tail, found)
    end = before + found
    if (at := end - LOCATOR_64.size - END_64.size) >= 0:
        file.seek(at)
        signature, *_, large_size, large_offset = END_64.unpack(_read(file, END_64.size))
        if (signature, file.read(4)) == (b"PK\6\6", b"PK\6\7"):
            end, size, offset = at, large_size, large_offset
    if size > end:
        raise zipfile.BadZipFile("its directory is cut short")
    return end - size, end, end - size - offset


def _large(extra: bytes, *numbers: int) -> list[int]:
    """The numbers; those that are LARGE from the extra field, which has them one after another."""
    while LARGE in numbers and len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            large = (value for (value,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8]))
            return [next(large, number) if number == LARGE else number for number in numbers]
        extra = extra[4 + length :]
    return list(numbers)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise zipfile.BadZipFile("it is cut short")
    return data

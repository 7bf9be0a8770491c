"""Files, folders and zips as a stream of pictures."""

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

HIDDEN = (
    "__MACOSX",
    ".",
    "@eaDir",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Icon\r",
)  # what archivers and file managers leave behind
LARGEST = 256 * 2**20  # bytes of one file: no picture is larger


def read_all(paths: list[Path]) -> Iterator[tuple[str, bytes | str]]:
    """(name, content) of every file under the paths, folders and zips opened, in the order given and then by name.

    What cannot be read comes as (name, reason), a str in place of bytes.
    """
    for path in paths:
        yield from _read_folder(path) if path.is_dir() else _read(path)


def _read_folder(folder: Path, trail: tuple[Path, ...] = ()) -> Iterator[tuple[str, bytes | str]]:
    """trail: the folders on the way here, for links may run in a circle."""
    real = folder.resolve()
    if real in trail:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield str(folder), error.strerror or type(error).__name__
        return
    for entry in entries:
        if _is_hidden([entry.name]):
            continue
        if entry.is_dir():
            yield from _read_folder(entry, (*trail, real))
        elif entry.is_file():
            yield from _read(entry)


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(HIDDEN) for part in parts)


def _read(file: Path) -> Iterator[tuple[str, bytes | str]]:
    try:
        if not zipfile.is_zipfile(file):
            yield str(file), "too large" if file.stat().st_size > LARGEST else file.read_bytes()
            return
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in sorted(members, key=lambda member: member.filename):
                if not _is_hidden(member.filename.split("/")):
                    yield f"{file}/{member.filename}", _unpack(archive, member)
    except OSError as error:
        yield str(file), error.strerror or type(error).__name__
    except zipfile.BadZipFile:
        yield str(file), "damaged archive"


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    if member.file_size > LARGEST:
        return "too large"
    if member.flag_bits & 0x1:
        return "encrypted; unpack the archive first"
    try:
        with archive.open(member) as content:
            data = content.read(LARGEST + 1)  # what the archive says about the size need not be true
    except NotImplementedError:
        return f"compressed in a way that is not read (method {member.compress_type}); unpack the archive first"
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, RuntimeError, EOFError, ValueError) as error:
        return f"damaged: {type(error).__name__}"
    return data if len(data) <= LARGEST else "too large"

"""Tables that an archive ships beside its pictures: annotations.csv and corrections.csv."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from stages.archives import directory, seek_data

ANNOTATIONS = "annotations.csv"
CORRECTIONS = "corrections.csv"
COLUMNS = {ANNOTATIONS: ("sha256", "patient", "plane"), CORRECTIONS: ("sha256", "label")}
FIRST_LINE = 4096  # bytes in which it ends, or the file is no table


def find_tables(archive: Path) -> dict[str, str]:
    """Member -> ANNOTATIONS or CORRECTIONS, for each that has this name, whatever its case, in the folder that holds all members, or
    whose first line has the columns of one, wherever it is and whatever its name."""
    first = last = None
    candidates = []
    for info in directory(archive):
        first, last = min(first or info.filename, info.filename), max(last or info.filename, info.filename)
        if info.filename.lower().endswith(".csv"):
            candidates.append(info)
    top = _common_folder(first or "", last or "")
    found = {info.filename: _kind(archive, info, top) for info in candidates}
    return {member: kind for member, kind in found.items() if kind}


@contextmanager
def open_table(archive: Path, member: str) -> Iterator[BufferedIOBase]:
    """The bytes of a member."""
    info = next(info for info in directory(archive) if info.filename == member)
    with _open(archive, info) as table:
        yield table


@contextmanager
def _open(archive: Path, info: zipfile.ZipInfo) -> Iterator[BufferedIOBase]:
    with archive.open("rb") as file:
        seek_data(file, info.header_offset)
        yield zipfile.ZipExtFile(file, "r", info)


def _kind(archive: Path, info: zipfile.ZipInfo, top: str) -> str | None:
    if (name := info.filename.removeprefix(top).lower()) in COLUMNS:
        return name
    with _open(archive, info) as table:
        line = table.readline(FIRST_LINE).decode("utf-8-sig", "replace")
    columns = {column.strip().strip('"').lower() for column in line.split(",")}
    return next((kind for kind, needed in COLUMNS.items() if columns.issuperset(needed)), None)


def _common_folder(first: str, last: str) -> str:
    """The folder, with its slash, that holds all members, of which these are the first and the last in order; empty if it is the root."""
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return first[: first.rfind("/", 0, length) + 1]

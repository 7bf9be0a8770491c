"""What the folders hold: files that are, or should be, images, with their side and class; and what is surplus."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from stages.download.archive import JUNK_FOLDERS, is_junk
from stages.pixels import FORMATS, Undecodable, open_image, to_grey

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}  # folder names, whatever their case -> side
SUFFIXES = {suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS}
# What files are that are taken for images: where, and which bytes, tell it.
KINDS = (
    (0, b"\x1f\x8b", "gzip-compressed, perhaps NIfTI"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"version https://git-lfs", "a pointer of Git LFS: fetch the file"),
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\0", "a NIfTI file"),
)


class Files(NamedTuple):
    """images: path (relative to base), side ("" where unknown), label (the class, "" where unknown) and folder (number of the given one);
    surplus and unreadable: path and reason. Rows are sorted as the folders were given, then by path.
    """

    base: Path
    images: pd.DataFrame
    surplus: pd.DataFrame
    unreadable: pd.DataFrame


def find_files(folders: list[Path]) -> Files:
    """Look through absolute folders, none of which is inside another. Nothing is decoded yet."""
    base = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    images, surplus, unreadable = [], [], []
    for number, folder in enumerate(folders):
        for file, reason in _walk(folder):
            path = str(file.relative_to(base))
            if reason.startswith("unreadable: "):
                unreadable.append((path, reason.removeprefix("unreadable: ")))
            elif reason:
                surplus.append((path, reason))
            else:
                inside = file.relative_to(folder).parts[:-1]
                side = _side(inside) if len(folders) == 1 else str(folder.relative_to(base))
                label = next((name for name in reversed(inside) if name.lower() not in SPLITS), "")
                images.append((path, side, label, number))
    tables = (images, ["path", "side", "label", "folder"]), (surplus, ["path", "reason"]), (unreadable, ["path", "reason"])
    return Files(base, *(pd.DataFrame(rows, columns=columns) for rows, columns in tables))


def _side(folders: tuple[str, ...]) -> str:
    return next((SPLITS[name.lower()] for name in reversed(folders) if name.lower() in SPLITS), "")


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files, and folders that are not looked into, with the reason why they are no images; "" for images."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"unreadable: {error.strerror}"
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.name.lower() in JUNK_FOLDERS or is_junk(entry.name):
            yield path, "hidden, or left by a system"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
        elif entry.is_dir():
            yield path, "link to a folder, not followed"
        elif entry.is_symlink() and not path.exists():
            yield path, "unreadable: broken link"
        elif not entry.is_file():
            yield path, "no regular file"
        else:
            yield path, _look(path)


def _look(path: Path) -> str:
    if path.suffix.lower() in SUFFIXES:
        try:
            path.open("rb").close()
        except OSError as error:
            return f"unreadable: {error.strerror}"
        return ""
    try:
        with Image.open(path, formats=FORMATS):
            return ""
    except Exception:  # Pillow's parsers raise OSError, SyntaxError, struct.error, ... on what they take for a header
        return f"no image ({path.suffix.lower() or 'no extension'})"


def shown(path: str) -> str:
    r"""A path as text; bytes that are no UTF-8 as \x.. ."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def explain(path: Path, reason: str, max_megapixels: float) -> str:
    """Why merge could not read a file, in full; reason: what merge said."""
    data = path.read_bytes()
    if reason == "too large":
        return f"declares more than {max_megapixels:g} megapixels"
    if reason.startswith("damaged"):
        try:
            to_grey(open_image(data, max_megapixels))
        except Undecodable as error:
            return str(error)
        except Exception as error:
            return f"damaged: {error}"
        return reason
    return f"not an image: {_kind(data)}"


def _kind(data: bytes) -> str:
    if not data:
        return "empty"
    if not data.strip(b"\0"):
        return "nothing but zeros"
    for start, magic, kind in KINDS:
        if data[start:].startswith(magic):
            return kind
    try:
        with Image.open(io.BytesIO(data)) as image:
            return f"{image.format}, which is not read here; {', '.join(FORMATS)} are"
    except Exception:
        pass
    try:
        text = data[:4096].decode("utf-8", errors="strict" if len(data) <= 4096 else "ignore").lstrip().lower()
    except UnicodeDecodeError:
        return "its first bytes are those of no known format"
    return "a web page" if text.startswith(("<!doctype html", "<html")) else "text"

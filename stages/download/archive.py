"""The canonical archive: what may go in, how it is written, and the digest by which its content is known.

Stored, members sorted by path, fixed times and permissions: the same files give the same bytes wherever they came from.
"""

import hashlib
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from stages.sources import Archive

CHUNK = 1 << 20  # bytes in memory at a time
MAX_BYTES = 10**11  # unpacked size beyond which no set of pictures is plausible
MAX_RATIO = 100  # unpacked to packed; pictures are compressed already and stay near 1
JUNK_FOLDER = "__MACOSX"
JUNK_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


class BadArchive(SystemExit):
    """An archive that is damaged or refused; one line that says what to do."""


class Member(NamedTuple):
    """A file on its way into the archive; read() yields its bytes in chunks."""

    path: str
    size: int
    read: Callable[[], Iterator[bytes]]


class Contents(NamedTuple):
    """What an archive holds: how many members, the total of their sizes in bytes, and the digest.

    The digest is the sha256 of the lines "<sha256 of the member> <member path>" in the order of the paths.
    """

    members: int
    bytes: int
    digest: str


def canonical_path(name: str) -> str:
    """The member path with '/' separators, otherwise untouched; ValueError if it points out of the archive."""
    path = name.replace("\\", "/")
    parts = path.split("/")
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        raise ValueError("is an absolute path")
    if ".." in parts:
        raise ValueError("leads out of the archive")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is not a UTF-8 name") from None
    return "/".join(part for part in parts if part not in ("", "."))


def is_junk(path: str) -> bool:
    """Whether the file is what macOS or Windows leave behind in folders."""
    *folders, name = path.split("/")
    return JUNK_FOLDER in folders or name.lower() in JUNK_FILES


@contextmanager
def open_zip(path: Path) -> Iterator[list[Member]]:
    """The members of a zip, checked before any is read: BadArchive on damage, bombs, odd paths, links and encryption."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises BadZipFile, OSError, ValueError, struct.error, ... on damaged files
        raise BadArchive(f"{path}: not a zip, or damaged ({error}); fetch it again") from None
    with archive:
        infos = archive.infolist()
        size, limit = sum(info.file_size for info in infos), min(MAX_BYTES, max(CHUNK, MAX_RATIO * path.stat().st_size))
        if size > limit:
            raise BadArchive(f"{path}: refused, unpacks to {size} bytes where at most {limit} are plausible; fetch it from its publisher")
        yield [member for info in infos if (member := _zip_member(path, archive, info))]


def _zip_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member | None:
    try:
        name = _zip_name(info)
        member = canonical_path(name)
        if name.endswith(("/", "\\")) or is_junk(member):
            return None
        if not member:
            raise ValueError("is not a file name")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError("is a link or another special file")
        if info.flag_bits & 0x1:
            raise ValueError("is encrypted")
    except ValueError as problem:
        raise BadArchive(f"{path}: refused, {info.filename!r:.200} {problem}; fetch the archive from its publisher") from None

    return Member(member, info.file_size, partial(_read, path, archive, info, member))


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: str) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:  # yields no more than the size that the directory declares, and checks the CRC
            while chunk := file.read(CHUNK):
                yield chunk
    except Exception as error:  # as above, and zlib.error, EOFError, NotImplementedError, RuntimeError
        raise BadArchive(f"{path}: damaged at {member!r:.200} ({error}); fetch it again") from None


def _zip_name(info: zipfile.ZipInfo) -> str:
    # Names without the UTF-8 flag are cp437 by the standard, but unpackers on Unix write the bytes as they are: UTF-8, mostly.
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeDecodeError:
        return info.filename


def write_archive(members: Iterable[Member], target: Path) -> Contents:
    """Write the canonical zip, a chunk at a time, hashing what is copied.

    Exits, with target incomplete, on a member that occurs twice or is not of the size it was announced with, on an
    archive without members, and when the disk cannot hold it.
    """
    members = sorted(members, key=lambda member: member.path)
    if not members:
        raise BadArchive(f"{target.stem}: the archive holds no files; check archive.slug and archive.version in data/sources.yaml")
    for one, other in pairwise(members):
        if one.path == other.path:
            raise BadArchive(f"{target.stem}: refused, {one.path!r:.200} occurs twice; fetch the archive from its publisher")
    total = sum(member.size for member in members)
    require_space(target.parent, total + sum(2 * len(member.path.encode()) + 100 for member in members))

    digest = hashlib.sha256()
    progress = tqdm(desc=target.stem, total=total, unit="B", unit_scale=True, disable=None)
    with progress, zipfile.ZipFile(target, "w") as archive:
        for member in members:
            digest.update(f"{_copy(member, archive)} {member.path}\n".encode())
            progress.update(member.size)
    return Contents(len(members), total, digest.hexdigest())


def _copy(member: Member, archive: zipfile.ZipFile) -> str:
    info = zipfile.ZipInfo(member.path, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, also on Windows
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = member.size
    sha256, size = hashlib.sha256(), 0
    with archive.open(info, "w") as file:
        for chunk in member.read():
            size += len(chunk)
            if size > member.size:
                break
            sha256.update(chunk)
            file.write(chunk)
    if size != member.size:
        raise BadArchive(f"{member.path!r:.200} is not of the {member.size} bytes announced; fetch the archive again")
    return sha256.hexdigest()


def require_space(folder: Path, need: int) -> None:
    """Exit unless the file system of folder has room for need bytes."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise SystemExit(f"{folder}: {need / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free; make room and run again")


def check_edition(name: str, archive: Archive, contents: Contents) -> None:
    """Exit unless the contents are one of the known editions of the archive, where any are known."""
    for edition in archive.editions:
        if edition.members == contents.members and edition.bytes in (None, contents.bytes) and edition.digest in (None, contents.digest):
            return
    if archive.editions:
        expected = " or ".join(_describe(edition.members, edition.bytes, edition.digest) for edition in archive.editions)
        raise SystemExit(
            f"{name}: {archive.slug} version {archive.version} is not a known edition: expected {expected}; "
            f"found {_describe(*contents)}. What a Kaggle slug holds changes: pin archive.version, "
            "or check the files and add them to archive.editions in data/sources.yaml"
        )


def _describe(members: int, size: int | None, digest: str | None) -> str:
    return f"{members} files" + (f" of {size} bytes" if size is not None else "") + (f" (sha256 {digest})" if digest else "")

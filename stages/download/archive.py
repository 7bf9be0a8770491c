"""The canonical archive: what may go in, how it is written, and the digest by which its content is known.

Stored, members sorted by path, fixed times and permissions: the same files give the same bytes wherever they came from.
"""

import hashlib
import itertools
import json
import re
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from stages.archives import UTF_8, directory, seek_data
from stages.sources import Archive, Edition

CHUNK = 1 << 20  # bytes in memory at a time
MAX_BYTES = 10**11  # unpacked size beyond which no set of pictures is plausible
MAX_RATIO = 100  # unpacked to packed; pictures are compressed already and stay near 1
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
JUNK_FOLDERS = {  # what macOS, Jupyter, Synology, QNAP, Windows and Linux leave in folders
    "__macosx", ".ipynb_checkpoints", "@eadir", ".@__thumb", ".spotlight-v100", ".trashes", ".fseventsd", ".appledouble",
    "$recycle.bin", "system volume information", ".thumbnails", ".git", ".trash-1000",
}  # fmt: skip
JUNK_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".directory", ".localized", ".gitkeep", ".gitignore"}
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
SHOWN = 3  # files that are surplus, perhaps


class BadArchive(SystemExit):
    """An archive that is damaged or refused; one line that says what to do."""


class Member(NamedTuple):
    """A file on its way into the archive; place says, to what reads it, where it is."""

    path: str
    size: int
    place: str


class Files(NamedTuple):
    """Files on their way into the archive, and what reads one: yields its bytes in chunks."""

    members: Iterable[Member]
    read: Callable[[Member], Iterator[bytes]]


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
    """Whether the file is what systems and programs leave behind in folders."""
    *folders, name = path.lower().split("/")
    return not JUNK_FOLDERS.isdisjoint(folders) or name in JUNK_FILES or name.startswith("._")


@contextmanager
def open_zip(path: Path) -> Iterator[Files]:
    """The files of a zip. Going through them, or reading one: BadArchive on damage, bombs, odd paths, links and encryption."""
    with path.open("rb") as file:
        yield Files(_zip_members(path), lambda member: _read(path, file, member))


def _zip_members(path: Path) -> Iterator[Member]:
    size, limit = 0, min(MAX_BYTES, max(CHUNK, MAX_RATIO * path.stat().st_size))
    infos = directory(path)
    while True:
        try:
            info = next(infos, None)
        except Exception as error:  # BadZipFile, OSError, ValueError, struct.error, ... on damaged files
            raise BadArchive(f"{path}: not a zip, or damaged ({error}); fetch it again") from None
        if info is None:
            return
        size += info.file_size
        if size > limit:
            raise BadArchive(f"{path}: refused, unpacks to more than the {limit} bytes that are plausible; fetch it from its publisher")
        if member := _zip_member(path, info):
            yield member


def _zip_member(path: Path, info: zipfile.ZipInfo) -> Member | None:
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
        if info.compress_type not in METHODS:
            raise ValueError(f"is compressed in a way that is not read (method {info.compress_type}); unpack it into a folder, or")
    except ValueError as problem:
        raise BadArchive(f"{path}: refused, {info.filename!r:.200} {problem}; fetch the archive from its publisher") from None
    return Member(member, info.file_size, json.dumps([info.header_offset, info.compress_type, info.compress_size, info.CRC]))


def _read(path: Path, file: BinaryIO, member: Member) -> Iterator[bytes]:
    info = zipfile.ZipInfo(member.path)
    offset, info.compress_type, info.compress_size, info.CRC = json.loads(member.place)
    info.file_size = member.size
    try:
        seek_data(file, offset)
        with zipfile.ZipExtFile(
            file, "r", info
        ) as unpacked:  # yields no more than the size that the directory declares, and checks the CRC
            while chunk := unpacked.read(CHUNK):
                yield chunk
    except Exception as error:  # as above, and zlib.error, EOFError, NotImplementedError, RuntimeError
        raise BadArchive(f"{path}: damaged at {member.path!r:.200} ({error}); fetch it again") from None


def _zip_name(info: zipfile.ZipInfo) -> str:
    # Names without the UTF-8 flag are cp437 by the standard, but unpackers on Unix write the bytes as they are: UTF-8, mostly.
    if info.flag_bits & UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeDecodeError:
        return info.filename


def write_archive(files: Files, target: Path, editions: Sequence[Edition] = ()) -> Contents:
    """Write the canonical zip, a chunk at a time, hashing what is copied. A folder that wraps all members is left out if that makes them
    one of the editions, and they are none with it.

    Exits, with target incomplete, on a member that occurs twice or is not of the size it was announced with, on an
    archive without members, and when the disk cannot hold it.
    """
    with closing(sqlite3.connect("")) as tables:  # on the disk, and gone with the connection: members may be more than the memory holds
        count, total, names = _list(files.members, tables, target.stem)
        require_space(target.parent, total + 2 * names + 100 * count)
        wrappings = dict.fromkeys(["", _wrapping(tables)])
        digests = _write(tables, files.read, target, total, *wrappings)
        contents = {wrapping: Contents(count, total, digest) for wrapping, digest in zip(wrappings, digests, strict=True)}
        wrapping = next((wrapping for wrapping in wrappings if is_known(contents[wrapping], editions)), "")
        if wrapping:
            _write(tables, files.read, target, total, wrapping)
    return contents[wrapping]


def _write(tables: sqlite3.Connection, read: Callable[[Member], Iterator[bytes]], target: Path, total: int, *wrappings: str) -> list[str]:
    """Write the listed members without the first of these wrappings; the digest without each."""
    digests = [hashlib.sha256() for _ in wrappings]
    progress = tqdm(desc=target.stem, total=total, unit="B", unit_scale=True, disable=None)
    with progress, zipfile.ZipFile(target, "w") as archive:
        archive.filelist = _Written(tables)  # type: ignore[assignment]
        for member in map(Member._make, tables.execute("SELECT path, size, place FROM members ORDER BY path")):
            paths = [member.path.removeprefix(wrapping) for wrapping in wrappings]
            sha256 = _copy(member, read, archive, paths[0])
            for digest, path in zip(digests, paths, strict=True):
                digest.update(f"{sha256} {path}\n".encode())
            archive.NameToInfo.clear()
            progress.update(member.size)
    return [digest.hexdigest() for digest in digests]


def _wrapping(tables: sqlite3.Connection) -> str:
    """The top folder, with its slash, that all listed members lie in; empty if there is none such."""
    first, last = tables.execute("SELECT min(path), max(path) FROM members").fetchone()
    top = first[: first.find("/") + 1]
    return top if last.startswith(top) else ""  # and so does all that sorts between them


def _list(members: Iterable[Member], tables: sqlite3.Connection, name: str) -> tuple[int, int, int]:
    """Put the members into a table; how many they are, and the total of their sizes and of their paths, in bytes."""
    tables.execute("CREATE TABLE members (path TEXT PRIMARY KEY, size INTEGER, place TEXT) WITHOUT ROWID")
    count = total = names = 0
    for member in members:
        try:
            tables.execute("INSERT INTO members VALUES (?, ?, ?)", member)
        except sqlite3.IntegrityError:
            raise BadArchive(f"{name}: refused, {member.path!r:.200} occurs twice; fetch the archive from its publisher") from None
        count, total, names = count + 1, total + member.size, names + len(member.path.encode())
    if not count:
        raise BadArchive(f"{name}: the archive holds no files; check archive.slug and archive.version in data/sources.yaml")
    return count, total, names


class _Written:
    """What zipfile notes of each member for the directory at the end, in a table: its own list is a kilobyte a member in memory."""

    def __init__(self, tables: sqlite3.Connection):
        self._tables = tables
        tables.execute("DROP TABLE IF EXISTS written")
        tables.execute("CREATE TABLE written (path TEXT, size INTEGER, checksum INTEGER, offset INTEGER)")

    def append(self, info: zipfile.ZipInfo) -> None:
        self._tables.execute("INSERT INTO written VALUES (?, ?, ?, ?)", (info.filename, info.file_size, info.CRC, info.header_offset))

    def __len__(self) -> int:
        return self._tables.execute("SELECT count(*) FROM written").fetchone()[0]

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        for path, size, checksum, offset in self._tables.execute("SELECT * FROM written ORDER BY rowid"):
            info = _info(path, size)
            info.compress_size, info.CRC, info.header_offset = size, checksum, offset
            yield info


def _info(path: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, also on Windows
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = size
    return info


def _copy(member: Member, read: Callable[[Member], Iterator[bytes]], archive: zipfile.ZipFile, path: str) -> str:
    sha256, size = hashlib.sha256(), 0
    with archive.open(_info(path, member.size), "w") as file:
        for chunk in read(member):
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


def is_known(contents: Contents, editions: Sequence[Edition]) -> bool:
    """Whether these are the contents of one of the editions."""
    return any(
        edition.members == contents.members and edition.bytes in (None, contents.bytes) and edition.digest in (None, contents.digest)
        for edition in editions
    )


def check_edition(name: str, archive: Archive, contents: Contents, packed: Path) -> None:
    """Exit unless the contents, which are in packed, are one of the known editions of the archive, where any are known."""
    if archive.editions and not is_known(contents, archive.editions):
        expected = " or ".join(_describe(edition.members, edition.bytes, edition.digest) for edition in archive.editions)
        raise SystemExit(
            f"{name}: {archive.slug} version {archive.version} is not a known edition: expected {expected}; "
            f"found {_describe(*contents)}{_surplus(packed)}. What a Kaggle slug holds changes: pin archive.version, "
            "or check the files and add them to archive.editions in data/sources.yaml"
        )


def _surplus(packed: Path) -> str:
    """The members that are no pictures by their names, or hidden, if there are any."""
    odd = (info.filename for info in directory(packed) if not info.filename.lower().endswith(PICTURES) or "/." in f"/{info.filename}")
    named = ", ".join(f"{member!r:.80}" for member in itertools.islice(odd, SHOWN))
    return f", with {named} that may be surplus" if named else ""


def _describe(members: int, size: int | None, digest: str | None) -> str:
    return f"{members} files" + (f" of {size} bytes" if size is not None else "") + (f" (sha256 {digest})" if digest else "")

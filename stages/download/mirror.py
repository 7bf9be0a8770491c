"""Files that are on the disk already: the folder that BRAIN_MRI_MIRROR names, or the inputs of a Kaggle notebook."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.download.archive import CHUNK, BadArchive, Files, Member, canonical_path, is_junk, open_zip


@contextmanager
def mirror_files(mirror: Path, slug: str, version: int) -> Iterator[Files]:
    """The files of the set in the mirror, from a folder or a zip; exits with the places where it looked."""
    place = _of_version(_locate(mirror, slug), version)
    if place.is_dir():
        yield Files(_folder_members(place, place.resolve()), lambda member: _chunks(place / member.place))
    else:
        with open_zip(place) as files:
            yield files


def _locate(mirror: Path, slug: str) -> Path:
    if not mirror.is_absolute() and not mirror.is_dir():
        raise SystemExit(
            f"BRAIN_MRI_MIRROR={mirror} is no folder in {Path.cwd()}; give it as an absolute path, "
            "since DVC runs some experiments (--temp, --queue) in folders of their own"
        )
    name = slug.split("/")[-1]
    places = [slug, f"{slug}.zip", f"{name}.zip", f"datasets/{slug}", name]  # the last two as in a Kaggle notebook
    for place in (mirror / place for place in places):
        if place.is_dir():
            files = [file for file in place.iterdir() if not is_junk(file.name)]
            lone_zip = len(files) == 1 and files[0].suffix.lower() == ".zip" and files[0].is_file()
            return files[0] if lone_zip else place
        if place.is_file():
            return place
    raise SystemExit(
        f"BRAIN_MRI_MIRROR={mirror} does not hold {slug}: looked for {', '.join(places)} in it; "
        "put the set there, or unset BRAIN_MRI_MIRROR to download it from Kaggle"
    )


def _of_version(place: Path, version: int) -> Path:
    """In kagglehub's cache, where a set is versions/1, versions/2, ..., the one that is asked for."""
    versions = place / "versions"
    if not versions.is_dir() or any(entry.is_dir() and entry != versions and not is_junk(entry.name + "/x") for entry in place.iterdir()):
        return place
    if (found := versions / str(version)).is_dir():
        return found
    there = ", ".join(sorted(entry.name for entry in versions.iterdir() if entry.is_dir())) or "none"
    raise SystemExit(f"{versions} does not hold version {version} (there: {there}); archive.version in data/sources.yaml asks for it")


def _folder_members(folder: Path, root: Path, prefix: str = "", trail: tuple[Path, ...] = ()) -> Iterator[Member]:
    """Files under folder; links are followed as long as they stay in root and do not run in circles (trail: the way here)."""
    real = folder.resolve()
    if not real.is_relative_to(root) or real in trail:
        raise BadArchive(f"{folder}: refused, a link that leaves the data set or runs in a circle; put a copy in its place")
    for entry in os.scandir(folder):
        file = Path(entry.path)
        if entry.is_dir():
            yield from _folder_members(file, root, f"{prefix}{entry.name}/", (*trail, real))
            continue
        try:
            path = canonical_path(prefix + entry.name)
        except ValueError as problem:
            raise BadArchive(f"{file}: refused, {problem}; rename it") from None
        if is_junk(path):
            continue
        if entry.is_symlink() and not file.resolve().is_relative_to(root):
            raise BadArchive(f"{file}: refused, a link that leaves the data set; put a copy in its place")
        if not entry.is_file():
            raise BadArchive(f"{file}: refused, not a regular file, or a broken link; take it out or put a copy in its place")
        yield Member(path, entry.stat().st_size, prefix + entry.name)


def _chunks(file: Path) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk

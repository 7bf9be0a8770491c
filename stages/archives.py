"""Reading members of the archives in data/raw from worker processes."""

import zipfile
from functools import cache
from pathlib import Path


def read_member(path: Path, member: str) -> bytes:
    """A member's bytes. For workers only: processes forked from one that has called this would share its file position."""
    return _open(path).read(member)


@cache
def _open(path: Path) -> zipfile.ZipFile:
    # Once a process: reading the directory of an archive takes as long as decoding a hundred pictures.
    return zipfile.ZipFile(path)

"""Reading members of the archives in data/raw, many from each."""

import os
import zipfile
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

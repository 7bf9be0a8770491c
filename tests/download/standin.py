"""A small data set in every shape that it can arrive in."""

import io
import zipfile
from pathlib import Path

import pytest
import yaml

from stages.download.__main__ import main

SLUG, VERSION = "owner/tiny-set", 3


def pack(files, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of path -> bytes, in the order given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def lay_out(files, folder: Path) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def register(**archive):
    """Write data/sources.yaml with the source `tiny`."""
    entry = {"slug": SLUG, "version": VERSION, "title": "Tiny"} | archive
    Path("data").mkdir(exist_ok=True)
    source = {"licence": "CC0-1.0", "attribution": "Jemand (2020)", "archive": entry, "folders": {"labels": {"glioma": ["a"]}}}
    Path("data/sources.yaml").write_text(yaml.safe_dump({"tiny": source}))


def refusal(name="tiny") -> str:
    """The one line that the stage exits with; nothing may be left behind."""
    with pytest.raises(SystemExit) as exit:
        main(name)
    assert isinstance(exit.value.code, str) and "\n" not in exit.value.code  # a string: printed, exit code 1
    assert not list(Path("data/raw").glob("*"))
    return exit.value.code

"""Download one data set: python -m stages.download SOURCE writes data/raw/SOURCE.zip and data/raw/SOURCE.json.

The files are generated (archive.phantom in data/sources.yaml), or come from the folder that BRAIN_MRI_MIRROR names, or from Kaggle.
"""

import argparse
import json
import os
import shutil
import sqlite3
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stages.download.archive import Files, Member, check_edition, write_archive
from stages.download.mirror import mirror_files
from stages.sources import Archive, load_source

RAW = Path("data/raw")
SCRATCH = Path(".scratch/download")  # a download that was cut off waits here for the next run


def main(name: str) -> None:
    source = load_source(name)
    archive = source.archive
    packed, manifest, scratch = RAW / f"{name}.zip", RAW / f"{name}.json", SCRATCH / name
    # Beside the outputs, since data/ may lie on a disk of its own; .dvcignore hides them from merge, whose input is all of data/raw.
    packed_part, manifest_part = RAW / f"{name}.zip.part", RAW / f"{name}.json.part"
    RAW.mkdir(parents=True, exist_ok=True)
    try:
        with _files(archive, scratch) as files:
            contents = write_archive(files, packed_part, archive.editions)
        check_edition(name, archive, contents, packed_part)
        facts = archive.model_dump(include={"slug", "version", "title"}) | source.model_dump(include={"licence", "attribution"})
        facts |= {"members": contents.members, "bytes": contents.bytes, "sha256": contents.digest}
        manifest_part.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
        packed_part.replace(packed)
        manifest_part.replace(manifest)
    except OSError as error:
        raise SystemExit(f"{name}: {error.filename or RAW}: {error.strerror or error}; mend that and run again") from None
    except sqlite3.OperationalError as error:
        raise SystemExit(
            f"{name}: the list of its files: {error}; make room for it, or set SQLITE_TMPDIR to a folder that has some"
        ) from None
    finally:
        packed_part.unlink(missing_ok=True)
        manifest_part.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _files(archive: Archive, scratch: Path) -> AbstractContextManager[Files]:
    if archive.phantom:
        from stages.download.phantom import phantom_members

        made = phantom_members(archive.phantom)
        return nullcontext(Files((Member(path, len(data), "") for path, data in made.items()), lambda member: iter([made[member.path]])))
    if mirror := os.environ.get("BRAIN_MRI_MIRROR"):
        return mirror_files(Path(mirror), archive.slug, archive.version)
    from stages.download.kaggle_client import kaggle_files

    return kaggle_files(archive, scratch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m stages.download", description=__doc__)
    parser.add_argument("source", help="a data set of data/sources.yaml")
    main(parser.parse_args().source)

"""Patients, planes and the tumour's share of the picture, known by the sha256 of a file."""

import sqlite3
import zipfile
from collections.abc import Iterable
from io import BufferedIOBase
from pathlib import Path

import pandas as pd

from stages.archives import directory, seek_data
from stages.catalog import PLANES
from stages.merge.given import read_parts

ANNOTATIONS = "data/annotations.csv"
SHIPPED = "annotations.csv"  # at an archive's root
KNOWN = ("patient", "plane", "tumour_area", "slice")
OPTIONAL = ("tumour_area", "slice")


class Annotations:
    """What data/annotations.csv says, and what archives ship, in a table on the disk.

    Two columns may be missing. tumour_area is for sets with masks of the tumours: the share of the picture, 0 to 1, that the mask covers. slice is
    the same for all pictures that show one slice of one examination, and names no other: the truth that dedupe is measured by.
    """

    def __init__(self, archives: Iterable[Path]):
        self._table = sqlite3.connect("")  # gone with the connection
        self._table.execute(
            "CREATE TABLE annotations (sha256 TEXT PRIMARY KEY, patient TEXT, plane TEXT, tumour_area TEXT, slice TEXT) WITHOUT ROWID"
        )
        self._add(ANNOTATIONS, ANNOTATIONS)
        for path in archives:
            for info in directory(path):
                if info.filename == SHIPPED:
                    with path.open("rb") as file:
                        seek_data(file, info.header_offset)
                        self._add(zipfile.ZipExtFile(file, "r", info), f"{path}: {SHIPPED}")

    def _add(self, file: str | BufferedIOBase, name: str) -> None:
        for part in read_parts(file, name, ("sha256", "patient", "plane")):
            part = _checked(part, name)
            rows = part[["sha256", *KNOWN]].itertuples(index=False, name=None)
            self._table.executemany("INSERT OR IGNORE INTO annotations VALUES (?, ?, ?, ?, ?)", rows)

    def annotate(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add what is KNOWN to a table with sha256; empty where unknown."""
        find = f"SELECT {', '.join(KNOWN)} FROM annotations WHERE sha256 = ?"
        found = [self._table.execute(find, (sha256,)).fetchone() or ("",) * len(KNOWN) for sha256 in table.sha256]
        return table.join(pd.DataFrame(found, table.index, KNOWN, "string"))


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    if odd := sorted(set(table.plane) - {*PLANES, ""}):
        raise SystemExit(f"{name}: {odd[0]!r:.50} is no plane; there are {', '.join(PLANES)}, or nothing where it is unknown")
    table = table.assign(**{column: "" for column in OPTIONAL if column not in table})
    shares = pd.to_numeric(table.tumour_area, errors="coerce").astype("float64")
    if odd := table.tumour_area[(table.tumour_area != "") & ~shares.between(0, 1)].tolist():
        raise SystemExit(
            f"{name}: {odd[0]!r:.50} is no tumour_area; it is the share of the picture, 0 to 1, or nothing where it is unknown"
        )
    return table

"""Patients, planes and the tumour's share of the picture, known by the sha256 of a file."""

import sqlite3
from io import BufferedIOBase
from pathlib import Path

import pandas as pd

from stages.catalog import PLANES
from stages.merge import shipped
from stages.merge.given import read_parts

ANNOTATIONS = "data/annotations.csv"
KNOWN = ("patient", "plane", "tumour_area", "slice")
OPTIONAL = ("tumour_area", "slice")


class Annotations:
    """What data/annotations.csv says, and what archives ship, in a table on the disk.

    Two columns may be missing. tumour_area is for sets with masks of the tumours: the share of the picture, 0 to 1, that the mask covers. slice is
    the same for all pictures that show one slice of one examination, and names no other: the truth that dedupe is measured by.
    """

    def __init__(self, tables: dict[tuple[Path, str], str]):
        """tables: (archive, member) -> kind, as shipped.find_tables has them; what ANNOTATIONS says of a file comes before what they say."""
        self._table = sqlite3.connect("")  # gone with the connection
        self._table.execute(
            "CREATE TABLE annotations (sha256 TEXT, file INTEGER, patient TEXT, plane TEXT, tumour_area TEXT, slice TEXT, met INTEGER DEFAULT 0,"
            " PRIMARY KEY (sha256, file)) WITHOUT ROWID"
        )
        self._names: list[str] = []
        self._add(ANNOTATIONS, ANNOTATIONS)
        for (archive, member), kind in tables.items():
            if kind == shipped.ANNOTATIONS:
                with shipped.open_table(archive, member) as file:
                    self._add(file, f"{archive}: {member}")

    def _add(self, file: str | BufferedIOBase, name: str) -> None:
        for part in read_parts(file, name, shipped.COLUMNS[shipped.ANNOTATIONS]):
            part = _checked(part, name).assign(file=len(self._names))
            rows = part[["sha256", "file", *KNOWN]].itertuples(index=False, name=None)
            self._table.executemany(
                "INSERT OR IGNORE INTO annotations (sha256, file, patient, plane, tumour_area, slice) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
        self._names.append(name)

    def annotate(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add what is KNOWN to a table with sha256; empty where unknown."""
        self._table.executemany("UPDATE annotations SET met = 1 WHERE sha256 = ?", ((sha256,) for sha256 in table.sha256))
        find = f"SELECT {', '.join(KNOWN)} FROM annotations WHERE sha256 = ? ORDER BY file"
        found = [self._table.execute(find, (sha256,)).fetchone() or ("",) * len(KNOWN) for sha256 in table.sha256]
        return table.join(pd.DataFrame(found, table.index, KNOWN, "string"))

    def matched(self) -> dict[str, tuple[int, int]]:
        """Of each file that has rows: how many rows are of a picture that was annotated here, and how many there are."""
        counts = self._table.execute("SELECT file, sum(met), count(*) FROM annotations GROUP BY file")
        return {self._names[file]: (met, rows) for file, met, rows in counts}


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    table = table.assign(plane=table.plane.str.lower())
    if odd := sorted(set(table.plane) - {*PLANES, ""}):
        raise SystemExit(f"{name}: {odd[0]!r:.50} is no plane; there are {', '.join(PLANES)}, or nothing where it is unknown")
    table = table.assign(**{column: "" for column in OPTIONAL if column not in table})
    shares = pd.to_numeric(table.tumour_area, errors="coerce").astype("float64")
    if odd := table.tumour_area[(table.tumour_area != "") & ~shares.between(0, 1)].tolist():
        raise SystemExit(
            f"{name}: {odd[0]!r:.50} is no tumour_area; it is the share of the picture, 0 to 1, or nothing where it is unknown"
        )
    return table

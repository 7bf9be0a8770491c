"""Patients, planes and the tumour's share of the picture, known by the sha256 of a file."""

import io
import zipfile
from pathlib import Path

import pandas as pd

from stages.catalog import PLANES
from stages.merge.given import read_given

ANNOTATIONS = "data/annotations.csv"


def annotate(table: pd.DataFrame, archives: dict[str, Path]) -> pd.DataFrame:
    """Add patient, plane and tumour_area from data/annotations.csv and from an annotations.csv at an archive's root; empty where unknown.

    tumour_area is for sets with masks of the tumours: the share of the picture, 0 to 1, that the mask covers. The column may be missing.
    """
    tables = [_read(ANNOTATIONS, ANNOTATIONS)]
    for path in archives.values():
        with zipfile.ZipFile(path) as archive:
            if "annotations.csv" in archive.namelist():
                tables.append(_read(io.BytesIO(archive.read("annotations.csv")), f"{path}: annotations.csv"))
    known = pd.concat(tables).drop_duplicates("sha256").set_index("sha256")
    table = table.copy()
    for column in ("patient", "plane", "tumour_area"):
        table[column] = table.sha256.map(known[column]).astype("string").fillna("")
    return table


def _read(file: str | io.BytesIO, name: str) -> pd.DataFrame:
    table = read_given(file, name, ("sha256", "patient", "plane"))
    if odd := sorted(set(table.plane) - {*PLANES, ""}):
        raise SystemExit(f"{name}: {odd[0]!r:.50} is no plane; there are {', '.join(PLANES)}, or nothing where it is unknown")
    if "tumour_area" not in table:
        return table.assign(tumour_area="")
    shares = pd.to_numeric(table.tumour_area, errors="coerce").astype("float64")
    if odd := table.tumour_area[(table.tumour_area != "") & ~shares.between(0, 1)].tolist():
        raise SystemExit(
            f"{name}: {odd[0]!r:.50} is no tumour_area; it is the share of the picture, 0 to 1, or nothing where it is unknown"
        )
    return table

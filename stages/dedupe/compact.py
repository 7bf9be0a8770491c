"""The catalog in numbers: the text of a million pictures is a gigabyte, and what dedupe compares of it forty bytes each."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from stages.archives import directory
from stages.catalog import CATALOG, TEXT

RAW = Path("data/raw")
ROWS = 20_000  # of the file in memory at a time
NAMES = ("source", "label", "published_split", "patient", "plane", "slice")
COLUMNS = ("image_id", "sha256", "augmented_from", "width", "height", *NAMES)


def read_parts(columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """These columns of the catalog, some rows at a time; the index goes on from part to part."""
    text = {name: "string" for name in columns if name in TEXT}
    yield from pd.read_csv(CATALOG, usecols=columns, dtype=text, keep_default_na=False, chunksize=ROWS)


def read_compact(count: int) -> pd.DataFrame:
    """The catalog's rows, of which there are count: NAMES as categories, the first of which is the empty string and the others sorted;
    width, height; augmented, whether it is an augmented copy; and sha256 and original, the same number where the bytes, or the picture
    that it is or was made from, are the same.
    """
    kinds = {"augmented": bool, "width": np.int32, "height": np.int32, "sha256": np.uint64, "original": np.uint64}
    columns = {name: np.empty(count, kind) for name, kind in (kinds | dict.fromkeys(NAMES, np.int32)).items()}
    known: dict[str, dict[str, int]] = {name: {"": 0} for name in NAMES}
    for rows in read_parts(COLUMNS):
        part = slice(rows.index.start, rows.index.stop)
        augmented = (rows.augmented_from != "").to_numpy(bool)
        columns["augmented"][part], columns["width"][part], columns["height"][part] = augmented, rows.width, rows.height
        # 64 bits of them: that two of a million different ones agree has a chance of one in 40 million.
        columns["sha256"][part] = _hashed(rows.sha256)
        columns["original"][part] = _hashed(rows.augmented_from.where(augmented, rows.image_id))
        for name, codes in known.items():
            columns[name][part] = [codes.setdefault(value, len(codes)) for value in rows[name]]

    for name in ("sha256", "original"):
        columns[name] = np.unique(columns[name], return_inverse=True)[1].astype(np.int32)
    table = pd.DataFrame({name: columns[name] for name in kinds}, copy=False)
    for name, codes in known.items():
        table[name] = pd.Categorical.from_codes(columns.pop(name), list(codes)).reorder_categories(sorted(codes))
    return table


class Places:
    """Where the files of some rows lie: sequences of (archive, offset, size, checksum), as archives.read_stored takes them, 28 bytes a picture."""

    def __init__(self, archives: list[Path], table: np.ndarray):
        self._archives, self._table = archives, table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, rows) -> list[tuple]:
        return [(self._archives[archive], *place) for archive, *place in self._table[rows].tolist()]


def find_places(sources: list[str], rows: np.ndarray) -> Places:
    """The places of some rows of the catalog, by the directories of the archives."""
    archives = [RAW / f"{source}.zip" for source in sources]
    kinds = [("id", np.uint64), ("archive", np.int32), ("offset", np.int64), ("size", np.int64), ("checksum", np.uint32)]
    known = []
    for number, (source, path) in enumerate(zip(sources, archives, strict=True)):
        members = ((f"{source}/{info.filename}", number, info.header_offset, info.file_size, info.CRC) for info in directory(path))
        while some := list(islice(members, ROWS)):
            ids = _hashed(pd.Series([member[0] for member in some]))
            known.append(np.array([(hashed, *member[1:]) for hashed, member in zip(ids.tolist(), some, strict=True)], kinds))
    known = np.concatenate(known)
    known = known[np.argsort(known["id"], kind="stable")]
    ids = np.concatenate([_hashed(part.image_id) for part in read_parts(("image_id",))])[rows]
    return Places(archives, known[np.searchsorted(known["id"], ids)][["archive", "offset", "size", "checksum"]])


def _hashed(values: pd.Series) -> np.ndarray:
    return pd.util.hash_array(values.to_numpy(object), categorize=False)


def image_ids(rows: np.ndarray) -> pd.Series:
    """The image_id of some rows, by their number."""
    return pd.concat([part.image_id[part.index.isin(rows)] for part in read_parts(("image_id",))])

"""How far a scan of the archives has come, on the disk: after a kill the next run goes on there."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from stages.catalog import read_table

COLUMNS = ["row", "sha256", "width", "height", "mode", "format", "reason"]
ARRAYS = ("thumbnails.npy", "heads.npy")


class Progress:
    """The rows that have been read, in a folder, and the two arrays uint8 [N, S, S] that they go into.

    A folder that was made for another key is emptied first.
    """

    def __init__(self, folder: Path, key: str, shape: tuple[int, int, int]):
        self.log, self.arrays = folder / "rows.csv", [folder / name for name in ARRAYS]
        marker = folder / "key"
        if not marker.exists() or marker.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path in self.arrays:
                np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            self.log.write_text(",".join(COLUMNS) + "\n")
            marker.write_text(key)
        with self.log.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)  # a line that a kill cut short

    def done(self) -> np.ndarray:
        """The numbers of the rows that need not be read again; says on the terminal how many there are."""
        rows = pd.read_csv(self.log, usecols=["row"]).row.to_numpy(int)
        if len(rows):
            print(f"goes on after {len(rows)} pictures that were read before")
        return rows

    def add(self, rows: list[tuple]) -> None:
        """Note rows, values as COLUMNS, whose pictures are in the arrays."""
        with self.log.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def table(self) -> pd.DataFrame:
        """COLUMNS but row, of all rows in order."""
        return read_table(self.log).sort_values("row", ignore_index=True).drop(columns="row")

"""Arrays that stay on the disk."""

from pathlib import Path

import numpy as np


class OnDisk:
    """An array [N, ...] in a .npy file, or some rows of it, of which only what is asked for is in memory."""

    def __init__(self, path: Path, rows: np.ndarray | None = None):
        self.path = path
        count, *others = np.load(path, mmap_mode="r").shape
        self.rows = np.arange(count) if rows is None else rows
        self.shape = (len(self.rows), *others)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows) -> np.ndarray:
        # Mapped anew each time: all that a mapping has ever touched counts as memory of the process.
        return np.load(self.path, mmap_mode="r")[self.rows[rows]]

    def __setitem__(self, rows, values: np.ndarray) -> None:
        np.load(self.path, mmap_mode="r+")[self.rows[rows]] = values

    def only(self, rows: np.ndarray) -> "OnDisk":
        """These rows alone, in their order."""
        return OnDisk(self.path, self.rows[rows])

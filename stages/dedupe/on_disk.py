"""Arrays that stay on the disk."""

from pathlib import Path

import numpy as np


class OnDisk:
    """An array [N, ...] in a .npy file of which only what is asked for is in memory."""

    def __init__(self, path: Path):
        self.path, self.shape = path, np.load(path, mmap_mode="r").shape

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: type) -> "OnDisk":
        """A new file of zeros, which takes up space only where it is written to."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(path, "w+", dtype, shape)
        return cls(path)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        # Mapped anew each time, and copied: all that a mapping has ever touched counts as memory of the process.
        return np.array(np.load(self.path, mmap_mode="r")[rows])

    def __setitem__(self, rows, values: np.ndarray) -> None:
        np.load(self.path, mmap_mode="r+")[rows] = values

"""Arrays that stay on the disk."""

import shutil
from pathlib import Path

import numpy as np


class OnDisk:
    """An array [N, ...] in a .npy file, or some rows of it, of which only what is asked for is in memory."""

    def __init__(self, path: Path, rows: np.ndarray | None = None):
        self.path, self.rows = path, rows
        count, *others = np.load(path, mmap_mode="r").shape
        self.shape = (count if rows is None else len(rows), *others)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        # Mapped anew each time, and copied: all that a mapping has ever touched counts as memory of the process.
        return np.array(np.load(self.path, mmap_mode="r")[self._of_file(rows)])

    def __setitem__(self, rows, values: np.ndarray) -> None:
        np.load(self.path, mmap_mode="r+")[self._of_file(rows)] = values

    def _of_file(self, rows):
        return rows if self.rows is None else self.rows[rows]

    def only(self, rows: np.ndarray) -> "OnDisk":
        """These rows alone, in their order."""
        return OnDisk(self.path, self._of_file(rows))


class Room:
    """Arrays to fill: in memory while all take no more than so many bytes, and then in files of a folder, which it removes."""

    def __init__(self, folder: Path, size: float):
        self._folder, self._left = folder, size

    def __enter__(self) -> "Room":
        shutil.rmtree(self._folder, ignore_errors=True)  # what a kill left there
        return self

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray | OnDisk:
        size = np.prod(shape) * np.dtype(dtype).itemsize
        if size <= self._left:
            self._left -= size
            return np.empty(shape, dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.npy"
        np.lib.format.open_memmap(path, "w+", dtype, shape)
        return OnDisk(path)

    def __exit__(self, *_) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

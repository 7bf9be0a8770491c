"""How far a scan of the archives has come, on the disk: after a kill the next run goes on there."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stages.catalog import TEXT

THUMBNAILS = "thumbnails.npy"
TABLES = """
    CREATE TABLE IF NOT EXISTS scan (key TEXT);
    CREATE TABLE IF NOT EXISTS members (row INTEGER PRIMARY KEY, source TEXT, member TEXT, offset INTEGER, size INTEGER, checksum INTEGER);
    CREATE TABLE IF NOT EXISTS found (row INTEGER PRIMARY KEY, sha256 TEXT, width INTEGER, height INTEGER, mode TEXT, format TEXT, reason TEXT);
    CREATE TEMPORARY TABLE listed (image_id TEXT PRIMARY KEY, source TEXT, member TEXT, offset INTEGER, size INTEGER, checksum INTEGER) WITHOUT ROWID;
"""


class Progress:
    """The members of the archives, numbered by their image_id, and what was found in them: tables in a folder, and an array
    uint8 [N, side, side] for the thumbnails. What the folder has of other members, or for another key, is dropped.

    Of the tables only SQLite's cache is in memory, some megabytes, however many the members are.
    """

    def __init__(self, folder: Path, key: bytes, side: int, members: Iterable[tuple]):
        """members are (source, member, offset, size, checksum), the last three of its bytes; key stands for how they are read."""
        folder.mkdir(parents=True, exist_ok=True)
        self.thumbnails = folder / THUMBNAILS
        # The write-ahead log survives a kill, and a cut of the power, without a wait for the disk after every chunk; the lock spares it
        # the shared memory that file systems of networks lack.
        self._tables = sqlite3.connect(folder / "scan.db")
        self._tables.executescript("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + TABLES)
        with self._tables:
            digest = hashlib.sha256(key)
            for source, member, *place in members:
                self._tables.execute("INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?)", (f"{source}/{member}", source, member, *place))
                digest.update(repr((source, member, *place)).encode())
            if self._tables.execute("SELECT key FROM scan").fetchone() != (digest.hexdigest(),):
                self._begin(digest.hexdigest(), side)
            self._tables.execute("DROP TABLE listed")
        self.members, self.done = self._count("members"), self._count("found")
        if self.done:
            print(f"goes on after {self.done} pictures that were read before")

    def _begin(self, key: str, side: int) -> None:
        for table in ("scan", "members", "found"):
            self._tables.execute(f"DELETE FROM {table}")
        self._tables.execute("INSERT INTO scan VALUES (?)", (key,))
        self._tables.execute(
            "INSERT INTO members SELECT row_number() OVER (ORDER BY image_id) - 1, source, member, offset, size, checksum FROM listed"
        )
        np.lib.format.open_memmap(self.thumbnails, "w+", np.uint8, (self._count("members"), side, side))

    def _count(self, table: str) -> int:
        return self._tables.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def left(self, size: int) -> Iterator[list[tuple]]:
        """What is still to be read, (row, source, offset, size, checksum), so many at a time; what may be the same bytes, one after another."""
        rows = self._tables.execute(
            "SELECT row, source, offset, size, checksum FROM members LEFT JOIN found USING (row) WHERE sha256 IS NULL"
            " ORDER BY min(row) OVER (PARTITION BY checksum, size), row"
        )
        return iter(lambda: rows.fetchmany(size), [])

    def add(self, rows: list[tuple]) -> None:
        """Note rows, (row, sha256, width, height, mode, format, reason), whose thumbnails are in the array."""
        with self._tables:
            self._tables.executemany("INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def parts(self, size: int) -> Iterator[pd.DataFrame]:
        """What was found, so many rows at a time: image_id, source, member, sha256, width, height, mode, format, reason, by row."""
        rows = self._tables.execute(
            "SELECT row, source || '/' || member AS image_id, source, member, sha256, width, height, mode, format, reason"
            " FROM members JOIN found USING (row) ORDER BY row"
        )
        columns = [name for name, *_ in rows.description]
        for part in iter(lambda: rows.fetchmany(size), []):
            yield pd.DataFrame(part, columns=columns).set_index("row").astype({name: "string" for name in columns if name in TEXT})

    def close(self) -> None:
        self._tables.close()

"""Tables that people hand in: an archive's own annotations, labels that somebody corrected."""

from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pandas as pd

ROWS = 20_000  # of a part


def read_given(file: str | Path | BufferedIOBase, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV of at least these columns, as a spreadsheet writes it: all of it text, what is empty the empty string.

    Raises SystemExit, with the name of the file, where it is none.
    """
    return pd.concat(read_parts(file, name, columns), ignore_index=True)


def read_parts(file: str | Path | BufferedIOBase, name: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """The same, some rows at a time, one part at least. The case of column names does not count, and in a table of digests neither do theirs and
    blanks around the values."""
    needed = f"it has to be a table in UTF-8, separated by commas, with the columns {', '.join(columns)}"
    try:
        for part in pd.read_csv(file, dtype="string", keep_default_na=False, chunksize=ROWS, encoding="utf-8"):
            part = part.rename(columns=lambda name: name.strip().lower())
            if missing := [column for column in columns if column not in part]:
                raise SystemExit(f"{name} has no column {' and no column '.join(missing)}; {needed}")
            if "sha256" in columns:
                part = part.apply(lambda column: column.str.strip())
                part = part.assign(sha256=part.sha256.str.lower())
            yield part
    except ValueError as error:  # no UTF-8, no columns, lines of different lengths
        raise SystemExit(f"{name}: {' '.join(str(error).split())}; {needed}") from None

"""Tables that people hand in: an archive's own annotations, labels that somebody corrected."""

from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pandas as pd

ROWS = 20_000  # of a part


def read_given(file: str | Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV of at least these columns, as a spreadsheet writes it: all of it text, what is empty the empty string.

    Raises SystemExit, with the name of the file, where it is none.
    """
    return pd.concat(read_parts(file, name, columns), ignore_index=True)


def read_parts(file: str | Path | BufferedIOBase, name: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """The same, some rows at a time, one part at least."""
    needed = f"it has to be a table in UTF-8, separated by commas, with the columns {', '.join(columns)}"
    try:
        for part in pd.read_csv(file, dtype="string", keep_default_na=False, chunksize=ROWS):
            if missing := [column for column in columns if column not in part]:
                raise SystemExit(f"{name} has no column {' and no column '.join(missing)}; {needed}")
            yield part
    except ValueError as error:  # no UTF-8, no columns, lines of different lengths
        raise SystemExit(f"{name}: {' '.join(str(error).split())}; {needed}") from None

"""Tables that people hand in: an archive's own annotations, labels that somebody corrected."""

import io
from pathlib import Path

import pandas as pd


def read_given(file: str | Path | io.BytesIO, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV of at least these columns, as a spreadsheet writes it: all of it text, what is empty the empty string.

    Raises SystemExit, with the name of the file, where it is none.
    """
    needed = f"it has to be a table in UTF-8, separated by commas, with the columns {', '.join(columns)}"
    try:
        table = pd.read_csv(file, dtype="string", keep_default_na=False)
    except ValueError as error:  # no UTF-8, no columns, lines of different lengths
        raise SystemExit(f"{name}: {' '.join(str(error).split())}; {needed}") from None
    if missing := [column for column in columns if column not in table]:
        raise SystemExit(f"{name} has no column {' and no column '.join(missing)}; {needed}")
    return table

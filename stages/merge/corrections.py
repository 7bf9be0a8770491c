"""Labels that somebody has corrected, by the sha256 of a file."""

import pandas as pd

from stages.merge.given import read_given

CORRECTIONS = "data/corrections.csv"
EXCLUDE = "exclude"  # in place of a label: the picture is unusable


def read_corrections(labels: set[str]) -> pd.Series:
    """What data/corrections.csv (columns sha256, label) says, by sha256.

    Raises SystemExit when it names a label that the sources do not have.
    """
    corrections = read_given(CORRECTIONS, CORRECTIONS, ("sha256", "label"))
    if unknown := sorted(set(corrections.label) - labels - {EXCLUDE}):
        raise SystemExit(f"{CORRECTIONS}: {', '.join(unknown)} is no label; there are {', '.join(sorted(labels))} and {EXCLUDE}")
    return corrections.drop_duplicates("sha256", keep="last").set_index("sha256").label


def correct(table: pd.DataFrame, corrections: pd.Series) -> pd.DataFrame:
    """Put corrected labels in place of the folders'; leave out what is excluded."""
    corrected = table.sha256.map(corrections)
    known = corrected.notna() & (table.reason == "")
    return table.assign(label=corrected.where(known, table.label))[~(known & (corrected == EXCLUDE))]

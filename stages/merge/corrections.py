"""Labels that somebody has corrected, by the sha256 of a file."""

import pandas as pd

from stages.merge.given import read_given

CORRECTIONS = "data/corrections.csv"
EXCLUDE = "exclude"  # in place of a label: the picture is unusable


def correct(table: pd.DataFrame, labels: set[str]) -> pd.DataFrame:
    """Put the labels of data/corrections.csv (columns sha256, label) in place of the folders'; leave out what it excludes.

    Raises SystemExit when it names a label that the sources do not have.
    """
    corrections = read_given(CORRECTIONS, CORRECTIONS, ("sha256", "label"))
    if unknown := sorted(set(corrections.label) - labels - {EXCLUDE}):
        raise SystemExit(f"{CORRECTIONS}: {', '.join(unknown)} is no label; there are {', '.join(sorted(labels))} and {EXCLUDE}")
    corrected = table.sha256.map(corrections.drop_duplicates("sha256", keep="last").set_index("sha256").label)
    known = corrected.notna() & (table.reason == "")
    return table.assign(label=corrected.where(known, table.label))[~(known & (corrected == EXCLUDE))]

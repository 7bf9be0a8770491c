"""Labels that somebody has corrected, by the sha256 of a file."""

from pathlib import Path

import pandas as pd

from stages.merge import shipped
from stages.merge.given import read_given

CORRECTIONS = "data/corrections.csv"
EXCLUDE = "exclude"  # in place of a label: the picture is unusable


class Corrections:
    """What data/corrections.csv says (columns sha256, label), and what archives ship, which it overrules."""

    def __init__(self, tables: dict[tuple[Path, str], str], labels: set[str]):
        """tables: (archive, member) -> kind, as shipped.find_tables has them. Raises SystemExit for a label that the sources do not have."""
        given = {}
        for (archive, member), kind in tables.items():
            if kind == shipped.CORRECTIONS:
                with shipped.open_table(archive, member) as file:
                    given[f"{archive}: {member}"] = read_given(file, f"{archive}: {member}", shipped.COLUMNS[kind])
        given[CORRECTIONS] = read_given(CORRECTIONS, CORRECTIONS, shipped.COLUMNS[shipped.CORRECTIONS])
        for name, rows in given.items():
            if unknown := sorted(set(rows.label) - labels - {EXCLUDE}):
                raise SystemExit(f"{name}: {', '.join(unknown)} is no label; there are {', '.join(sorted(labels))} and {EXCLUDE}")
        self._digests = {name: rows.sha256.unique() for name, rows in given.items() if len(rows)}
        self._labels = pd.concat(given.values()).drop_duplicates("sha256", keep="last").set_index("sha256").label
        self._met: set[str] = set()

    def correct(self, table: pd.DataFrame) -> pd.DataFrame:
        """Put corrected labels in place of the folders'; leave out what is excluded."""
        corrected = table.sha256.map(self._labels)
        self._met |= set(table.sha256[corrected.notna()])
        known = corrected.notna() & (table.reason == "")
        return table.assign(label=corrected.where(known, table.label))[~(known & (corrected == EXCLUDE))]

    def matched(self) -> dict[str, tuple[int, int]]:
        """Of each file that has rows: how many are of a picture that was met here, and how many there are."""
        return {name: (sum(digest in self._met for digest in digests), len(digests)) for name, digests in self._digests.items()}

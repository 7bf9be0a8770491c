"""Whether every class that the registry knows has pictures: one that is missing would be missing in all that follows."""

from collections import Counter

import pandas as pd

from stages.sources import Folders

SHOWN = 5  # folders without a label


class Classes:
    """Counts the usable and the rejected pictures of each source and class, as the folders name them."""

    def __init__(self):
        self._usable, self._rejected = Counter(), Counter()
        self._strange: dict[str, dict[str, None]] = {}

    def count(self, table: pd.DataFrame) -> None:
        """table: source, member, label and reason."""
        for counter, rows in ((self._usable, table[table.reason == ""]), (self._rejected, table[table.reason != ""])):
            counter.update(zip(rows.source, rows.label, strict=True))
        for row in table[table.reason == "no label"].itertuples():
            self._strange.setdefault(row.source, {})[row.member.rpartition("/")[0]] = None

    def check(self, sources: dict[str, Folders]) -> None:
        """Exit where all pictures of a class are rejected, however few they are; say where there were none."""
        for source, folders in sources.items():
            for label, aliases in folders.labels.items():
                if self._usable[source, label]:
                    continue
                if count := self._rejected[source, label]:
                    raise SystemExit(
                        f"{source}: all {count} pictures of {label} are rejected, so that the class would be missing; "
                        "data/merged/rejected.csv has the reasons"
                    )
                strange = [folder or "the top" for folder in self._strange.get(source, ())][:SHOWN]
                print(
                    f"WARNING: {source} has no picture of {label} (folders {', '.join(aliases)} in data/sources.yaml)"
                    + (f"; without a label are the pictures in {', '.join(strange)}" if strange else "")
                )

"""Labels by another name, for tasks that join classes: tumour against none, tumours whatever the contrast."""

import pandas as pd


def rename(table: pd.DataFrame, names: dict[str, str], labels: set[str]) -> pd.DataFrame:
    """The table with the column label renamed by data.labels, label -> new label; what it does not name stays.

    Raises SystemExit when it names a label that the sources do not have.
    """
    if unknown := sorted(names.keys() - labels):
        raise SystemExit(f"data.labels: {', '.join(unknown)} is no label; there are {', '.join(sorted(labels))}")
    return table.assign(label=[names.get(label, label) for label in table.label])

"""Which classes are taken for which, and whose pictures are predicted wrongly."""

import pandas as pd


def confusions(table: pd.DataFrame) -> list[dict]:
    """One entry a pair of classes that occurs among the errors, the most frequent first.

    actual, predicted, pictures, share (of the actual class's pictures), groups.
    """
    supports = table.label.value_counts()
    wrong = table[table.label != table.predicted]
    pairs = wrong.groupby(["label", "predicted"]).agg(pictures=("image_id", "size"), groups=("group", "nunique")).reset_index()
    pairs = pairs.sort_values(["pictures", "label", "predicted"], ascending=[False, True, True])
    return [
        {
            "actual": row.label,
            "predicted": row.predicted,
            "pictures": row.pictures,
            "share": row.pictures / supports[row.label],
            "groups": row.groups,
        }
        for row in pairs.itertuples()
    ]


def by_group(table: pd.DataFrame) -> list[dict]:
    """One entry a group: most errors first, then the lowest accuracy.

    name (its patients, else its number), labels, pictures, wrong, accuracy, taken_for (the wrong predictions, the most frequent first).
    """
    groups = []
    for number, rows in table.groupby("group"):
        wrong = rows[rows.label != rows.predicted]
        taken_for = wrong.predicted.value_counts().rename_axis("name").reset_index().sort_values(["count", "name"], ascending=[False, True])
        groups.append(
            {
                "name": " + ".join(sorted(set(rows.patient) - {""})) or f"group {number}",
                "labels": sorted(set(rows.label)),
                "pictures": len(rows),
                "wrong": len(wrong),
                "accuracy": 1 - len(wrong) / len(rows),
                "taken_for": taken_for.name.tolist(),
            }
        )
    return sorted(groups, key=lambda one: (-one["wrong"], one["accuracy"], one["name"]))

"""Divide the pictures into folds by one of four protocols, and audit what stands on both sides."""

import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, FOLDS, read_table, write_metrics, write_table
from stages.params import load_params
from stages.protocols import make_folds
from stages.split.audit import audit, violations


def main() -> None:
    params = load_params().split
    table = read_table(CATALOG).drop(columns=["plane", "patient"]).merge(read_table(CLUSTERS), on="image_id", validate="one_to_one")

    if table.label[table.kept].nunique() == 1:
        raise SystemExit(
            f"all pictures are of one class, {table.label.iloc[0]}, and there is nothing to tell apart; "
            "check data.labels in params.yaml and the folders in data/sources.yaml"
        )

    # What must not be torn apart; "patient" is the group of dedupe: patients, copies and close neighbours joined.
    table["unit"] = {"patient": table.group, "cluster": table.cluster, "none": pd.Series(range(len(table)))}[params.group_by]
    folds, excluded = make_folds(table, params)

    write_table(folds[["image_id", "fold", "role"]], FOLDS)
    placed = folds.merge(table, on="image_id")
    report = {
        "protocol": params.protocol,
        "group_by": params.group_by,
        "pictures": folds.image_id.nunique(),
        "folds": folds.fold.nunique(),
        "excluded": excluded,
        **audit(placed),
    }
    write_metrics(report, "metrics/split.json")

    torn = violations(placed)
    if len(torn):
        raise SystemExit(
            f"split.group_by={params.group_by} is violated: {len(torn)} units stand on both sides, the first in fold and unit {torn[0]}"
        )
    leaks = report["leaks"]
    print(
        f"{report['pictures']} pictures in {report['folds']} fold(s); test pictures also in training: {leaks['test_pictures']} "
        f"({leaks['test_pictures_mirrored']} of them mirrored), patients on both sides: {leaks['patients']}"
    )


if __name__ == "__main__":
    main()

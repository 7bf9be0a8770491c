"""Even out the planes of a class in the training part of each fold, after franceschin et al., "Unbalanced data"."""

import pandas as pd

from stages.balance.planes import add_copies, plane_weights, shares
from stages.catalog import CATALOG, CLUSTERS, FOLDS, SAMPLES, read_table, write_metrics, write_table
from stages.params import load_params


def main() -> None:
    params = load_params().balance
    table = read_table(FOLDS).merge(read_table(CATALOG)[["image_id", "label"]], on="image_id")
    table = table.merge(read_table(CLUSTERS)[["image_id", "plane"]], on="image_id")
    table = table.assign(origin=table.image_id, change="", weight=1.0)

    training = [rows for _, rows in table[table.role == "train"].groupby("fold")]
    if params.method == "planes":
        training = [add_copies(rows, params.shift, params.rotations) for rows in training]
    elif params.method == "weights":
        training = [rows.assign(weight=plane_weights(rows)) for rows in training]
    samples = pd.concat([table[table.role != "train"], *training]).sort_values(["fold", "image_id"], ignore_index=True)

    write_table(samples[["fold", "role", "image_id", "label", "origin", "change", "weight"]], SAMPLES)
    generated = samples[samples.change != ""]
    write_metrics(
        {
            "method": params.method,
            "training_images": int((samples.role == "train").sum()),
            "generated": len(generated),
            "generated_cells": {f"{label} {plane}": len(rows) for (label, plane), rows in generated.groupby(["label", "plane"])},
            "shares_before": _readable(table[table.role == "train"]),
            "shares_after": _readable(samples[samples.role == "train"]),
        },
        "metrics/balance.json",
    )
    print(f"balance.method={params.method}: {len(generated)} training images generated in {samples.fold.nunique()} fold(s)")


def _readable(rows: pd.DataFrame) -> dict:
    return {label: row.round(4).to_dict() for label, row in shares(rows).iterrows()}


if __name__ == "__main__":
    main()

"""Where the model fails: the test predictions by plane, source, size, contrast, tumour area and group, and which classes it takes for which.

Writes metrics/slices.json (slices, confusion pairs, groups with errors; the worst first in each) and metrics/slices.csv (every
slice and every group, a row each).
"""

import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, PREDICTIONS, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.params import load_params
from stages.predictions import Predictions
from stages.slices.dimensions import dimensions
from stages.slices.errors import by_group, confusions
from stages.slices.metrics import by_slice, to_table


def main() -> None:
    params = load_params()
    tested = read_table(PREDICTIONS)
    clusters = read_table(CLUSTERS)[["image_id", "cluster", "group", "patient", "plane"]]
    catalog = read_table(CATALOG)[["image_id", "source", "member", "width", "height", "tumour_area"]]
    known = clusters.merge(catalog, on="image_id", how="left")
    # The copy that is predicted may be another than the one that has a mask.
    known["tumour_area"] = pd.to_numeric(known.tumour_area, errors="coerce").groupby(known.cluster).transform("max")
    table = tested.merge(known, on="image_id", how="left")
    if table[["group", "source"]].isna().any(axis=None):
        raise SystemExit(f"{PREDICTIONS} holds pictures that {CATALOG} or {CLUSTERS} does not know: run `dvc repro`")

    predictions = Predictions.from_table(tested, clusters.set_index("image_id").group)
    slices = by_slice(predictions, dimensions(table), params.aggregate.resamples, params.aggregate.seed)
    groups = by_group(table)
    pairs = confusions(table)
    report = {"demonstration": is_demonstration(), "slices": slices, "confusions": pairs}
    write_metrics(report | {"groups": [group for group in groups if group["wrong"]]}, "metrics/slices.json")
    write_table(to_table(slices, groups), "metrics/slices.csv")

    for worst in slices[:3]:
        print(f"{worst['by']} {worst['slice']}: macro-F1 {worst['macro_f1']['value']:.3f} of {worst['pictures']} pictures")


if __name__ == "__main__":
    main()

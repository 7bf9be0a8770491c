"""Score the predictions of any model, trained wherever and however, on the pipeline's folds.

python -m tools.score predictions.csv

The table has a row a test picture and fold of data/split/folds.csv: image_id, fold, and p_<class>, the probability of each class. What else stands
there is not read; labels are the catalog's. Printed are the figures of metrics/summary.json, and a paired comparison with data/predictions.csv if that is there.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from stages.aggregate.patients import of_patients
from stages.bootstrap import summarise
from stages.catalog import CATALOG, CLUSTERS, FOLDS, PREDICTIONS, read_table
from stages.params import load_params
from stages.predictions import Predictions
from stages.scores import CLASS_METRICS, METRICS
from tools.compare import compare, read_predictions, to_markdown
from tools.readme import metrics_of

SPLIT = Path("metrics/split.json")
KEY = ["image_id", "fold"]
TOLERANCE = 0.01  # by which probabilities may miss 1, as those of two decimals or in half precision do


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("predictions", type=Path, help="a CSV file")
    path = parser.parse_args().predictions
    if missing := [str(needed) for needed in (FOLDS, CATALOG, CLUSTERS, SPLIT) if not needed.exists()]:
        sys.exit(f"{', '.join(missing)}: not there; run `dvc repro split` first")

    params, split = load_params(), json.loads(SPLIT.read_text(encoding="utf-8"))
    test, classes = test_pictures()
    try:
        table = read_table(path)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: no table that can be read ({str(error).strip()})")
    if found := mistakes(table, test, classes):
        sys.exit("\n".join(f"{path}: {mistake}" for mistake in found))

    predictions = test.merge(table[[*KEY, *columns(classes)]], on=KEY, validate="one_to_one")
    clusters = read_table(CLUSTERS)
    summary = summary_of(predictions, clusters, classes, params.aggregate.resamples, params.aggregate.seed, params.evaluate.bins)
    print(
        f"{summary['pictures']:,} pictures of {summary['groups']} groups, {summary['folds']} fold(s); split.protocol={split['protocol']}, "
        f"split.group_by={split['group_by']}: {split['leaks']['test_pictures']} test pictures in training, {split['leaks']['patients']} patients on both sides.\n"
    )
    print(metrics_of(summary))
    if PREDICTIONS.exists():
        result = compare(
            str(path), *read_predictions("workspace"), predictions, clusters, params.aggregate.resamples, params.aggregate.seed
        )
        print(f"\n{to_markdown(str(PREDICTIONS), [result])}")


def test_pictures() -> tuple[pd.DataFrame, list[str]]:
    """Columns image_id, fold, label, a row for each picture that is to be predicted, in the pipeline's order; and the classes."""
    folds = read_table(FOLDS).merge(read_table(CATALOG)[["image_id", "label"]], on="image_id")
    test = folds[folds.role == "test"].sort_values(["fold", "image_id"], ignore_index=True)
    return test[[*KEY, "label"]], sorted(folds.label.unique())


def columns(classes: list[str]) -> list[str]:
    return [f"p_{name}" for name in classes]


def mistakes(table: pd.DataFrame, test: pd.DataFrame, classes: list[str]) -> list[str]:
    """A line for each kind of mistake in a table of predictions; none if it can be scored. test, classes: of test_pictures."""
    expected = [*KEY, *columns(classes)]
    if absent := [name for name in expected if name not in table]:
        return [f"has no column {', '.join(absent)}; it needs {', '.join(expected)}"]
    lines = []
    if foreign := [name for name in table if name.startswith("p_") and name not in expected]:
        lines.append(f"{', '.join(foreign)}: no class of the pictures, which are {', '.join(classes)}")

    def told(rows: pd.DataFrame, what: str) -> None:
        if len(rows):
            lines.append(f"{len(rows)} {what}, the first {rows.image_id.iloc[0]} in fold {rows.fold.iloc[0]}")

    # As text, since a fold that is no number must not keep the rows from being told apart.
    given, wanted = (pd.MultiIndex.from_frame(one[KEY].astype(str)) for one in (table, test))
    told(test[~wanted.isin(given)], f"of {len(test)} test pictures missing")
    told(table[~given.isin(wanted)], f"rows that are no test picture of their fold in {FOLDS}")
    told(table[given.duplicated()], "rows that are there already")

    p = table[columns(classes)].apply(pd.to_numeric, errors="coerce").to_numpy(float, na_value=np.nan)
    valid = ((p >= 0) & (p <= 1)).all(1)
    told(table[~valid], "rows whose probabilities are no numbers from 0 to 1")
    told(table[valid & (np.abs(p.sum(1) - 1) > TOLERANCE)], "rows whose probabilities do not add up to 1")
    return lines


def summary_of(predictions: pd.DataFrame, clusters: pd.DataFrame, classes: list[str], resamples: int, seed: int, bins: int) -> dict:
    """As metrics/summary.json, without seeds. predictions: a row a test picture and fold."""
    arrays = Predictions.from_table(predictions, clusters.set_index("image_id").group)
    scores = summarise(arrays, resamples, seed, bins)
    return {
        "pictures": predictions.image_id.nunique(),
        "groups": len(np.unique(arrays.groups)),
        "folds": predictions.fold.nunique(),
        **{name: scores[name] for name in METRICS},
        "classes": {name: {metric: scores[f"{name}.{metric}"] for metric in CLASS_METRICS if metric != "support"} for name in classes},
        "patients": of_patients(predictions, clusters, resamples, seed),
    }


if __name__ == "__main__":
    main()

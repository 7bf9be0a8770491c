"""Ask what a model reaches that sees no anatomy: only a picture's file properties, its grey levels, its border, or all of these.

Gradient-boosted trees on the folds of the split stage, so what it is scored on and trained on is what the network gets; writes metrics/shortcuts.json.
"""

import numpy as np

from stages.bootstrap import summarise
from stages.catalog import CATALOG, CLUSTERS, FOLDS, read_table, write_metrics
from stages.demonstration import is_demonstration
from stages.params import load_params
from stages.predictions import Predictions
from stages.shortcuts.boosting import fit, importance, predict
from stages.shortcuts.features import FEATURES, describe

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


def main() -> None:
    params = load_params()
    catalog, folds = read_table(CATALOG), read_table(FOLDS)
    used = catalog.image_id.isin(folds.image_id).to_numpy(bool)
    features = describe(catalog[used], np.load(CATALOG.with_name("thumbnails.npy"), mmap_mode="r")[used])
    labels = catalog.set_index("image_id").label
    classes = sorted(labels[folds.image_id].unique())

    test = folds[folds.role == "test"]
    truth, fold = labels[test.image_id].map(classes.index).to_numpy(int), test.fold.to_numpy(int)
    groups = read_table(CLUSTERS).set_index("image_id").group[test.image_id].to_numpy(int)

    probes: dict[str, dict] = {}
    pixels = FEATURES["intensity"] + FEATURES["border"]  # all that is left of these once every picture has one size and mode
    every = FEATURES["file"] + pixels
    for probe, names in {"nothing": [], **FEATURES, "intensity_and_border": pixels, "all": every}.items():
        models = fit(features[names], labels, folds)
        predictions = Predictions(classes, truth, predict(models, features[names], folds, classes), fold, groups)
        scores = summarise(predictions, params.aggregate.resamples, params.aggregate.seed, bins=1)
        probes[probe] = {"features": names} | {metric: scores[metric] for metric in METRICS}
    report = {"demonstration": is_demonstration(), "pictures": test.image_id.nunique()}
    report |= {"groups": len(np.unique(groups)), "folds": test.fold.nunique(), "probes": probes}
    report["importance"] = importance(models, features[every], labels, folds)
    write_metrics(report, "metrics/shortcuts.json")
    print("accuracy of trees that see " + ", ".join(f"{name}: {probe['accuracy']['mean']:.3f}" for name, probe in probes.items()))


if __name__ == "__main__":
    main()

"""Fit a temperature a fold on its validation pictures, and measure on the test pictures what it changes.

Reads data/validation_predictions.csv and data/predictions.csv; writes data/calibration.json (fold -> temperature),
metrics/calibration.json (before and after) and the reliability and abstention curves.
"""

import json

import numpy as np

from stages.bootstrap import draw_groups, summarise
from stages.calibrate import abstention, temperature
from stages.catalog import CALIBRATION, CLUSTERS, PREDICTIONS, VALIDATION_PREDICTIONS, read_table, write_metrics, write_table
from stages.params import load_params
from stages.predictions import class_names, to_arrays
from stages.scores import reliability

FIGURES = ("ece", "brier", "macro_auroc")
ANSWERED = (0.95, 0.9, 0.8)


def main() -> None:
    params = load_params()
    test, validation = read_table(PREDICTIONS), read_table(VALIDATION_PREDICTIONS)
    classes = class_names(test)
    temperatures = {int(fold): temperature.fit(*to_arrays(rows, classes)) for fold, rows in validation.groupby("fold")}
    CALIBRATION.write_text(json.dumps({f"fold-{fold}": round(t, 6) for fold, t in temperatures.items()}, indent=2) + "\n")

    labels, before = to_arrays(test, classes)
    after = temperature.apply(before, test.fold.map(temperatures).to_numpy(float))
    groups = test.image_id.map(read_table(CLUSTERS).set_index("image_id").group).to_numpy()
    draws, codes = draw_groups(groups, params.aggregate.resamples, params.aggregate.seed)
    figures = {}
    for name, probabilities in (("before", before), ("after", after)):
        scored = summarise(labels, probabilities, test.fold.to_numpy(int), draws, codes, classes, params.evaluate.bins)
        cross_entropy = -np.log(probabilities[np.arange(len(labels)), labels].clip(temperature.SMALLEST)).mean()
        figures[name] = {figure: scored[figure] for figure in FIGURES} | {"cross_entropy": cross_entropy}

    answered = abstention.curve(labels, after, classes)
    write_table(answered, "metrics/plots/abstention.csv")
    write_table(reliability(labels, after, params.evaluate.bins), "metrics/plots/calibration.csv")
    overall = answered[answered["class"] == "all"].set_index("answered")
    write_metrics(
        {
            "temperature": {f"fold {fold}": value for fold, value in temperatures.items()},
            **figures,
            "accuracy_of_answers": {f"{share:.0%} answered": overall.accuracy[share] for share in (1.0, *ANSWERED)},
        },
        "metrics/calibration.json",
    )
    print(
        f"temperatures {min(temperatures.values()):.2f} to {max(temperatures.values()):.2f}; "
        f"ECE {figures['before']['ece']['mean']:.3f} before, {figures['after']['ece']['mean']:.3f} after; "
        f"accuracy {overall.accuracy[1.0]:.3f}, {overall.accuracy[0.9]:.3f} if a tenth is left to a human"
    )


if __name__ == "__main__":
    main()

"""Fit one temperature on the validation pictures of all folds, and measure on the test pictures what it changes.

Reads data/validation_predictions.csv and data/predictions.csv; writes data/calibration.json (the temperature),
metrics/calibration.json (before and after) and the reliability and abstention curves.
"""

from stages.bootstrap import draw_groups, summarise
from stages.calibrate import abstention, temperature
from stages.catalog import CALIBRATION, CLUSTERS, PREDICTIONS, VALIDATION_PREDICTIONS, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.params import load_params
from stages.predictions import class_names, to_arrays
from stages.scores import reliability

FIGURES = ("ece", "brier", "macro_auroc")
ANSWERED = (0.95, 0.9, 0.8)


def main() -> None:
    params = load_params()
    test, validation = read_table(PREDICTIONS), read_table(VALIDATION_PREDICTIONS)
    classes = class_names(test)
    group = read_table(CLUSTERS).set_index("image_id").group
    chosen, *cross_entropy = temperature.choose(*to_arrays(validation, classes), validation.image_id.map(group).to_numpy())
    write_metrics({"temperature": chosen}, CALIBRATION)

    labels, before = to_arrays(test, classes)
    after = temperature.apply(before, chosen)
    draws, codes = draw_groups(test.image_id.map(group).to_numpy(), params.aggregate.resamples, params.aggregate.seed)
    figures = {}
    for name, probabilities, t in (("before", before, 1), ("after", after, chosen)):
        scored = summarise(labels, probabilities, test.fold.to_numpy(int), draws, codes, classes, params.evaluate.bins)
        loss = temperature.losses(labels, before, t).mean()
        figures[name] = {figure: scored[figure] for figure in FIGURES} | {"cross_entropy": loss}

    answered = abstention.curve(labels, after, classes)
    write_table(answered, "metrics/plots/abstention.csv")
    write_table(reliability(labels, after, params.evaluate.bins), "metrics/plots/calibration.csv")
    overall = answered[answered["class"] == "all"].set_index("answered")
    write_metrics(
        {
            "demonstration": is_demonstration(),
            "temperature": chosen,
            "validation_cross_entropy": dict(zip(("before", "after"), cross_entropy, strict=True)),
            **figures,
            "accuracy_of_answers": {f"{share:.0%} answered": overall.accuracy[share] for share in (1.0, *ANSWERED)},
        },
        "metrics/calibration.json",
    )
    print(
        f"temperature {chosen:.2f}; "
        f"ECE {figures['before']['ece']['mean']:.3f} before, {figures['after']['ece']['mean']:.3f} after; "
        f"accuracy {overall.accuracy[1.0]:.3f}, {overall.accuracy[0.9]:.3f} if a tenth is left to a human"
    )


if __name__ == "__main__":
    main()

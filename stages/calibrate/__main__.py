"""Fit one temperature and the thresholds of prediction sets on the validation pictures of all folds, and measure on the test pictures what they do.

Reads data/validation_predictions.csv and data/predictions.csv; writes data/calibration.json (temperature and thresholds),
metrics/calibration.json (before and after, coverage and size of the sets) and the reliability and abstention curves.
"""

from dataclasses import replace

from stages.bootstrap import summarise
from stages.calibrate import abstention, prediction_sets, temperature
from stages.catalog import CALIBRATION, CLUSTERS, PREDICTIONS, VALIDATION_PREDICTIONS, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.params import load_params
from stages.predictions import Predictions
from stages.scores import reliability

METRICS = ("ece", "brier", "macro_auroc")
ANSWERED = (0.95, 0.9, 0.8)


def main() -> None:
    params = load_params()
    group_of = read_table(CLUSTERS).set_index("image_id").group
    test, validation = (Predictions.from_table(read_table(path), group_of) for path in (PREDICTIONS, VALIDATION_PREDICTIONS))
    choice = temperature.choose(validation.labels, validation.probabilities, validation.groups)
    chosen = choice.temperature
    scaled, of_validation = (replace(one, probabilities=temperature.apply(one.probabilities, chosen)) for one in (test, validation))
    thresholds = {f"{coverage:g}": prediction_sets.threshold(of_validation, coverage) for coverage in prediction_sets.COVERAGES}
    write_metrics({"temperature": chosen, "thresholds": thresholds}, CALIBRATION)
    sets = {f"{coverage:g}": prediction_sets.measure(scaled, of_validation, coverage) for coverage in prediction_sets.COVERAGES}

    metrics = {}
    for name, predictions, t in (("before", test, 1), ("after", scaled, chosen)):
        scored = summarise(predictions, params.aggregate.resamples, params.aggregate.seed, params.evaluate.bins)
        loss = temperature.losses(test.labels, test.probabilities, t).mean()
        metrics[name] = {metric: scored[metric] for metric in METRICS} | {"cross_entropy": loss}

    answered = abstention.curve(scaled)
    write_table(answered, "metrics/plots/abstention.csv")
    write_table(reliability(scaled.labels, scaled.probabilities, params.evaluate.bins), "metrics/plots/calibration.csv")
    overall = answered[answered["class"] == "all"].set_index("answered")
    write_metrics(
        {
            "demonstration": is_demonstration(),
            "temperature": chosen,
            "validation_cross_entropy": {"before": choice.before, "after": choice.after, "standard_error": choice.standard_error},
            **metrics,
            "prediction_sets": sets,
            "accuracy_of_answers": {f"{share:.0%} answered": overall.accuracy[share] for share in (1.0, *ANSWERED)},
        },
        "metrics/calibration.json",
    )
    print(
        f"temperature {chosen:.2f}; "
        f"ECE {metrics['before']['ece']['mean']:.3f} before, {metrics['after']['ece']['mean']:.3f} after; "
        f"accuracy {overall.accuracy[1.0]:.3f}, {overall.accuracy[0.9]:.3f} if a tenth is left to a human\n"
        + "\n".join(
            f"sets made to hold the label of {float(coverage):.0%}: of {found['of_groups']:.3f} over groups, {found['size']:.2f} classes on average"
            for coverage, found in sets.items()
        )
    )


if __name__ == "__main__":
    main()

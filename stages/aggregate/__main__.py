"""Sum the folds up: every metric's mean, spread and 95 % interval, of images and of patients, as metrics/summary.json and as a table on the screen.

Where there are several seeds, the metrics of the whole also have seed_mean and seed_std: of each seed's models alone, over the seeds.
"""

import json
from pathlib import Path

import numpy as np

from stages.aggregate.patients import of_patients
from stages.aggregate.table import to_text
from stages.bootstrap import summarise
from stages.catalog import CLUSTERS, PREDICTIONS, read_table, write_metrics
from stages.demonstration import is_demonstration
from stages.params import load_params
from stages.predictions import Predictions
from stages.scores import CLASS_METRICS, METRICS

SUMMARY = "metrics/summary.json"


def main() -> None:
    params = load_params()
    table = read_table(PREDICTIONS)
    clusters = read_table(CLUSTERS)
    predictions = Predictions.from_table(table, clusters.set_index("image_id").group)
    metrics = summarise(predictions, params.aggregate.resamples, params.aggregate.seed, params.evaluate.bins)
    seeds = json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8"))["seeds"].values()
    summary = {
        "demonstration": is_demonstration(),
        "pictures": table.image_id.nunique(),
        "groups": len(np.unique(predictions.groups)),
        "folds": len(np.unique(predictions.folds)),
        "seeds": len(seeds),
    }
    summary |= {name: metrics[name] | _over_seeds([alone[name] for alone in seeds]) for name in METRICS}
    summary["classes"] = {
        name: {metric: metrics[f"{name}.{metric}"] for metric in CLASS_METRICS if metric != "support"} for name in predictions.classes
    }
    summary["patients"] = of_patients(table, clusters, params.aggregate.resamples, params.aggregate.seed)
    write_metrics(summary, SUMMARY)
    print(to_text(summary))


def _over_seeds(values: list[float | None]) -> dict[str, float | None]:
    """seed_mean and seed_std (of the sample); nothing for a single seed, which has no spread."""
    if len(values) == 1:
        return {}
    defined = [value for value in values if value is not None]
    return {
        "seed_mean": float(np.mean(defined)) if defined else None,
        "seed_std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
    }


if __name__ == "__main__":
    main()

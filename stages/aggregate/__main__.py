"""Sum the folds up: every figure's mean, spread and 95 % interval, as metrics/summary.json and as a table on the screen."""

from stages.aggregate.table import to_text
from stages.bootstrap import draw_groups, summarise
from stages.catalog import CLUSTERS, PREDICTIONS, read_table, write_metrics
from stages.params import load_params
from stages.predictions import class_names, to_arrays
from stages.scores import CLASS_METRICS, METRICS

SUMMARY = "metrics/summary.json"


def main() -> None:
    params = load_params()
    predictions, clusters = read_table(PREDICTIONS), read_table(CLUSTERS)
    classes = class_names(predictions)
    groups = predictions.image_id.map(clusters.set_index("image_id").group)
    if groups.isna().any():
        raise SystemExit(f"{PREDICTIONS} holds pictures that {CLUSTERS} does not know: run `dvc repro`")

    draws, codes = draw_groups(groups.to_numpy(), params.aggregate.resamples, params.aggregate.seed)
    labels, probabilities = to_arrays(predictions, classes)
    figures = summarise(
        labels=labels,
        probabilities=probabilities,
        folds=predictions.fold.to_numpy(int),
        draws=draws,
        codes=codes,
        classes=classes,
        bins=params.evaluate.bins,
    )
    summary = {
        "demonstration": bool(clusters.image_id.str.startswith("phantom/").any()),
        "pictures": predictions.image_id.nunique(),
        "groups": groups.nunique(),
        "folds": predictions.fold.nunique(),
    }
    summary |= {name: figures[name] for name in METRICS}
    summary |= {name: {metric: figures[f"{name}.{metric}"] for metric in CLASS_METRICS if metric != "support"} for name in classes}
    write_metrics(summary, SUMMARY)
    print(to_text(summary))


if __name__ == "__main__":
    main()

"""Predict every fold's test pictures with that fold's models, and score them.

Reads data/models, data/balanced/samples.csv and data/preprocessed; writes data/predictions.csv, metrics/evaluate.json
and the tables behind the plots, metrics/plots/*.csv. Where a fold was trained from several seeds, its probabilities are the
mean over their models; metrics/evaluate.json scores each fold so ("folds"), and each seed's models alone, averaged over the
folds ("seeds"). The validation pictures are predicted too, for calibration, and not scored.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from stages.catalog import (
    MODELS,
    PIXELS,
    PREDICTIONS,
    SAMPLES,
    VALIDATION_PREDICTIONS,
    model_file,
    pixel_rows,
    read_table,
    write_metrics,
    write_table,
)
from stages.demonstration import is_demonstration
from stages.evaluate import curves, inference, overview
from stages.model import load_state, recreate_model
from stages.params import load_params
from stages.scores import METRICS, defined_mean, or_null, reliability, score

PLOTS = Path("metrics/plots")


def main() -> None:
    params = load_params()
    demonstration = is_demonstration()
    about = json.loads((MODELS / "model.json").read_text(encoding="utf-8"))
    classes, seeds = about["classes"], about["seeds"]
    pixels = np.load(PIXELS, mmap_mode="r")
    samples = read_table(SAMPLES)
    pictures = samples[samples.role != "train"].sort_values(["fold", "image_id"], ignore_index=True)
    rows = pictures.image_id.map(pixel_rows()).to_numpy(int)
    if unknown := sorted(set(pictures.label) - set(classes)):
        raise SystemExit(f"split: the test pictures hold {', '.join(unknown)}, but the models were trained on {', '.join(classes)} only")

    model = recreate_model(about)
    by_seed = np.empty((len(seeds), len(pictures), len(classes)))
    with tqdm(total=len(seeds) * len(pictures), unit="picture", desc="evaluate", disable=None) as progress:
        for (fold, mine), (number, seed) in product(pictures.groupby("fold"), enumerate(seeds)):
            load_state(model, load_file(MODELS / model_file(fold, seed)))
            predicted = []
            for batch in inference.probabilities(
                model, pixels, rows[mine.index], about["mean"], about["std"], params.evaluate.flips, params.evaluate.zoom
            ):
                if not np.isfinite(batch).all():
                    raise SystemExit(
                        f"Fold {fold}, seed {seed}: the model's outputs are not numbers; train it again with a smaller train.lr"
                    )
                predicted.append(batch)
                progress.update(len(batch))
            by_seed[number, mine.index] = np.concatenate(predicted)

    # Rounded first: whoever reads the tables computes the same figures as here.
    probabilities = by_seed.mean(0).round(6)
    guesses = np.array(classes)[probabilities.argmax(1)]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    table = pictures[["image_id", "fold", "label"]].assign(predicted=guesses, **columns)
    of_test = (pictures.role == "test").to_numpy()
    test, probabilities, by_seed = table[of_test], probabilities[of_test], by_seed[:, of_test].round(6)
    write_table(test, PREDICTIONS)
    write_table(table[~of_test], VALIDATION_PREDICTIONS)

    labels = np.array([classes.index(label) for label in test.label])
    folds = {fold: (test.fold == fold).to_numpy() for fold in test.fold.unique()}

    def scores(p: np.ndarray) -> list[dict]:
        return [score(labels[mine], p[mine], classes, params.evaluate.bins) for mine in folds.values()]

    write_metrics(
        {
            "demonstration": demonstration,
            "folds": {
                f"fold {fold}": {"pictures": mine.sum()} | {name: or_null(figures[name]) for name in METRICS}
                for (fold, mine), figures in zip(folds.items(), scores(probabilities), strict=True)
            },
            "seeds": {f"seed {seed}": _mean(scores(alone)) for seed, alone in zip(seeds, by_seed, strict=True)},
        },
        "metrics/evaluate.json",
    )

    roc, precision_recall = curves.roc(labels, probabilities, classes), curves.precision_recall(labels, probabilities, classes)
    reliability_table = reliability(labels, probabilities, params.evaluate.bins)
    write_table(pd.DataFrame({"actual": test.label, "predicted": test.predicted}), PLOTS / "confusion.csv")
    write_table(roc, PLOTS / "roc.csv")
    write_table(precision_recall, PLOTS / "precision_recall.csv")
    write_table(reliability_table, PLOTS / "reliability.csv")
    confusion = confusion_matrix(labels, probabilities.argmax(1), labels=range(len(classes)))
    overview.draw(confusion, roc, precision_recall, reliability_table, classes, demonstration, PLOTS / "overview.png")


def _mean(folds: list[dict]) -> dict[str, float | None]:
    """METRICS of each fold -> their mean over the folds."""
    return {name: or_null(defined_mean(np.array([figures[name] for figures in folds]))) for name in METRICS}


if __name__ == "__main__":
    main()

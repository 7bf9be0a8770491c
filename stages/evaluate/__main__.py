"""Predict every fold's test pictures with that fold's model, and score them.

Reads data/models, data/balanced/samples.csv and data/preprocessed; writes data/predictions.csv, metrics/evaluate.json
(one entry a fold) and the tables behind the plots, metrics/plots/*.csv.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from stages.catalog import INDEX, PIXELS, PREDICTIONS, SAMPLES, read_table, write_metrics, write_table
from stages.evaluate import curves, inference, overview
from stages.model import create_model, load_state
from stages.params import load_params
from stages.scores import METRICS, or_null, score

MODELS = Path("data/models")
PLOTS = Path("metrics/plots")


def main() -> None:
    params = load_params().evaluate
    about = json.loads((MODELS / "model.json").read_text())
    classes = about["classes"]
    pixels = np.load(PIXELS, mmap_mode="r")
    row_of = {image_id: row for row, image_id in enumerate(read_table(INDEX).image_id)}
    samples = read_table(SAMPLES)
    test = samples[samples.role == "test"].sort_values(["fold", "image_id"], ignore_index=True)
    if unknown := sorted(set(test.label) - set(classes)):
        raise SystemExit(f"split: the test pictures hold {', '.join(unknown)}, but the models were trained on {', '.join(classes)} only")

    model = create_model(about["backbone"], len(classes), about["dropout"], about["image_size"])
    predicted = []
    with tqdm(total=len(test), unit="picture", desc="evaluate", disable=None) as progress:
        for fold, pictures in test.groupby("fold"):
            load_state(model, load_file(MODELS / f"fold-{fold}.safetensors"))
            rows = pictures.image_id.map(row_of).to_numpy(int)
            for batch in inference.probabilities(model, pixels, rows, about["mean"], about["std"], params.flips):
                if not np.isfinite(batch).all():
                    raise SystemExit(f"Fold {fold}: the model's outputs are not numbers; train it again with a smaller train.lr")
                predicted.append(batch)
                progress.update(len(batch))

    # Rounded first: whoever reads the table computes the same figures as here.
    probabilities = np.concatenate(predicted).astype(float).round(6)
    labels = np.array([classes.index(label) for label in test.label])
    guesses = np.array(classes)[probabilities.argmax(1)]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    write_table(test[["image_id", "fold", "label"]].assign(predicted=guesses, **columns), PREDICTIONS)

    folds = {}
    for fold in test.fold.unique():
        mine = (test.fold == fold).to_numpy()
        scores = score(labels[mine], probabilities[mine], classes, params.bins)
        folds[f"fold {fold}"] = {"pictures": mine.sum()} | {name: or_null(scores[name]) for name in METRICS}
    write_metrics(folds, "metrics/evaluate.json")

    roc, precision_recall = curves.roc(labels, probabilities, classes), curves.precision_recall(labels, probabilities, classes)
    reliability = curves.reliability(labels, probabilities, params.bins)
    write_table(pd.DataFrame({"actual": test.label, "predicted": guesses}), PLOTS / "confusion.csv")
    write_table(roc, PLOTS / "roc.csv")
    write_table(precision_recall, PLOTS / "precision_recall.csv")
    write_table(reliability, PLOTS / "reliability.csv")
    confusion = confusion_matrix(labels, probabilities.argmax(1), labels=range(len(classes)))
    overview.draw(confusion, roc, precision_recall, reliability, classes, PLOTS / "overview.png")


if __name__ == "__main__":
    main()

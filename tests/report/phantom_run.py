"""The results of a run on the synthetic set, without the training: what the report shows."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from synthetic import set_params

from stages.aggregate.__main__ import main as aggregate
from stages.catalog import PREDICTIONS, SAMPLES, read_table, write_metrics, write_table
from stages.evaluate import curves
from stages.scores import METRICS, or_null, reliability, score
from stages.slices.__main__ import main as slices
from stages.weights.__main__ import main as weights

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]


def lay_out_run(project: Path) -> None:
    """In the working directory: what the stages up to preprocess wrote into another folder, and what a training would have added."""
    Path("data").mkdir()
    for path in (project / "data").iterdir():
        Path("data", path.name).symlink_to(path)
    shutil.copy(project / "params.yaml", "params.yaml")
    set_params(model__backbone="mobilenetv3_small_050", model__weights="none", aggregate__resamples=200)
    weights()
    write_history(epochs=3)
    write_predictions(right=0.8)


def write_history(epochs: int, folds: int = 5) -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "fold": fold,
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1.2 / epoch + random.random() / 10,
            "validation_macro_f1": 1 - random.random() / epoch,
            "kept": epoch == epochs,
        }
        for fold in range(folds)
        for epoch in range(1, epochs + 1)
    ]
    write_table(pd.DataFrame(rows), "metrics/plots/history.csv")


def write_predictions(right: float) -> None:
    """Probabilities of a model that is right with this probability, and what evaluate, aggregate and slices make of them."""
    samples = read_table(SAMPLES)
    test = samples[samples.role == "test"].sort_values(["fold", "image_id"], ignore_index=True)
    random = np.random.default_rng(0)
    labels = test.label.map(CLASSES.index).to_numpy(int)
    top = np.where(random.random(len(test)) < right, labels, (labels + random.integers(1, 4, len(test))) % 4)
    probabilities = random.dirichlet(np.ones(4), len(test)) + 3 * random.random((len(test), 1)) * np.eye(4)[top] + np.eye(4)[top]
    probabilities = (probabilities / probabilities.sum(1, keepdims=True)).round(6)
    predicted = np.array(CLASSES)[probabilities.argmax(1)]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)}
    write_table(test[["image_id", "fold", "label"]].assign(predicted=predicted, **columns), PREDICTIONS)

    folds = {}
    for fold in test.fold.unique():
        mine = (test.fold == fold).to_numpy()
        scores = score(labels[mine], probabilities[mine], CLASSES, bins=15)
        folds[f"fold {fold}"] = {"pictures": mine.sum()} | {name: or_null(scores[name]) for name in METRICS}
    write_metrics(folds, "metrics/evaluate.json")
    write_table(pd.DataFrame({"actual": test.label, "predicted": predicted}), "metrics/plots/confusion.csv")
    write_table(curves.roc(labels, probabilities, CLASSES), "metrics/plots/roc.csv")
    write_table(curves.precision_recall(labels, probabilities, CLASSES), "metrics/plots/precision_recall.csv")
    write_table(reliability(labels, probabilities, 15), "metrics/plots/reliability.csv")
    aggregate()
    slices()

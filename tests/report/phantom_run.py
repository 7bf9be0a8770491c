"""The results of a run on the synthetic set, without the training: what the report shows."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from synthetic import set_params

from stages.aggregate.__main__ import main as aggregate
from stages.audit.__main__ import main as audit
from stages.calibrate.__main__ import main as calibrate
from stages.catalog import INDEX, PIXELS, PREDICTIONS, SAMPLES, VALIDATION_PREDICTIONS, read_table, write_metrics, write_table
from stages.evaluate import curves
from stages.leaks.__main__ import main as leaks
from stages.report.sections.attention import COLUMNS
from stages.scores import METRICS, or_null, reliability, score
from stages.shortcuts.__main__ import main as shortcuts
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
    for stage in (weights, leaks, shortcuts):
        stage()
    write_history(epochs=3)
    write_predictions(right=0.8)


def write_history(epochs: int, folds: int = 5, seeds: int = 1) -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "fold": fold,
            "seed": seed,
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1.2 / epoch + random.random() / 10,
            "validation_macro_f1": 1 - random.random() / epoch,
            "kept": epoch == epochs,
        }
        for fold in range(folds)
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]
    write_table(pd.DataFrame(rows), "metrics/plots/history.csv")


def write_predictions(right: float, seeds: int = 1) -> None:
    """Probabilities of a model that is right with this probability, and what evaluate and the stages behind it make of them."""
    samples = read_table(SAMPLES)
    test, labels, probabilities = _guess(samples[samples.role == "test"], right)
    write_table(test, PREDICTIONS)
    write_table(_guess(samples[samples.role == "validation"], right)[0], VALIDATION_PREDICTIONS)

    folds = {}
    for fold in test.fold.unique():
        mine = (test.fold == fold).to_numpy()
        scores = score(labels[mine], probabilities[mine], CLASSES, bins=15)
        folds[f"fold {fold}"] = {"pictures": mine.sum()} | {name: or_null(scores[name]) for name in METRICS}
    alone = {f"seed {n}": dict.fromkeys(METRICS, right - n / 100) for n in range(seeds)}
    write_metrics({"folds": folds, "seeds": alone}, "metrics/evaluate.json")
    write_table(pd.DataFrame({"actual": test.label, "predicted": test.predicted}), "metrics/plots/confusion.csv")
    write_table(curves.roc(labels, probabilities, CLASSES), "metrics/plots/roc.csv")
    write_table(curves.precision_recall(labels, probabilities, CLASSES), "metrics/plots/precision_recall.csv")
    write_table(reliability(labels, probabilities, 15), "metrics/plots/reliability.csv")
    for stage in (aggregate, slices, calibrate, audit):
        stage()
    write_attention(test)
    write_robustness()


def write_attention(test: pd.DataFrame) -> None:
    """Overlays of a few pictures that are brightest in the middle, and figures, in place of explain's."""
    some = test.assign(outcome=np.where(test.label == test.predicted, "right", "wrong")).groupby(["label", "outcome"]).head(2)
    row = {image_id: n for n, image_id in enumerate(read_table(INDEX).image_id)}
    pixels = np.load(PIXELS, mmap_mode="r")
    some = some.assign(probability=0.9, file=[f"{n:04}.webp" for n in range(len(some))])
    write_table(some[["image_id", "label", "predicted", "probability", "outcome", "file"]], "data/explain/index.csv")
    for image_id, file in zip(some.image_id, some.file, strict=True):
        Image.fromarray(pixels[row[image_id]]).save(f"data/explain/{file}")
    by_outcome = {outcome: some[some.outcome == outcome] for outcome in ("right", "wrong")}
    figures = {outcome: {"pictures": len(mine)} | dict.fromkeys(COLUMNS, 0.5) for outcome, mine in by_outcome.items()}
    of_classes = {
        name: {outcome: {"pictures": int((mine.label == name).sum())} | dict.fromkeys(COLUMNS, 0.5) for outcome, mine in by_outcome.items()}
        for name in CLASSES
    }
    write_metrics({"layer": "bn2", **figures, "classes": of_classes}, "metrics/explain.json")


def write_robustness() -> None:
    """Figures in place of robustness'."""
    found = {"accuracy": 0.8, "macro_f1": 0.8, "recall": dict.fromkeys(CLASSES, 0.8)}
    rows = [{"change": "noise", "strength": "strong", "fell_by": 0.3, **found, "macro_f1": 0.5}]
    write_metrics({"pictures": 40, "unchanged": found, "changes": rows}, "metrics/robustness.json")


def _guess(pictures: pd.DataFrame, right: float) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows of the predictions, labels [N] and probabilities [N, 4]."""
    pictures = pictures.sort_values(["fold", "image_id"], ignore_index=True)
    random = np.random.default_rng(0)
    labels = pictures.label.map(CLASSES.index).to_numpy(int)
    top = np.where(random.random(len(labels)) < right, labels, (labels + random.integers(1, 4, len(labels))) % 4)
    probabilities = random.dirichlet(np.ones(4), len(labels)) + 3 * random.random((len(labels), 1)) * np.eye(4)[top] + np.eye(4)[top]
    probabilities = (probabilities / probabilities.sum(1, keepdims=True)).round(6)
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)}
    table = pictures[["image_id", "fold", "label"]].assign(predicted=np.array(CLASSES)[probabilities.argmax(1)], **columns)
    return table, labels, probabilities

"""What some documents report beside the scores of the test pictures, of a finished cell of the leaderboard."""

import contextlib
import json
from collections.abc import Container
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from stages.catalog import MODELS, PIXELS, PREDICTIONS, SAMPLES, VALIDATION_PREDICTIONS, model_file, pixel_rows, read_table
from stages.evaluate import inference
from stages.model import load_state, recreate_model
from stages.scores import defined_mean, score
from stages.slices.dimensions import CONTRAST

BINS = 15  # of the calibration error, which nobody reports of validation pictures


def other_metrics(folder: Path, asked: Container[str]) -> dict[str, dict]:
    """Metric -> {"mean": value}, by names as in metrics/summary.json, averaged over folds.

    best_accuracy: the highest that an epoch has on the validation pictures, since no test picture is looked at while training;
    validation_macro_f1, validation_balanced_accuracy, validation_macro_precision: of the kept epoch;
    <contrast>.accuracy: of the test pictures whose folder ends in T1, T1C+ or T2;
    train_accuracy: of the kept epoch on the pictures it was trained on, not augmented. It costs a pass over them, so it is there
    only if it is asked for, and only where the folder has the models.
    """
    with contextlib.chdir(folder):
        history = read_table("metrics/plots/history.csv")
        metrics = {"best_accuracy": history.groupby(["fold", "seed"]).validation_accuracy.max().mean()}
        metrics |= {f"validation_{name}": value for name, value in _scores(read_table(VALIDATION_PREDICTIONS)).items()}
        if "train_accuracy" in asked and MODELS.is_dir():
            metrics["train_accuracy"] = _train_accuracy()
        by_contrast = _by_contrast(read_table(PREDICTIONS))
    return {name: {"mean": float(value)} for name, value in metrics.items()} | by_contrast


def _scores(table: pd.DataFrame) -> dict[str, float]:
    columns = [name for name in table if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in columns]

    def of_fold(mine: pd.DataFrame) -> dict[str, float]:
        labels = mine.label.map(classes.index).to_numpy(int)
        scores = score(labels, mine[columns].to_numpy(float), classes, BINS)
        precision = np.array([scores[f"{name}.precision"] for name in classes])
        return {name: scores[name] for name in ("macro_f1", "balanced_accuracy")} | {"macro_precision": defined_mean(precision)}

    return pd.DataFrame([of_fold(mine) for _, mine in table.groupby("fold")]).mean().to_dict()


def _by_contrast(table: pd.DataFrame) -> dict[str, dict]:
    contrast = table.image_id.map(lambda name: PurePosixPath(name).parent.name).str.extract(CONTRAST, expand=False)
    right = table.predicted == table.label
    return {name: {"accuracy": {"mean": float(value)}} for name, value in right.groupby(contrast).mean().items()}


def _train_accuracy() -> float:
    about = json.loads((MODELS / "model.json").read_text(encoding="utf-8"))
    samples = read_table(SAMPLES)
    pictures = samples[(samples.role == "train") & (samples.change == "")]
    pixels, row_of = np.load(PIXELS, mmap_mode="r"), pixel_rows()
    model = recreate_model(about)

    def of_fold(fold: int, mine: pd.DataFrame) -> float:
        rows, predicted = mine.image_id.map(row_of).to_numpy(int), 0
        for seed in about["seeds"]:
            load_state(model, load_file(MODELS / model_file(fold, seed)))
            predicted += np.concatenate(
                list(inference.probabilities(model, pixels, rows, about["mean"], about["std"], flips=False, zoom=1))
            )
        return float((np.array(about["classes"])[predicted.argmax(1)] == mine.label).mean())

    return float(np.mean([of_fold(fold, mine) for fold, mine in pictures.groupby("fold")]))

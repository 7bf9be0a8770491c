"""Train one model a fold and seed, and write the models and how the training went."""

import json

import pandas as pd
import torch
from safetensors.torch import save_file

from stages.catalog import INDEX, MODELS, PIXELS, SAMPLES, model_file, write_metrics, write_table
from stages.device import pick_device, pick_precision
from stages.model import normalisation
from stages.params import load_params
from stages.train.checkpoint import Checkpoints
from stages.train.folds import WEIGHTS, class_names, read_samples, share_cores, train_folds
from stages.train.memory import advise_on_memory


def main() -> None:
    params = load_params()
    samples = read_samples()
    together, threads = share_cores(params, samples.fold.nunique() * len(params.train.seeds))
    device = pick_device()
    platform = f"{device.type} {threads} {pick_precision(params.train.precision, device)} {torch.__version__}"
    checkpoints = Checkpoints(params, [PIXELS, INDEX, SAMPLES, WEIGHTS], platform)
    with advise_on_memory(params):
        trained = train_folds(params, samples, checkpoints, together, threads)

    MODELS.mkdir(parents=True, exist_ok=True)
    for result in trained:
        save_file(result.state, MODELS / model_file(result.fold, result.seed))
    mean, std = normalisation(params.model.backbone)
    about = {
        "backbone": params.model.backbone,
        "classes": class_names(samples),
        "dropout": params.model.dropout,
        "image_size": params.model.image_size,
        "mean": list(mean),
        "std": list(std),
        "seeds": params.train.seeds,
    }
    if params.model.head != "linear":
        about["head"] = params.model.head
    (MODELS / "model.json").write_text(json.dumps(about, indent=2) + "\n")

    history = pd.DataFrame([{"fold": result.fold, "seed": result.seed, **epoch} for result in trained for epoch in result.history])
    write_table(history.round(6), "metrics/plots/history.csv")
    best = history[history.kept]
    macro_f1 = {"mean": best.validation_macro_f1.mean(), "std": best.validation_macro_f1.std(ddof=0)}
    if len(params.train.seeds) > 1:
        macro_f1["seed_std"] = best.groupby("seed").validation_macro_f1.mean().std()
    write_metrics(
        {
            "validation_macro_f1": macro_f1,
            "validation_loss": best.validation_loss.mean(),
            "train_loss": best.train_loss.mean(),
            "kept_epoch": best.epoch.mean(),
            "parameters": trained[0].parameters,
            "trained_parameters": trained[0].trained_parameters,
        },
        "metrics/train.json",
    )
    checkpoints.clear()


if __name__ == "__main__":
    main()

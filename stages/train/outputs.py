"""What train hands on: models, what they are, and how the training went."""

import json

import pandas as pd
from safetensors.torch import save

from stages.catalog import MODELS, model_file, write_metrics, write_table
from stages.model import normalisation
from stages.params import Params
from stages.train.folds import Trained


def write_outputs(params: Params, classes: list[str], trained: list[Trained]) -> None:
    """Write the outputs of the stage; classes in the order of the models' outputs, trained in that of trainings()."""
    MODELS.mkdir(parents=True, exist_ok=True)
    for one in trained:
        # Not by save_file, whose files nobody but their owner may read; and as a new file, since who has the old one mapped sees what is written to it.
        path = MODELS / model_file(one.fold, one.seed)
        part = path.with_suffix(".part")
        part.write_bytes(save(one.state))
        part.replace(path)
    mean, std = normalisation(params.model.backbone, params.model.normalisation)
    about = {
        "backbone": params.model.backbone,
        "classes": classes,
        "dropout": params.model.dropout,
        "image_size": params.model.image_size,
        "mean": list(mean),
        "std": list(std),
        "seeds": params.train.seeds,
    }
    if params.model.head != "linear":
        about["head"] = params.model.head
    (MODELS / "model.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    history = pd.DataFrame([{"fold": one.fold, "seed": one.seed, **epoch} for one in trained for epoch in one.history])
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

"""Train one model a fold, all in one process: pixels and weights are loaded once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from stages.catalog import INDEX, PIXELS, SAMPLES, read_table, write_metrics, write_table
from stages.device import keep_float32, pick_device, pick_precision
from stages.model import create_model, freeze, load_pretrained, normalisation
from stages.params import load_params
from stages.train.checkpoint import Checkpoints
from stages.train.data import Images, split_rows
from stages.train.loop import cpu_state, train_fold

MODELS = Path("data/models")
WEIGHTS = Path("data/weights/weights.safetensors")


def main() -> None:
    params = load_params()
    device = pick_device()
    precision = pick_precision(params.train.precision, device)
    checkpoints = Checkpoints(params, [PIXELS, INDEX, SAMPLES, WEIGHTS], f"{device.type} {precision} {torch.__version__}")

    samples = read_table(SAMPLES)
    samples["row"] = samples.image_id.map({image_id: row for row, image_id in enumerate(read_table(INDEX).image_id)})
    classes = sorted(samples.label[samples.role == "train"].unique())
    mean, std = normalisation(params.model.backbone)
    images = Images(np.load(PIXELS), mean, std, device)
    weights = load_file(WEIGHTS)
    frozen = None
    if params.model.freeze != "none" and not params.train.small_epochs and not any(params.train.augment.model_dump().values()):
        from stages.train.frozen import FrozenLayers

        frozen = FrozenLayers(images, torch.tensor(sorted(samples.row[samples.role != "test"].unique())), precision)

    history, models = [], {}
    for fold, rows in samples.groupby("fold"):
        torch.manual_seed(params.train.seed + fold)  # the new classifier starts at random
        model = create_model(params.model.backbone, len(classes), params.model.dropout, params.model.image_size)
        load_pretrained(model, weights, str(WEIGHTS))
        freeze(model, params.model.freeze)
        model.to(device, memory_format=torch.channels_last)
        if device.type == "cpu" and precision == torch.bfloat16:
            keep_float32(model)
        train, validation = (split_rows(rows, role, classes) for role in ("train", "validation"))
        trained, inputs = frozen.split(model) if frozen else (model, images)
        result = train_fold(trained, inputs, train, validation, params.train, fold, precision, checkpoints)
        history += [{"fold": fold, **epoch} for epoch in result.history]
        models[fold] = {name: result.best.get(name, tensor) for name, tensor in cpu_state(model).items()}

    MODELS.mkdir(parents=True, exist_ok=True)
    for fold, state in models.items():
        save_file(state, MODELS / f"fold-{fold}.safetensors")
    about = {
        "backbone": params.model.backbone,
        "classes": classes,
        "dropout": params.model.dropout,
        "image_size": params.model.image_size,
        "mean": list(mean),
        "std": list(std),
    }
    (MODELS / "model.json").write_text(json.dumps(about, indent=2) + "\n")

    history = pd.DataFrame(history)
    write_table(history.round(6), "metrics/plots/history.csv")
    best = history[history.kept]
    write_metrics(
        {
            "validation_macro_f1": {"mean": best.validation_macro_f1.mean(), "std": best.validation_macro_f1.std(ddof=0)},
            "validation_loss": best.validation_loss.mean(),
            "train_loss": best.train_loss.mean(),
            "kept_epoch": best.epoch.mean(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "trained_parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        },
        "metrics/train.json",
    )
    checkpoints.clear()


if __name__ == "__main__":
    main()

"""Show what the models looked at in test pictures that they got right and wrong, and measure whether it is what they depend on.

Writes data/explain (index.csv and an overlay a picture), metrics/explain.json and metrics/plots/explain.png. Each picture is
explained by the model of its fold, of several seeds the first one's, for the class that was predicted.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from stages.attention import attention, find_layer, overlay, random_attention
from stages.catalog import MODELS, PIXELS, PREDICTIONS, model_file, pixel_rows, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.explain import figures, sheet
from stages.explain.sample import choose
from stages.network import Network
from stages.params import load_params

FOLDER = Path("data/explain")
SHEET = Path("metrics/plots/explain.png")
BATCH = 16  # pictures whose gradients are in memory at once


def main() -> None:
    params = load_params()
    demonstration = is_demonstration()
    about = json.loads((MODELS / "model.json").read_text(encoding="utf-8"))
    classes, seed = about["classes"], about["seeds"][0]
    sample = choose(read_table(PREDICTIONS), params.explain.pictures)
    pictures = np.load(PIXELS, mmap_mode="r")[sample.image_id.map(pixel_rows()).to_numpy(int)]
    predicted = sample.predicted.map(classes.index).to_numpy(int)

    network = Network(about)
    network.load(MODELS / model_file(sample.fold[0], seed))
    layer = find_layer(network.model, about["image_size"], params.explain.layer)
    maps = np.zeros(pictures.shape, np.float32)
    measures: list[dict] = [{}] * len(sample)
    with tqdm(total=len(sample), unit="picture", desc="explain", disable=None) as progress:
        for fold, mine in sample.groupby("fold"):
            network.load(MODELS / model_file(fold, seed))
            for batch in np.split(mine.index.to_numpy(), range(BATCH, len(mine), BATCH)):
                maps[batch] = attention(network.model, layer, network.inputs(pictures[batch]), predicted[batch])
            for n in mine.index:
                random = random_attention(layer, about["image_size"], np.random.default_rng(int(sample.key[n], 16)))
                measures[n] = figures.measure(partial(network.probability, predicted[n]), pictures[n], maps[n], random)
                progress.update()

    explained = sample.drop(columns="key").assign(
        file=[f"{n:04}.webp" for n in range(len(sample))],
        **{name: np.array([values[name] for values in measures], float).round(6) for name in figures.COLUMNS},
    )
    overlays = [overlay(picture, seen) for picture, seen in zip(pictures, maps, strict=True)]
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_table(explained, FOLDER / "index.csv")
    for name, image in zip(explained.file, overlays, strict=True):
        Image.fromarray(image).save(FOLDER / name, quality=80, method=6)
    pairs = [np.hstack([np.repeat(picture[..., None], 3, 2), image]) for picture, image in zip(pictures, overlays, strict=True)]
    sheet.draw(explained, pairs, classes, layer.path, demonstration, SHEET)
    metrics = {"demonstration": demonstration, "layer": layer.path, "cells": layer.side**2} | figures.summarise(explained, classes)
    write_metrics(metrics, "metrics/explain.json")

    for outcome in figures.OUTCOMES:
        if metrics[outcome]["inside_head"] is not None:
            print(
                "{}: {inside_head:.0%} of the attention inside the head's box, {head_area:.0%} of the area".format(
                    outcome, **metrics[outcome]
                )
            )


if __name__ == "__main__":
    main()

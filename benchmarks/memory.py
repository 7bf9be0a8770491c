"""What a training on the CPU takes at most, beside the estimate by which stages.train decides how many run side by side.

python -m benchmarks.memory; writes the table of docs/performance.md.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from harness.markers import replace_part
from harness.usage import measure
from stages.device import pick_device
from stages.params import Params, load_params
from stages.train.folds import Training
from stages.train.memory import memory_of_a_training

NETWORKS = ("tf_efficientnet_lite0", "mobilenetv2_100", "resnet18", "resnet50", "densenet121", "vgg16")
PRECISIONS = ("float32", "bfloat16")
STEPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "PRECISION"), help="only train this one, for its memory to be measured")
    if one := parser.parse_args().one:
        return train(params_of(*one))
    rows = []
    for network, precision in tqdm([(network, precision) for network in NETWORKS for precision in PRECISIONS], unit="network"):
        _, megabytes = measure([sys.executable, "-m", "benchmarks.memory", "--one", network, precision])
        estimated = memory_of_a_training(params_of(network, precision)) / 2**20
        rows.append(f"| {network} | {precision} | {megabytes / 1024:.1f} | {estimated / 1024:.1f} |")
    size, batch = load_params().model.image_size, load_params().train.batch_size
    title = f"`python -m benchmarks.memory`, {size} px in batches of {batch}, {STEPS} steps and their validation, GiB of the process:"
    text = "\n".join([title, "", "| network | precision | measured | estimated |", "| --- | --- | ---: | ---: |", *rows])
    replace_part(Path("docs/performance.md"), "memory", text)
    print(text)


def params_of(network: str, precision: str) -> Params:
    """params.yaml with another network and precision, trained whole for one epoch."""
    params = load_params()
    model = params.model.model_copy(update={"backbone": network, "freeze": "none"})
    return params.model_copy(update={"model": model, "train": params.train.model_copy(update={"precision": precision, "epochs": 1})})


def train(params: Params) -> None:
    """Train on noise, with the pipeline's own training."""
    pick_device()
    torch.set_num_threads(1)
    batch, size = params.train.batch_size, params.model.image_size
    count = (STEPS + 2) * batch
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size), np.uint8)
    roles = np.where(np.arange(count) < STEPS * batch, "train", "validation")
    samples = pd.DataFrame({"fold": 0, "role": roles, "row": np.arange(count), "label": np.resize(["a", "b"], count), "weight": 1.0})
    Training(params, samples, pixels, weights={}, checkpoints=None).fold(0, 0)


if __name__ == "__main__":
    main()

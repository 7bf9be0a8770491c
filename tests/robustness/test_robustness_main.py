"""The stage on a small network with random weights: what it writes, of whom, in which order."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from synthetic import call_demonstration

from stages.catalog import INDEX, MODELS, PIXELS, PREDICTIONS, model_file, write_table
from stages.network import Network
from stages.robustness import __main__ as robustness
from stages.robustness.changes import CHANGES

CLASSES = ["glioma", "notumor"]
SIZE, COUNT = 32, 40
ABOUT = {
    "backbone": "test_resnet", "classes": CLASSES, "image_size": SIZE, "mean": [0.5] * 3, "std": [0.2] * 3, "dropout": 0.0, "seeds": [4, 5],
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """40 pictures in two folds, each with a network; the labels of the first are what its network says. Returns what the networks say, and labels."""
    monkeypatch.chdir(tmp_path)
    call_demonstration(False)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (COUNT, SIZE // 8, SIZE // 8), np.uint8).repeat(8, 1).repeat(8, 2)
    MODELS.mkdir(parents=True)
    (MODELS / "model.json").write_text(json.dumps(ABOUT))
    guesses = np.zeros(COUNT, int)
    for fold in range(2):
        torch.manual_seed(fold)
        network = Network(ABOUT)
        save_file({name: tensor.contiguous() for name, tensor in network.model.state_dict().items()}, MODELS / model_file(fold, 4))
        mine = np.arange(COUNT) % 2 == fold
        guesses[mine] = network.probabilities(pixels[mine]).argmax(1)
    PIXELS.parent.mkdir()
    np.save(PIXELS, pixels)
    ids = [f"set/{n:02}.png" for n in range(COUNT)]
    write_table(pd.DataFrame({"image_id": ids}), INDEX)
    labels = np.array(CLASSES)[np.where(np.arange(COUNT) % 2, np.arange(COUNT) // 2 % 2, guesses)]
    write_table(pd.DataFrame({"image_id": ids, "fold": np.arange(COUNT) % 2, "label": labels}), PREDICTIONS)
    return guesses, labels


def metrics() -> dict:
    return json.loads(Path("metrics/robustness.json").read_text())


def test_each_picture_is_predicted_by_its_folds_first_network(project):
    guesses, labels = project
    robustness.main()
    assert metrics()["pictures"] == COUNT and metrics()["demonstration"] is False
    assert metrics()["unchanged"]["accuracy"] == pytest.approx((np.array(CLASSES)[guesses] == labels).mean(), abs=1e-6)
    assert list(metrics()["unchanged"]["recall"]) == CLASSES


def test_every_change_is_a_row_the_worst_first(project, capsys):
    robustness.main()
    rows = metrics()["changes"]
    assert {(row["change"], row["strength"]) for row in rows} == set(CHANGES)
    falls = [row["fell_by"] for row in rows]
    assert falls == sorted(falls, reverse=True)
    assert all(row["fell_by"] == pytest.approx(metrics()["unchanged"]["macro_f1"] - row["macro_f1"], abs=2e-6) for row in rows)
    assert f"{rows[0]['change']}, {rows[0]['strength']}: {rows[0]['macro_f1']:.3f}" in capsys.readouterr().out
    assert len(pd.read_csv("metrics/plots/robustness.csv")) == len(CHANGES)


def test_some_of_each_class_are_taken_and_the_same_again(project, monkeypatch):
    monkeypatch.setattr(robustness, "PICTURES", 5)
    robustness.main()
    first = Path("metrics/robustness.json").read_bytes()
    assert metrics()["pictures"] == 10
    robustness.main()
    assert Path("metrics/robustness.json").read_bytes() == first


def test_synthetic_pictures_are_called_a_demonstration(project):
    call_demonstration(True)
    robustness.main()
    assert metrics()["demonstration"] is True

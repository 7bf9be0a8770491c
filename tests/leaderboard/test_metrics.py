"""The metrics beside the summary, of tables small enough to count by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from leaderboard.metrics import other_metrics
from stages.catalog import INDEX, MODELS, PIXELS, PREDICTIONS, SAMPLES, VALIDATION_PREDICTIONS, model_file, write_table
from stages.model import create_model


@pytest.fixture
def cell(tmp_path):
    def predictions(folders, labels, predicted):
        names = [f"set/{folder}/{number}.jpg" for number, folder in enumerate(folders)]
        sure = {f"p_{name}": [float(guess == name) for guess in predicted] for name in ("a", "b")}
        return pd.DataFrame({"image_id": names, "fold": 0, "label": labels, "predicted": predicted, **sure})

    (tmp_path / "metrics/plots").mkdir(parents=True)
    history = pd.DataFrame(
        {"fold": [0, 0, 1, 1], "seed": 0, "epoch": [1, 2, 1, 2], "validation_accuracy": [0.9, 0.8, 0.5, 0.7], "kept": [False, True] * 2}
    )
    write_table(history, tmp_path / "metrics/plots/history.csv")
    write_table(predictions(["x"] * 4, list("aaab"), list("aabb")), tmp_path / VALIDATION_PREDICTIONS)
    write_table(predictions(["a T1", "a T1C+", "b T1C+", "b T2"], list("aabb"), list("aaab")), tmp_path / PREDICTIONS)
    return tmp_path


def test_of_validation_pictures_and_by_contrast(cell):
    metrics = other_metrics(cell, ())
    assert metrics.pop("best_accuracy") == {"mean": pytest.approx((0.9 + 0.7) / 2)}
    assert metrics.pop("validation_balanced_accuracy")["mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert metrics.pop("validation_macro_precision")["mean"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics.pop("validation_macro_f1")["mean"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics == {name: {"accuracy": {"mean": share}} for name, share in {"T1": 1, "T1C+": 0.5, "T2": 1}.items()}


def test_on_the_training_pictures_where_it_is_asked_for_and_the_models_are_there(cell):
    names, labels = [f"set/x/{number}.jpg" for number in range(4)], list("aaab")
    samples = pd.DataFrame({"fold": 0, "role": "train", "image_id": names, "label": labels, "origin": names, "change": "", "weight": 1.0})
    made = samples.assign(image_id="set/x/0.jpg#turned", label="b", change="turned").head(1)
    write_table(pd.concat([samples, made, samples.assign(role="test", label="b")]), cell / SAMPLES)
    write_table(pd.DataFrame({"image_id": names}), cell / INDEX)
    np.save(cell / PIXELS, np.zeros((4, 32, 32), np.uint8))
    assert "train_accuracy" not in other_metrics(cell, {"train_accuracy"}), "no models: of a machine that left them there"

    model = create_model("mobilenetv3_small_050", 2, image_size=32)
    torch.nn.init.zeros_(model.classifier.weight)
    model.classifier.bias.data = torch.tensor([1.0, 0.0])  # calls everything a
    (cell / MODELS).mkdir()
    save_file(model.state_dict(), cell / MODELS / model_file(0, 0))
    about = {
        "backbone": "mobilenetv3_small_050",
        "classes": ["a", "b"],
        "seeds": [0],
        "dropout": 0.0,
        "image_size": 32,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    (cell / MODELS / "model.json").write_text(json.dumps(about))
    assert other_metrics(cell, {"train_accuracy"})["train_accuracy"] == {"mean": 0.75}
    assert "train_accuracy" not in other_metrics(cell, ()), "a pass over all pictures, so only where it is published"

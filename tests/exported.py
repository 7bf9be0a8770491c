"""A model package of the synthetic set, exported for real, from two folds and two seeds of a small network with random weights."""

import json
import os
import shutil
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from synthetic import set_params

from stages.aggregate import __main__ as aggregate
from stages.audit import __main__ as audit
from stages.calibrate import __main__ as calibrate
from stages.catalog import MODELS, SAMPLES, model_file, read_table, write_metrics, write_table
from stages.evaluate import __main__ as evaluate
from stages.explain import __main__ as explain
from stages.leaks import __main__ as leaks
from stages.model import create_model
from stages.robustness import __main__ as robustness
from stages.shortcuts import __main__ as shortcuts
from stages.slices import __main__ as slices
from stages.statement import __main__ as statement
from tools import export

BACKBONE, SIZE = "mobilenetv3_small_050", 64


@pytest.fixture(scope="session")
def exported(phantom_project, tmp_path_factory):
    """folder: a project in which `make export` has run; classes; truth of the synthetic pictures."""
    folder = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(phantom_project.folder, folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        samples = read_table(SAMPLES)
        write_table(samples[samples.fold < 2], SAMPLES)  # two folds are enough
        classes = sorted(samples.label.unique())
        set_params(model__backbone=BACKBONE, aggregate__resamples=50, explain__pictures=2)
        MODELS.mkdir()
        for fold, seed in product(range(2), range(2)):
            torch.manual_seed(2 * seed + fold)
            model = create_model(BACKBONE, len(classes))
            torch.nn.init.normal_(model.classifier.weight)
            save_file(model.state_dict(), MODELS / model_file(fold, seed))
        about = {"backbone": BACKBONE, "classes": classes, "dropout": 0.0, "image_size": SIZE, "mean": [0.5] * 3, "std": [0.5] * 3}
        about["seeds"] = [0, 1]
        (MODELS / "model.json").write_text(json.dumps(about))
        Path("data/weights").mkdir()
        Path("data/weights/weights.json").write_text(json.dumps({"origin": "package of the test", "licence": "CC0"}))
        training = {"parameters": 10, "trained_parameters": 10, "validation_macro_f1": {"mean": 0.5, "std": 0.0}}
        write_metrics(training, "metrics/train.json")
        for stage in (evaluate, aggregate, calibrate, audit, slices, explain, robustness, leaks, shortcuts, statement, export):
            stage.main()
    finally:
        os.chdir(before)
    return SimpleNamespace(folder=folder, classes=classes, truth=phantom_project.truth)


@pytest.fixture
def project(exported, monkeypatch):
    monkeypatch.chdir(exported.folder)
    return exported

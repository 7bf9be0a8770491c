import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from stages.catalog import CALIBRATION
from stages.predict import package
from tools import export


def test_the_package_holds_all_that_it_promises(project):
    names = {file.name for file in package.PACKAGE.iterdir()}
    weights = {f"fold-{fold}-seed-{seed}.safetensors" for fold in range(2) for seed in range(2)}
    assert names == {"package.json", "likeness.safetensors", "model.onnx", "README.md"} | weights
    modes = {file.stat().st_mode & 0o777 for file in package.PACKAGE.iterdir()}
    assert modes == {Path("params.yaml").stat().st_mode & 0o777}, "whoever may read a file here may read these"
    about = json.loads((package.PACKAGE / "package.json").read_text())
    assert about["classes"] == project.classes
    assert about["folds"] == [0, 1]
    assert about["temperature"] == json.loads(CALIBRATION.read_text())["temperature"]
    assert about["planes"] == ["axial", "coronal", "sagittal"]


def test_onnx_gives_what_torch_gives_for_any_number_of_pictures(project):
    session = onnxruntime.InferenceSession(package.PACKAGE / "model.onnx", providers=["CPUExecutionProvider"])
    network = package.load(package.PACKAGE).network
    random = np.random.default_rng(1)
    for count in (1, 5):
        pictures = random.integers(0, 256, (count, 1, 64, 64)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(pictures)).numpy()
        assert session.run(None, {"pictures": pictures})[0] == pytest.approx(expected, abs=1e-4)
        assert expected.sum(1) == pytest.approx(1, abs=1e-5)


def test_the_card_says_what_the_metrics_say_and_what_it_is_not(project):
    card = (package.PACKAGE / "README.md").read_text()
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert "no medical device" in card
    assert "Demonstration on synthetic pictures" in card
    assert f"| Macro-F1 | {summary['macro_f1']['mean']:.3f} |" in card


class Fickle(torch.nn.Module):
    """What it computes depends on the picture in a way that no graph holds."""

    def forward(self, grey):
        return grey.flatten(1)[:, : 3 if grey.sum() > 0 else 4].softmax(1)


def test_a_network_that_onnx_does_not_know_leaves_a_package_without_it(project, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(shutil.copytree(project.folder, tmp_path / "project"))
    monkeypatch.setattr(export, "load", lambda folder: replace(package.load(folder), network=Fickle()))
    export.main()
    printed = capsys.readouterr().out.splitlines()[-1]
    assert (
        printed.isprintable()
        and "without model.onnx, since this network cannot be exported to ONNX" in printed
        and "the rest is complete" in printed
    )
    assert not (package.PACKAGE / "model.onnx").exists() and package.load(package.PACKAGE).about["classes"] == project.classes


def test_without_results_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="data/models/model.json.*not there; run `dvc repro`"):
        export.main()

"""The pieces of the grid that need no Ray: what is kept on disk, what a training needs of a GPU, the journal."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import BIN, run
from small_cell import NAME, SMALL
from synthetic import ROOT

from leaderboard.cell import environment, parse
from leaderboard.grid import journal
from leaderboard.grid.__main__ import choose
from leaderboard.grid.finished import Finished, Saved
from leaderboard.grid.journal import DONE, FAILED, Journal, Row
from leaderboard.grid.share import gpu_share, kept_for_backward, training_bytes
from leaderboard.ready import lay_out_if_whole, make_ready
from stages.params import load_params
from stages.train.folds import Trained


def trained() -> Trained:
    history = [{"epoch": 1, "train_loss": 0.1 + 0.2, "validation_loss": 1 / 3, "kept": True}]
    state = {"weight": torch.randn(3, 2), "half": torch.randn(4).bfloat16(), "count": torch.tensor(7)}
    return Trained(1, 5, history, state, parameters=9, trained_parameters=8)


def test_what_is_kept_comes_back_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved, one = Saved("key"), trained()
    assert saved.load(1, 5) is None
    saved.save(Finished.of(one, 0.7, "second"))
    kept = saved.load(1, 5)
    again = kept.trained()
    assert all(torch.equal(again.state.pop(name), tensor) for name, tensor in one.state.items())
    assert vars(again) == vars(one) | {"state": {}}
    assert (kept.pair, kept.about["seconds"], kept.about["node"]) == ((1, 5), 0.7, "second")
    assert saved.load(0, 5) is None and Saved("other").load(1, 5) is None
    saved.clear()
    assert saved.load(1, 5) is None


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_what_is_damaged_is_said_and_trained_anew(tmp_path, monkeypatch, capsys, kept):
    monkeypatch.chdir(tmp_path)
    saved = Saved("key")
    saved.save(Finished.of(trained(), 0.7, "second"))
    (path,) = saved.folder.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert saved.load(1, 5) is None
    assert f"{path} is damaged: this training begins anew" in capsys.readouterr().out


def test_dvc_tells_what_it_has_by_the_params_of_now_and_trains_nothing(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")

    def is_there(*changes: str) -> bool:
        return make_ready(lay_out_if_whole(NAME, "same", parse([*SMALL, *changes])), environment())

    assert not is_there()
    run(sys.executable, "-m", "leaderboard.cell", NAME, "--protocol", "same", "--set", *SMALL, cwd=checkout)
    assert is_there()
    assert not is_there("train.epochs=2")
    assert is_there(), "from the run cache"
    assert Path(f"leaderboard/runs/{NAME}-same/data/models/fold-0-seed-0.safetensors").exists()
    assert "macro-F1" not in capsys.readouterr().out


def changed(**changes):
    params = load_params(ROOT / "params.yaml")
    model = {name: value for name, value in changes.items() if name in type(params.model).model_fields}
    train = {name: value for name, value in changes.items() if name in type(params.train).model_fields}
    return params.model_copy(update={"model": params.model.model_copy(update=model), "train": params.train.model_copy(update=train)})


def test_what_a_step_keeps_is_what_autograd_saves():
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.ReLU()).to("meta")
    assert kept_for_backward(layer, 16) == 4 * 16 * 16 * (3 + 8), "the convolution's input, and the output of ReLU"


def test_a_training_needs_more_with_its_batch_its_size_and_its_parameters():
    small = changed(backbone="mobilenetv3_small_050", image_size=64, batch_size=8)
    base = training_bytes(small, 4, 100)
    more = [
        training_bytes(changed(backbone="mobilenetv3_small_050", image_size=64, batch_size=16), 4, 100),
        training_bytes(changed(backbone="mobilenetv3_small_050", image_size=128, batch_size=8), 4, 100),
        training_bytes(changed(backbone="resnet50", image_size=64, batch_size=8), 4, 100),
        training_bytes(small, 4, 10**6),
    ]
    assert base > 10**9 and all(one > base for one in more)
    assert training_bytes(changed(backbone="resnet50", freeze="backbone", image_size=64), 4, 100) < training_bytes(
        changed(backbone="resnet50", freeze="none", image_size=64), 4, 100
    )
    assert gpu_share(small, 4, 100, 100 * base) == 0.01 and gpu_share(small, 4, 100, base / 2) == 1


def test_rows_of_other_cells_stay_and_twins_have_one_each(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FILE", tmp_path / "grid.csv")
    first = Journal()
    first.add(Row(["b-same", "c-same"], DONE, 0, 10, 1.5, "node"))
    first.add(Row(["a-same"], FAILED, 0, 2, reason="no, not today"))
    assert first.count() == {DONE: 1, FAILED: 1}
    second = Journal()
    second.add(Row(["a-same"], DONE, 0, 2, 2.5, "node"))
    assert (tmp_path / "grid.csv").read_text().splitlines() == [
        "cell,fold,seed,state,seconds,node,reason",
        "a-same,0,2,done,2.5,node,",
        "b-same,0,10,done,1.5,node,",
        "c-same,0,10,done,1.5,node,",
    ]


def test_names_and_patterns_choose_each_cell_once_and_without_any_those_without_a_result(tmp_path, monkeypatch):
    recipes = {"one-a": SimpleNamespace(), "one-b": SimpleNamespace(), "two": SimpleNamespace()}
    monkeypatch.setattr(sys.modules["leaderboard.grid.__main__"], "load_recipes", lambda: recipes)
    monkeypatch.setattr(sys.modules["leaderboard.grid.__main__"], "RESULTS", tmp_path)
    (tmp_path / "one-b-honest.json").touch()
    assert choose(["one-*", "one-b"], ["honest"]) == [("one-a", "honest"), ("one-b", "honest")]
    assert choose([], ["same", "honest"]) == [("one-a", "same"), ("one-a", "honest"), ("one-b", "same"), ("two", "same"), ("two", "honest")]

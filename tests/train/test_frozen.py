"""Frozen layers that run once: where networks are cut, and that training on the activations is the same training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from timm.models.vgg import ConvMlp
from torch import nn

from stages.model import create_model, freeze, train_mode
from stages.params import load_params
from stages.train import frozen
from stages.train.checkpoint import SCRATCH, Checkpoints
from stages.train.cpu import prepare_for_cpu
from stages.train.data import Images, Rows
from stages.train.frozen import CannotCut, FrozenLayers, cut_in_two
from stages.train.loop import Progress, cpu_state, train_fold
from stages.train.optim import make_optimizer

ROOT = Path(__file__).parents[2]
NOTHING = {"mirror": False, "rotate": 0.0, "translate": 0.0, "scale": 0.0, "contrast": 0.0, "crop": 0.0}
SIZE = 32
ROWS = torch.arange(1, 40)  # picture 0 is in no fold
TRAIN, VALIDATION = torch.arange(1, 30), torch.arange(30, 40)
# backbone, what is frozen, and what crosses the cut
CUTS = [
    ("resnet18", "backbone", [(512,)]),
    ("resnet18", "first 2", [(64, 8, 8)]),  # behind the pooling, which makes it smaller
    ("resnet18", "all but last 6", [(512, 1, 1), (512, 1, 1)]),  # within a block: its shortcut crosses too
    ("vgg11", "first 5", [(512, 4, 4)]),
    ("vgg11", "backbone", [(512, 1, 1)]),  # before a dropout between two frozen layers
    ("mobilenetv3_small_050", "backbone", [(1024,)]),
    ("inception_v3", "backbone", [(2048,)]),
    ("densenet121", "first 2", [(64, 8, 8)]),
    ("vit_tiny_patch16_224", "first 8", [(5, 192)]),
    ("torchvision.resnet18", "backbone", [(512,)]),
    ("torchvision.vgg11", "first 5", [(512, 4, 4)]),
    ("torchvision.vgg11", "all but last 2", [(64,)]),
    ("torchvision.mobilenet_v3_small", "all but last 4", [(96, 1, 1)]),
    ("torchvision.efficientnet_b0", "backbone", [(24, 8, 8), (24, 8, 8)]),  # what follows loses blocks at random
]
SIDES = {"inception_v3": 75}


def _narrow_vgg() -> nn.Module:
    model = create_model("vgg11", 3, 0.3)
    model.pre_logits, model.head.fc = ConvMlp(512, 64, kernel_size=7, drop_rate=0.3), nn.Linear(64, 3)
    return model


def _narrow_torchvision_vgg() -> nn.Module:
    model = create_model("torchvision.vgg11", 3, 0.3)
    model.classifier[0], model.classifier[3], model.classifier[6] = nn.Linear(512 * 49, 64), nn.Linear(64, 64), nn.Linear(64, 3)
    return model


# 4096 features a layer would be nearly all of the time of this file
NARROW = {"vgg11": _narrow_vgg, "torchvision.vgg11": _narrow_torchvision_vgg}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def pictures(size: int = SIZE) -> Images:
    pixels = np.random.default_rng(0).integers(0, 255, (40, size, size)).astype(np.uint8)
    pixels[np.arange(40) % 3 == 0, : size // 2] //= 4
    return Images(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), torch.device("cpu"))


def network(backbone: str, rule: str, size: int = SIZE, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = create_model(backbone, 3, 0.3, size) if backbone not in NARROW else NARROW[backbone]()
    freeze(model, rule)
    return model.to(memory_format=torch.channels_last)


def trained(model: nn.Module, inputs, precision: torch.dtype = torch.float32) -> Progress:
    params = load_params(ROOT / "params.yaml")
    changes = {"epochs": 3, "batch_size": 8, "optimizer": "sgd", "lr": 0.003, "weight_decay": 0.01}
    changes["augment"] = params.train.augment.model_copy(update=NOTHING)
    checkpoints = Checkpoints(params, [], "test")
    parts = [Rows(rows, (rows % 3 == 0).long() + (rows % 3 == 1) * 2, torch.ones(len(rows))) for rows in (TRAIN, VALIDATION)]
    result = train_fold(model, inputs, *parts, params.train.model_copy(update=changes), 0, 0, precision, checkpoints)
    checkpoints.clear()
    return result


def assert_same_training(mine: Progress, other: Progress, tolerance: float) -> None:
    assert len(mine.history) == len(other.history) == 3
    for epoch, expected in zip(mine.history, other.history, strict=True):
        for name in ("train_loss", "validation_loss", "learning_rate"):
            assert epoch[name] == pytest.approx(expected[name], rel=tolerance), name


@pytest.mark.parametrize(("backbone", "rule", "crossing"), CUTS, ids=lambda value: value if isinstance(value, str) else "")
def test_training_is_the_same_with_and_without_the_cut(backbone, rule, crossing, capsys):
    size = SIDES.get(backbone, SIZE)
    images = pictures(size)
    whole, cut = (network(backbone, rule, size) for _ in range(2))
    rest, activations = FrozenLayers(images, ROWS, torch.float32).split(cut)
    assert [tuple(tensor.shape[1:]) for tensor in activations.plain(TRAIN)] == crossing
    assert "frozen layers run once" in capsys.readouterr().out

    begin = cpu_state(whole)
    expected, result = trained(whole, images), trained(rest, activations)
    assert_same_training(result, expected, 1e-3)
    states = cpu_state(whole), cpu_state(cut)
    moved = [name for name in begin if not torch.equal(begin[name], states[0][name])]
    assert moved
    for name, tensor in states[0].items():
        if name in moved:
            torch.testing.assert_close(states[1][name], tensor, rtol=1e-3, atol=1e-3 * tensor.abs().max().item())
        else:
            assert torch.equal(states[1][name], tensor)
    assert result.kept.keys() <= expected.kept.keys() and set(moved) <= result.kept.keys()


def test_no_frozen_layer_runs_in_training():
    model = network("resnet18", "all but last 6")
    rest, activations = FrozenLayers(pictures(), ROWS, torch.float32).split(model)
    calls, layers = [], {name: list(module.parameters(recurse=False)) for name, module in model.named_modules()}
    for name, parameters in layers.items():
        if parameters:
            model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    trained(rest, activations)
    assert set(calls) == {name for name, parameters in layers.items() if any(p.requires_grad for p in parameters)}
    assert len(set(calls)) == 6


def test_bfloat16_keeps_its_type():
    images, model = pictures(), network("tf_efficientnet_lite0", "all but last 6")
    prepare_for_cpu(model, torch.bfloat16)
    autocast = torch.autocast("cpu", torch.bfloat16)
    with autocast, torch.no_grad():
        first, rest = cut_in_two(model, images.plain(ROWS[:4]))
        x = images.plain(TRAIN)
        assert torch.equal(rest(first(x)), model(x))
    whole = network("tf_efficientnet_lite0", "all but last 6")
    prepare_for_cpu(whole, torch.bfloat16)
    rest, activations = FrozenLayers(images, ROWS, torch.bfloat16).split(model)
    assert [tensor.dtype for tensor in activations.plain(TRAIN)] == [torch.bfloat16]
    assert_same_training(trained(rest, activations, torch.bfloat16), trained(whole, images, torch.bfloat16), 0.02)


def test_activations_keep_the_layout_of_the_network():
    _, activations = FrozenLayers(pictures(), ROWS, torch.float32).split(network("resnet18", "first 2"))
    assert activations.plain(TRAIN)[0].is_contiguous(memory_format=torch.channels_last)


def test_a_scratch_file_holds_what_is_too_large_and_is_gone_at_once(monkeypatch, capsys):
    images, results = pictures(), []
    for limit, place in ((frozen.IN_MEMORY, "in memory"), (1000, "in a scratch file")):
        monkeypatch.setattr(frozen, "IN_MEMORY", limit)
        rest, activations = FrozenLayers(images, ROWS, torch.float32).split(network("resnet18", "first 2"))
        assert place in capsys.readouterr().out
        assert activations.plain(TRAIN)[0].is_contiguous(memory_format=torch.channels_last)
        results.append(trained(rest, activations))
    assert results[0].history == results[1].history
    assert all(torch.equal(tensor, results[1].kept[name]) for name, tensor in results[0].kept.items())
    assert SCRATCH.exists() and not any(SCRATCH.iterdir())


def test_without_room_for_the_file_the_layers_run_in_every_epoch(monkeypatch, capsys):
    monkeypatch.setattr(frozen, "IN_MEMORY", 1000)
    monkeypatch.setattr(frozen.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    images, model = pictures(), network("resnet18", "first 2")
    assert FrozenLayers(images, ROWS, torch.float32).split(model) == (model, images)
    assert "frozen layers run in every epoch: their activations need 0.0 GB" in capsys.readouterr().out


def test_the_same_frozen_layers_are_not_run_again_and_others_are():
    layers = FrozenLayers(pictures(), ROWS, torch.float32)
    _, activations = layers.split(network("resnet18", "backbone"))
    same = network("resnet18", "backbone")
    nn.init.zeros_(same.fc.weight)  # the classifier is another one in every fold
    assert layers.split(same)[1] is activations
    changed = network("resnet18", "backbone")
    changed.layer1[0].bn1.running_mean += 1
    assert layers.split(changed)[1] is not activations
    before = activations.plain(TRAIN)[0]
    _, other = layers.split(network("resnet18", "backbone", seed=1))
    assert not torch.allclose(other.plain(TRAIN)[0], before)


def test_a_checkpoint_of_another_cut_is_left_alone():
    params = load_params(ROOT / "params.yaml")
    model = network("resnet18", "backbone")
    rest, _ = FrozenLayers(pictures(), ROWS, torch.float32).split(model)
    checkpoints = Checkpoints(params, [], "test")
    saved = Progress(history=[{"epoch": 1}])
    for source, target, expected in ((model, rest, []), (model, model, saved.history), (rest, rest, saved.history)):
        checkpoints.save(0, 0, {"model": source, "optimizer": make_optimizer(source, params.train)}, saved)
        result = Progress()
        checkpoints.resume(0, 0, {"model": target, "optimizer": make_optimizer(target, params.train)}, result)
        assert result.history == expected


class Net(nn.Module):
    """A frozen convolution, one operation on its output, and a trained classifier."""

    def __init__(self, operation):
        super().__init__()
        self.conv, self.fc, self.operation = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), operation
        self.conv.requires_grad_(False)

    def forward(self, x):
        return self.fc(self.operation(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda x: x if x.sum() > 0 else -x, "torch.fx cannot trace this backbone"),
        (lambda x: x - x.mean(0, keepdim=True), "cut in two, this backbone computes something else"),
    ],
    ids=["decides by values", "mixes pictures"],
)
def test_what_cannot_be_cut_trains_as_it_is(operation, reason, capsys):
    images, model = pictures(), Net(operation)
    assert FrozenLayers(images, ROWS, torch.float32).split(model) == (model, images)
    assert f"frozen layers run in every epoch: {reason}" in capsys.readouterr().out


def test_nothing_is_gained_behind_what_is_random_or_trained():
    x = torch.randn(3, 3, 8, 8)
    for first in (nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)):
        model = nn.Sequential(first, Net(nn.Identity()))
        train_mode(model)
        with pytest.raises(CannotCut, match="no frozen layer comes before"):
            cut_in_two(model, x)

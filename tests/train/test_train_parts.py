"""The pieces of training: batches, learning rates, precision."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from stages.device import pick_precision
from stages.model import create_model
from stages.params import Augment, load_params
from stages.train.data import Images, Rows, random_changes
from stages.train.loop import _draw, running_mean
from stages.train.optim import learning_rate, make_optimizer

NOTHING = {"mirror": False, "rotate": 0.0, "translate": 0.0, "scale": 0.0, "contrast": 0.0, "crop": 0.0}
CPU = torch.device("cpu")


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (20, 8, 8)), np.ones((4, 4))).astype(np.uint8)
    return Images(smooth, (0.0,) * 3, (1.0,) * 3, CPU)


def augmented(images, seed=0, **how):
    return images.augmented(torch.arange(20), Augment(**NOTHING | how), torch.Generator().manual_seed(seed))


def test_without_augmentation_a_batch_is_the_pictures(images):
    assert torch.allclose(augmented(images), images.plain(torch.arange(20)), atol=1e-5)


def test_a_plain_batch_is_normalised_grey_in_three_channels():
    images = Images(np.full((2, 4, 4), 51, np.uint8), (0.1, 0.2, 0.3), (0.5, 0.5, 0.1), CPU)
    assert images.plain(torch.tensor([1])).mean((0, 2, 3)).tolist() == pytest.approx([0.2, 0.0, -1.0], abs=1e-6)


def test_mirror_turns_about_half_left_to_right_and_none_upside_down(images):
    plain, changed = images.plain(torch.arange(20)), augmented(images, mirror=True)
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(plain, changed, strict=True)]
    mirrored = [torch.allclose(a.flip(-1), b, atol=1e-4) for a, b in zip(plain, changed, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 4 <= sum(mirrored) <= 16


def test_changes_stay_within_their_limits():
    how = Augment(mirror=False, rotate=10, translate=0.1, scale=0.2, contrast=0.3, crop=0.0)
    theta, gain, offset = random_changes(2000, how, torch.Generator().manual_seed(0))
    scale = torch.linalg.det(theta[:, :, :2]).sqrt()
    angle = torch.atan2(theta[:, 1, 0], theta[:, 0, 0]) * 180 / math.pi
    for values, low, high in (
        (1 / scale, 0.8, 1.2),
        (angle, -10, 10),
        (theta[:, 0, 2], -0.2, 0.2),
        (gain, 0.7, 1.3),
        (offset, -0.15, 0.15),
    ):
        assert low - 1e-3 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-3


def test_crops_are_parts_of_the_picture_of_the_area_and_aspect_that_are_asked_for():
    how = Augment(**NOTHING | {"crop": 0.08})
    theta, *_ = random_changes(5000, how, torch.Generator().manual_seed(0))
    width, height, x, y = theta[:, 0, 0], theta[:, 1, 1], theta[:, 0, 2], theta[:, 1, 2]
    assert theta[:, 0, 1].abs().max() == theta[:, 1, 0].abs().max() == 0, "nothing is turned"
    assert (x.abs() + width).max() <= 1 + 1e-6 and (y.abs() + height).max() <= 1 + 1e-6, "all of it lies in the picture"
    area, inside = width * height, (width < 1) & (height < 1)
    assert 0.08 - 1e-6 < area.min() < 0.1 and area.max() <= 1 and area.mean() == pytest.approx(0.53, abs=0.02)
    aspect = width[inside] / height[inside]
    assert 3 / 4 - 1e-6 < aspect.min() < 0.77 and 1.3 < aspect.max() < 4 / 3 + 1e-6


def test_a_crop_is_enlarged_to_the_whole(images):
    quarter = Images(np.kron(np.eye(2) * 255, np.ones((16, 16))).astype(np.uint8)[None].repeat(20, 0), (0.0,) * 3, (1.0,) * 3, CPU)
    how = Augment(**NOTHING | {"crop": 0.25})
    seen = quarter.augmented(torch.arange(20), how, torch.Generator().manual_seed(0))
    theta, *_ = random_changes(20, how, torch.Generator().manual_seed(0))
    for picture, (width, x) in zip(seen, theta[:, 0, [0, 2]], strict=True):
        steps = picture[0, 16].diff().abs()
        middle = (1 - x / width) * 16  # where the border between black and white is now, in pixels
        if 2 < middle < 30:
            assert steps.argmax() + 1 == pytest.approx(middle, abs=1.5)


def test_black_stays_black_whatever_the_contrast():
    images = Images(np.zeros((20, 32, 32), np.uint8), (0.0,) * 3, (1.0,) * 3, CPU)
    assert augmented(images, contrast=0.5).abs().max() == 0


def test_equal_weights_draw_every_picture_once_and_others_by_weight():
    rows = Rows(torch.arange(1000), torch.zeros(1000), torch.ones(1000))
    assert sorted(_draw(rows, torch.Generator().manual_seed(0)).tolist()) == list(range(1000))
    rows.weights = torch.where(torch.arange(1000) < 100, 9.0, 1.0)
    assert (_draw(rows, torch.Generator().manual_seed(0)) < 100).float().mean() == pytest.approx(0.5, abs=0.05)


def schedule(name, **changes):
    params = load_params().train.model_copy(update={"schedule": name, "epochs": 10, "lr": 1.0, **changes})
    return [learning_rate(params, step, 10) for step in range(100)]


def test_learning_rates_follow_their_schedules():
    onecycle = schedule("onecycle")
    assert np.argmax(onecycle) == 25 and max(onecycle) == 1.0 and onecycle[0] == pytest.approx(0.04) and onecycle[-1] < 0.01
    assert schedule("constant") == [1.0] * 100
    assert schedule("step", step_epochs=4, step_factor=0.1)[::10] == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)
    cosine = schedule("cosine")
    assert cosine[0] == 1.0 and cosine[50] == pytest.approx(0.5) and sorted(cosine, reverse=True) == cosine


def test_biases_and_norms_are_not_decayed_and_frozen_parameters_not_touched():
    model = create_model("mobilenetv3_small_050", 3)
    model.conv_stem.weight.requires_grad_(False)
    decayed, plain = make_optimizer(model, load_params().train).param_groups
    assert decayed["weight_decay"] > 0 == plain["weight_decay"]
    assert {p.ndim for p in plain["params"]} == {1} and min(p.ndim for p in decayed["params"]) > 1
    assert all(p is not model.conv_stem.weight for p in decayed["params"])


def test_precision_follows_the_choice():
    assert pick_precision("float32", CPU) is torch.float32 and pick_precision("bfloat16", CPU) is torch.bfloat16
    assert pick_precision("auto", torch.device("cuda")) is torch.bfloat16
    assert pick_precision("auto", CPU) in (torch.float32, torch.bfloat16)


def test_the_running_mean_follows_the_formula_and_without_steps_it_is_the_last_weights():
    model = nn.BatchNorm1d(1)
    mean, last = running_mean(model, 4), running_mean(model, 0)
    expected = None
    for value in (3.0, 5.0, -2.0, 10.0):
        for tensor in (model.weight.data, model.running_mean):
            tensor.fill_(value)
        mean.update_parameters(model)
        last.update_parameters(model)
        expected = value if expected is None else 0.75 * expected + 0.25 * value
    for tensor in ("weight", "running_mean"):
        assert getattr(mean.module, tensor).item() == pytest.approx(expected)
        assert getattr(last.module, tensor).item() == 10

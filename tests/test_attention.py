"""A layer to look at for every family, and attention where the deciding pixels are."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.attention import attention, find_layer, overlay, random_attention
from stages.model import create_model

CLASSES = 4
# backbone, input side (pixels), the layer that auto takes, cells along its side
BACKBONES = [
    ("resnet18", 64, "layer4", 2),
    ("resnet18", 32, "layer3", 2),  # layer4 is down to one cell
    ("tf_efficientnet_lite0", 64, "bn2", 2),
    ("mobilenetv3_small_050", 64, "blocks", 2),  # conv_head comes after the pooling
    ("vgg11", 64, "features", 2),
    ("densenet121", 64, "features", 2),
    ("convnext_atto", 64, "norm_pre", 2),
    ("vit_tiny_patch16_224", 64, "blocks.11.norm1", 4),
    ("deit_tiny_distilled_patch16_224", 32, "blocks.11.norm1", 2),
    ("levit_128s", 224, "stages.2.blocks.3.mlp.ln2", 4),
    ("swin_tiny_patch4_window7_224", 64, "norm", 2),
    ("torchvision.resnet18", 64, "layer4", 2),
    ("torchvision.vgg11_bn", 64, "features", 2),
    ("torchvision.googlenet", 64, "inception5b", 2),
    ("torchvision.squeezenet1_1", 64, "features", 3),
    ("torchvision.shufflenet_v2_x0_5", 64, "conv5", 2),
]


@pytest.mark.parametrize("backbone, size, path, side", BACKBONES, ids=lambda value: str(value))
def test_every_family_has_a_layer_that_tells_where(backbone, size, path, side):
    torch.manual_seed(0)
    model = create_model(backbone, CLASSES, image_size=size)
    layer = find_layer(model, size)
    assert (layer.path, layer.side) == (path, side)
    inputs = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    seen = attention(model, layer, inputs, np.array([0, 3]))
    assert seen.shape == (2, size, size) and seen.dtype == np.float32
    assert np.isfinite(seen).all() and seen.min() >= 0 and seen.max() <= 1


def test_parameters_get_no_gradients_and_stay_as_they_were():
    model = create_model("resnet10t", CLASSES, image_size=64)
    model.conv1.requires_grad_(False)
    trained = [parameter.requires_grad for parameter in model.parameters()]
    attention(model, find_layer(model, 64), torch.rand(1, 3, 64, 64), np.array([0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == trained


class Spots(nn.Module):
    """Class 1 is what is brighter than half anywhere, class 0 what is not: 4 x 4 pixels a cell."""

    classifier_names = ("fc",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 1, 4, stride=4), nn.ReLU(inplace=True))
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.features[0].weight.fill_(1 / 48)
            self.features[0].bias.fill_(-0.5)
            self.fc.weight.copy_(torch.tensor([[-1.0], [1.0]]))

    def forward(self, images):
        return self.fc(self.features(images).mean((2, 3)))


def test_attention_lies_where_the_evidence_is():
    model, inputs = Spots(), torch.zeros(2, 3, 32, 32)
    inputs[0, :, 16:24, 8:16] = 1
    inputs[1, :, 0:8, 24:32] = 1
    layer = find_layer(model, 32)
    assert (layer.path, layer.side) == ("features", 8)
    seen = attention(model, layer, inputs, np.array([1, 1]))
    assert seen[0, 16:24, 8:16].sum() > 0.6 * seen[0].sum()
    assert seen[1, 0:8, 24:32].sum() > 0.6 * seen[1].sum()
    assert seen[:, 0:8, 0:8].max() == 0
    assert seen.max(axis=(1, 2)) == pytest.approx([1, 1], abs=1e-5)
    assert not attention(model, layer, inputs, np.array([0, 0])).any(), "nothing in these pictures speaks for class 0"


def test_the_patches_of_a_transformer_are_where_they_were():
    torch.manual_seed(0)
    model = create_model("vit_tiny_patch16_224", CLASSES, image_size=64)
    layer = find_layer(model, 64)
    tokens = torch.arange(17.0).view(1, 17, 1).expand(1, 17, 192)  # the class token is 0
    assert layer.to_map(tokens)[0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]


@pytest.fixture(scope="module")
def resnet():
    return create_model("torchvision.resnet18", CLASSES)


def test_another_layer_on_request(resnet):
    layer = find_layer(resnet, 64, "layer3.1.bn2")
    assert (layer.module, layer.side) == (resnet.layer3[1].bn2, 4)


@pytest.mark.parametrize(
    "path, says",
    [
        ("layer5", "no 'layer5'; did you mean layer"),
        ("", "no ''; did you mean"),
        ("nonsense!", "did you mean conv1, bn1, "),
        ("fc", r"fc puts out \[1, 4\], which is no square map"),
        ("avgpool", r"avgpool puts out \[1, 512, 1, 1\], which"),
        ("layer1.0.relu", "runs more than once"),
    ],
)
def test_a_layer_that_will_not_do_is_one_line(resnet, path, says):
    with pytest.raises(SystemExit, match=f"^explain.layer: .*{says}") as exit:
        find_layer(resnet, 64, path)
    assert "\n" not in exit.value.code


def test_a_model_without_any_map_says_so(resnet):
    class Flat(nn.Module):
        classifier_names = ("fc",)

        def __init__(self):
            super().__init__()
            self.flat, self.fc = nn.Flatten(), nn.Linear(12, 2)

        def forward(self, images):
            return self.fc(self.flat(images))

    with pytest.raises(SystemExit, match="larger model.image_size"):
        find_layer(Flat(), 2)


def test_looking_leaves_no_hook_behind(resnet):
    attention(resnet, find_layer(resnet, 64), torch.zeros(1, 3, 64, 64), np.array([0]))
    assert not any(module._forward_hooks for module in resnet.modules())


def test_random_attention_is_as_fine_as_the_layer(resnet):
    layer = find_layer(resnet, 64, "layer3")
    first, again, other = (random_attention(layer, 64, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (64, 64) and 0 <= first.min() < 0.1 and 0.9 < first.max() <= 1
    assert (first == again).all() and (first != other).any()
    assert np.abs(np.diff(first, axis=0)).max() < 0.1, "cells of 16 pixels, without steps between them"


def test_an_overlay_changes_only_what_was_attended():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    seen = np.zeros((32, 32), np.float32)
    seen[8:16, 8:16] = 1
    image = overlay(picture, seen)
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    changed = (image != picture[..., None]).any(-1)
    assert changed[8:16, 8:16].all() and changed.sum() == 64

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
    ("convnext_atto", 64, "stages", 2),
    ("vit_tiny_patch16_224", 64, "blocks.11.norm1", 4),
    ("deit_tiny_distilled_patch16_224", 32, "blocks.11.norm1", 2),
    ("levit_128s", 224, "stages", 4),
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

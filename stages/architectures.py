"""Networks that a published document lays out itself, layer by layer.

All start as Keras starts them: weights from Glorot's uniform distribution (Glorot and Bengio, 2010), biases at 0. Both take pixels
in [0, 1] and have a size of their own, since their classifier stands on flattened feature maps.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

from torch import nn


def keras_cnn(classes: int, dropout: float, size: int) -> nn.Module:
    """Three convolutions with max pooling and a hidden layer of 128 units, [N, 3, size, size] -> logits [N, classes].

    The table gives 3,305,156 parameters at 128 px and 4 classes. It names no activations: ReLU, as usual.
    """
    side = ((((size - 2) // 2) - 2) // 2 - 2) // 2
    if side < 1:
        raise SystemExit(f"model.image_size: keras_cnn takes 22 or more, not {size}")
    layers = []
    for given, made in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(given, made, 3), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*layers, nn.Flatten()),
            hidden=nn.Sequential(nn.Linear(128 * side**2, 128), nn.ReLU(), nn.Dropout(dropout)),
            classifier=nn.Linear(128, classes),
        )
    )
    return _start(model, "classifier")


def keras_resnet50(classes: int, dropout: float, size: int) -> nn.Module:
    """ResNet-50 (He et al., 2016) as the document's code builds it, [N, 3, size, size] -> logits [N, classes].

    It differs from torchvision's in four ways: a block is strided in its first convolution, the first pooling is not padded,
    the last one averages 2 x 2 and is flattened, and batch norms have Keras' constants. Keras' convolutions also have biases;
    batch norm subtracts whatever they add, so there are none here.
    """
    from torchvision.models.resnet import Bottleneck, ResNet

    side = ((size + 1) // 2 - 3) // 2 + 1
    for _ in range(4):  # three strided stages and the last pooling
        side = (side + 1) // 2
    model = ResNet(Bottleneck, [3, 4, 6, 3], norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01))
    for stage in (model.layer2, model.layer3, model.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    model.maxpool.padding = 0
    model.avgpool = nn.AvgPool2d(2, ceil_mode=True)
    model.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(2048 * side**2, classes))
    return _start(model, "fc")


def _start(model: Any, classifier: str) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    model.classifier_names = (classifier,)
    return model


ARCHITECTURES = {"keras_cnn": keras_cnn, "keras_resnet50": keras_resnet50}
INPUT = 128  # pixels, the document's size
MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

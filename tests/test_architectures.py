"""The documents' systems, to the unit: their tables of layers and parameters. Networks on the meta device have shapes and cost nothing."""

import pytest
import torch
from torch import nn

from stages.architectures import ARCHITECTURES
from stages.model import (
    backbone_names,
    create_model,
    freeze,
    head_parameters,
    load_pretrained,
    normalisation,
    recreate_model,
    torchvision_name,
)


def build(backbone: str, head: str = "linear", classes: int = 4, dropout: float = 0.0, size: int = 128) -> nn.Module:
    with torch.device("meta"):
        return create_model(backbone, classes, dropout, size, head)


def count(model: nn.Module, rule: str = "none") -> tuple[int, int]:
    """Parameters in all, and those that are trained under a rule of model.freeze."""
    freeze(model, rule)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def trained(model: nn.Module, rule: str) -> set[str]:
    freeze(model, rule)
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# Keras counts inputs, paddings, activations, poolings and sums as layers, model.freeze only what has parameters.
KERAS_VGG19 = ["input"]
for block, convolutions in enumerate((2, 2, 4, 4, 4), 1):
    KERAS_VGG19 += [f"block{block}_conv{n}" for n in range(1, convolutions + 1)] + [f"block{block}_pool"]
KERAS_RESNET101 = ["input", "conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad", "pool1_pool"]
for stage, blocks in enumerate((3, 4, 23, 3), 2):
    for block in range(1, blocks + 1):
        parts = "1_conv 1_bn 1_relu 2_conv 2_bn 2_relu 3_conv 3_bn add out".split() + ["0_conv", "0_bn"] * (block == 1)
        KERAS_RESNET101 += [f"conv{stage}_block{block}_{part}" for part in parts]


def test_the_custom_cnn_is_the_table_s():
    model = build("keras_cnn")
    x, table = torch.empty(1, 3, 128, 128, device="meta"), []
    for layer in [*model.features, *model.hidden, model.classifier]:
        x = layer(x)
        if not isinstance(layer, (nn.ReLU, nn.Dropout)):
            table.append((tuple(x.shape[2:] + x.shape[1:2]), sum(parameter.numel() for parameter in layer.parameters())))
    assert table == [
        ((126, 126, 32), 896), ((63, 63, 32), 0), ((61, 61, 64), 18496), ((30, 30, 64), 0), ((28, 28, 128), 73856), ((14, 14, 128), 0),
        ((25088,), 0), ((128,), 3211392), ((4,), 516),
    ]  # fmt: skip
    assert count(model) == (3305156, 3305156)


@pytest.mark.parametrize("backbone", ARCHITECTURES)
def test_own_networks_are_backbones_like_any(backbone):
    torch.manual_seed(0)
    model = create_model(backbone, 3, 0.3, 64)
    names = head_parameters(model)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    assert {len(model.get_parameter(name)) for name in names} == {3} and len(names) == 2
    assert 0.3 in {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert trained(model, "backbone") == names
    assert normalisation(backbone) == ((0, 0, 0), (1, 1, 1)), "the documents scale to 0..1 and no more"
    assert torchvision_name(backbone) is None and backbone in backbone_names()
    for layer in (module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))):
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        assert 0.9 < layer.weight.abs().max() / (6 / (fan_in + fan_out)) ** 0.5 <= 1, "Glorot's uniform distribution"
        assert layer.bias is None or not layer.bias.any()
    torch.manual_seed(0)
    again = create_model(backbone, 3, 0.3, 64).state_dict()
    assert all(torch.equal(parameter, again[name]) for name, parameter in model.named_parameters())


def test_the_custom_cnn_says_what_is_too_small():
    assert build("keras_cnn", size=22)(torch.empty(1, 3, 22, 22, device="meta")).shape == (1, 4)
    with pytest.raises(SystemExit, match="model.image_size: keras_cnn takes 22 or more, not 21"):
        build("keras_cnn", size=21)


def test_the_resnet_of_the_document_s_code():
    model, shapes = build("keras_resnet50"), {}
    for name in ("conv1", "maxpool", "layer1", "layer2.0.conv1", "layer2", "layer3", "layer4", "avgpool"):
        model.get_submodule(name).register_forward_hook(lambda _, __, x, name=name: shapes.update({name: tuple(x.shape[1:])}))
    assert model(torch.empty(1, 3, 128, 128, device="meta")).shape == (1, 4)
    assert shapes == {
        "conv1": (64, 64, 64), "maxpool": (64, 31, 31), "layer1": (256, 31, 31), "layer2.0.conv1": (128, 16, 16),
        "layer2": (512, 16, 16), "layer3": (1024, 8, 8), "layer4": (2048, 4, 4), "avgpool": (2048, 2, 2),
    }  # fmt: skip
    assert count(model) == (23508032 + 8192 * 4 + 4,) * 2
    assert {(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {(1e-3, 0.01)}
    for size in (32, 75, 100):  # other sizes: Keras' "same" pooling covers what is odd
        assert build("keras_resnet50", size=size).eval()(torch.empty(1, 3, size, size, device="meta")).shape == (1, 4)


@pytest.mark.parametrize("backbone", ["vgg19", "torchvision.vgg19"])
def test_vgg19_with_its_first_15_layers_frozen(backbone):
    frozen = [layer for layer in KERAS_VGG19[:15] if "conv" in layer]
    assert len(KERAS_VGG19) == 22 and frozen[-1] == "block4_conv3" and len(frozen) == 11
    model = build(backbone, "128")
    assert count(model, "first 11") == (21073604, 12848260)
    assert model.eval()(torch.empty(2, 3, 128, 128, device="meta")).shape == (2, 4)


@pytest.mark.parametrize("backbone", ["resnet50", "torchvision.resnet50"])
def test_resnet50_with_a_hidden_layer(backbone):
    model = build(backbone, "128")
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    moving = sum(tensor.numel() for name, tensor in model.named_buffers() if "running" in name)
    biases = sum(module.out_channels for module in convolutions)  # Keras' convolutions have them, before batch norm, without effect
    assert not any(module.bias is not None for module in convolutions)
    total, trainable = count(model)
    assert (total, moving, biases) == (23508032 + 262788, 53120, 26560)
    assert total + moving + biases == 23850500 and trainable + biases == 23797380
    assert count(model, "backbone")[1] == 262272 + 516


@pytest.mark.parametrize(("backbone", "last"), [("resnet101", "layer4.2."), ("torchvision.resnet101", "layer4.2.")])
def test_resnet101_with_all_but_the_last_10_layers_frozen(backbone, last):
    own = [layer for layer in KERAS_RESNET101[-10:] if layer.endswith(("conv", "bn"))]
    assert len(KERAS_RESNET101) == 345 and len(own) == 6 and {layer[:12] for layer in own} == {"conv5_block3"}
    model = build(backbone, "128", dropout=0.5)
    names = trained(model, "all but last 8")  # the last block's, and the two of the head
    assert names == head_parameters(model) | {name for name, _ in model.named_parameters() if name.startswith(last)}
    assert len(head_parameters(model)) == 4


@pytest.mark.parametrize("backbone", ["efficientnet_b0", "torchvision.efficientnet_b0"])
def test_efficientnet_b0_with_pooling_and_a_softmax(backbone):
    assert count(build(backbone)) == (4012672,) * 2


@pytest.mark.parametrize(
    "backbone", ["resnet10t", "densenet121", "torchvision.resnet18", "torchvision.mobilenet_v3_small", "deit_tiny_distilled_patch16_224"]
)
def test_a_hidden_layer_in_other_families(backbone):
    plain, hidden = build(backbone, dropout=0.3), build(backbone, "16", dropout=0.3)
    assert hidden.eval()(torch.empty(2, 3, 128, 128, device="meta")).shape == (2, 4)
    heads = len(head_parameters(plain)) // 2
    assert len(head_parameters(hidden)) == 4 * heads
    assert plain.state_dict().keys() - head_parameters(plain) == hidden.state_dict().keys() - head_parameters(hidden)
    assert trained(hidden, "backbone") == head_parameters(hidden) == trained(hidden, f"all but last {2 * heads}")
    given = build(backbone, classes=1000, size=224).state_dict()
    report = load_pretrained(hidden, given, "hub")
    assert report == {"loaded": len(given) - 2 * heads, "replaced": sorted(head_parameters(hidden))}


@pytest.mark.parametrize("backbone", ["vgg16", "torchvision.vgg16"])
def test_vgg16_frozen_with_pooling_and_a_softmax(backbone):
    model = build(backbone, "pooled")
    assert trained(model, "backbone") == head_parameters(model)
    assert count(model, "backbone") == (14_714_688 + 512 * 4 + 4, 512 * 4 + 4), "Keras' VGG16 without its top, and the new one"


def test_pooling_takes_the_mean_of_every_feature_map():
    for backbone in ("vgg11", "torchvision.vgg11"):
        torch.manual_seed(0)
        model = create_model(backbone, 3, 0.0, 96, "pooled").eval()
        x = torch.randn(2, 3, 96, 96)
        weight, bias = (model.get_parameter(name) for name in sorted(head_parameters(model), reverse=True))
        with torch.no_grad():
            assert torch.allclose(model(x), model.features(x).mean((2, 3)) @ weight.T + bias, atol=1e-5)


def test_what_has_no_hidden_layers_cannot_be_pooled_instead():
    with pytest.raises(SystemExit, match="model.head: pooled takes the place of VGG's two hidden layers, which resnet18 does not have"):
        build("resnet18", "pooled")


@pytest.mark.parametrize("backbone", ["vgg11", "torchvision.vgg11"])
@pytest.mark.parametrize("head", ["128", "pooled"])
def test_a_vgg_that_lost_its_own_hidden_layers_takes_the_published_file(backbone, head):
    model = build(backbone, head)
    report = load_pretrained(model, build(backbone, classes=1000).state_dict(), "hub")
    assert report["loaded"] == 2 * 8 and report["replaced"] == sorted(head_parameters(model))
    with pytest.raises(SystemExit, match="hub does not fit the backbone: features.0.bias is missing$"):
        given = build(backbone, classes=1000).state_dict()
        load_pretrained(model, {name: tensor for name, tensor in given.items() if name != "features.0.bias"}, "hub")


def test_dropout_acts_before_the_hidden_layer():
    torch.manual_seed(0)
    model = create_model("torchvision.resnet18", 3, 0.5, 32, "16").train()
    order = [type(module) for module in model.fc.modules() if not isinstance(module, nn.Sequential)]
    assert order == [nn.Dropout, nn.Linear, nn.ReLU, nn.Linear] and model.fc[0].p == 0.5


def test_a_classifier_that_takes_no_hidden_layer_says_so():
    with pytest.raises(SystemExit, match="model.head: the classifier of torchvision.squeezenet1_1 takes no hidden layer, it is a Conv2d"):
        build("torchvision.squeezenet1_1", "128")


def test_networks_are_rebuilt_from_what_is_written_about_them():
    about = {"backbone": "resnet10t", "classes": ["a", "b", "c"], "dropout": 0.2, "image_size": 64}
    for head, more in (("linear", {}), ("16", {"head": "16"})):
        with torch.device("meta"):
            again = recreate_model(about | more)
        assert repr(again) == repr(build("resnet10t", head, 3, 0.2, 64))

"""Every family that the project is used with: classifier, freezing, frozen batch norms, weights in and out."""

import copy

import pytest
import torch
from torch import nn

from stages.model import (
    backbone_names,
    create_model,
    freeze,
    head_parameters,
    load_pretrained,
    load_state,
    normalisation,
    torchvision_name,
    train_mode,
)

CLASSES = 3
# backbone, input side (pixels), the classifier's parameters
BACKBONES = [
    ("resnet18", 32, "fc.weight fc.bias"),
    ("vgg16", 32, "head.fc.weight head.fc.bias"),
    ("densenet121", 32, "classifier.weight classifier.bias"),
    ("mobilenetv3_small_050", 32, "classifier.weight classifier.bias"),
    ("tf_efficientnet_lite0", 32, "classifier.weight classifier.bias"),
    ("inception_v3", 75, "fc.weight fc.bias"),
    ("vit_tiny_patch16_224", 32, "head.weight head.bias"),
    ("deit_tiny_distilled_patch16_224", 32, "head.weight head.bias head_dist.weight head_dist.bias"),
    ("convnext_atto", 32, "head.fc.weight head.fc.bias"),
    ("levit_128s", 224, "head.linear.weight head.linear.bias head_dist.linear.weight head_dist.linear.bias"),
    ("googlenet", 32, "fc.weight fc.bias"),
    ("torchvision.inception_v3", 75, "fc.weight fc.bias"),
    ("torchvision.resnet18", 32, "fc.1.weight fc.1.bias"),
    ("torchvision.vgg11_bn", 32, "classifier.6.weight classifier.6.bias"),
    ("torchvision.densenet121", 32, "classifier.1.weight classifier.1.bias"),
    ("torchvision.squeezenet1_1", 32, "classifier.1.weight classifier.1.bias"),
    ("torchvision.shufflenet_v2_x0_5", 32, "fc.1.weight fc.1.bias"),
    ("torchvision.mobilenet_v3_small", 32, "classifier.3.weight classifier.3.bias"),
    ("torchvision.regnet_x_400mf", 32, "fc.1.weight fc.1.bias"),
    ("torchvision.swin_t", 32, "head.1.weight head.1.bias"),
]


@pytest.fixture(scope="module", params=BACKBONES, ids=lambda entry: entry[0])
def built(request):
    """(backbone, size, names of the classifier's parameters, model), each built once; tests leave its weights as they are."""
    backbone, size, head = request.param
    torch.manual_seed(0)
    return backbone, size, set(head.split()), create_model(backbone, CLASSES, dropout=0.3, image_size=size)


def _trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _batch(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_forward_and_classifier(built):
    _, size, head, model = built
    with torch.no_grad():
        assert model.eval()(_batch(size)).shape == (2, CLASSES)
        assert model.train()(_batch(size)).shape == (2, CLASSES)
    assert head_parameters(model) == head
    assert all(len(model.get_parameter(name)) == CLASSES for name in head)
    assert 0.3 in {module.p for module in model.modules() if isinstance(module, nn.Dropout)} | {getattr(model, "drop_rate", 0)}


def test_freeze_rules(built):
    _, _, head, model = built
    names = [name for name, _ in model.named_parameters()]
    owners = {name.rpartition(".")[0] for name in names}
    freeze(model, "backbone")
    assert _trainable(model) == head
    freeze(model, "none")
    assert _trainable(model) == set(names)
    freeze(model, "first 1")
    first = [name for name in names if name.rpartition(".")[0] == names[0].rpartition(".")[0]]
    assert _trainable(model) == set(names) - set(first)
    heads = {name.rpartition(".")[0] for name in head}
    freeze(model, f"all but last {len(heads)}")
    assert _trainable(model) == head
    freeze(model, f"first {len(owners) - len(heads)}")
    assert _trainable(model) == head
    with pytest.raises(SystemExit, match=f"must be from 1 to {len(owners) - 1}"):
        freeze(model, f"first {len(owners)}")


def test_what_is_frozen_stays(built):
    _, size, head, original = built
    model = copy.deepcopy(original)
    freeze(model, "backbone")
    train_mode(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    nn.functional.cross_entropy(model(_batch(size)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])} == head


def test_pretrained_weights_go_in_whatever_the_classifier(built):
    backbone, size, head, original = built
    torch.manual_seed(1)
    given = create_model(backbone, 7).state_dict()
    model = copy.deepcopy(original)
    report = load_pretrained(model, given, "test")
    state = model.state_dict()
    assert report["replaced"] == sorted(head)
    assert report["loaded"] == len(state) - len(head)
    for name, tensor in state.items():
        if name in head:
            assert tensor.abs().max() < 0.06, "a new classifier starts small"
            assert tensor.any() == (tensor.ndim > 1)
        elif tensor.shape == given[name].shape:  # else a position embedding, resampled to another size
            assert torch.equal(tensor, given[name])
        else:
            assert "pos_embed" in name
    freeze(model, "backbone")
    with torch.no_grad():
        assert model.eval()(_batch(size)).shape == (2, CLASSES)


def test_first_layers_keep_their_statistics():
    model = create_model("resnet18", CLASSES)
    freeze(model, "first 2")  # the stem: a convolution and its batch norm
    train_mode(model)
    stem, inner = model.bn1.running_mean.clone(), model.layer1[0].bn1.running_mean.clone()
    model(_batch(32))
    assert torch.equal(model.bn1.running_mean, stem)
    assert not torch.equal(model.layer1[0].bn1.running_mean, inner)


def test_layers_are_counted_in_order_of_definition():
    model = create_model("resnet18", CLASSES)
    freeze(model, "all but last 3")
    assert _trainable(model) == {"fc.weight", "fc.bias", "layer4.1.bn2.weight", "layer4.1.bn2.bias", "layer4.1.conv2.weight"}


@pytest.mark.parametrize("rule", ["all", "last 3", "first", "first -1", "first 0", "all but last 0", "Backbone", ""])
def test_other_freeze_rules_are_refused(rule):
    with pytest.raises(SystemExit, match="model.freeze"):
        freeze(create_model("torchvision.squeezenet1_1", CLASSES), rule)


def test_load_state_is_strict():
    model, other = create_model("resnet10t", CLASSES), create_model("resnet10t", CLASSES)
    load_state(model, other.state_dict())
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_state(model, create_model("resnet10t", CLASSES + 1).state_dict())


def test_mismatches_outside_the_classifier_are_fatal():
    model = create_model("torchvision.resnet18", CLASSES)
    state = create_model("torchvision.resnet18", 1000).state_dict()
    lacking = {name: tensor for name, tensor in state.items() if name != "conv1.weight"}
    with pytest.raises(SystemExit, match="my.pth does not fit the backbone: conv1.weight is missing$"):
        load_pretrained(model, lacking, "my.pth")
    with pytest.raises(SystemExit, match="conv0.weight is unexpected$"):
        load_pretrained(model, state | {"conv0.weight": torch.zeros(1)}, "my.pth")
    with pytest.raises(SystemExit, match=r"conv1.weight is \[64, 1, 7, 7\], not \[64, 3, 7, 7\]$"):
        load_pretrained(model, state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, "my.pth")
    with pytest.raises(SystemExit, match=r"(is missing.*){4} and \d+ more$"):
        load_pretrained(model, {"fc.weight": torch.zeros(1000, 512)}, "my.pth")


def test_plain_classifier_auxiliaries_and_old_files_go_in():
    state = create_model("torchvision.resnet18", 1000).state_dict()
    published = {name.replace("fc.1.", "fc."): tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    model = create_model("torchvision.resnet18", CLASSES)
    load_pretrained(model, published, "old.pth")
    assert torch.equal(model.conv1.weight, published["conv1.weight"])
    google = create_model("googlenet", CLASSES)
    assert google.aux1 is None
    assert load_pretrained(google, google.state_dict() | {"aux1.fc1.weight": torch.zeros(1)}, "test")["loaded"]


def test_no_weights_leave_the_model_alone():
    model = create_model("resnet10t", CLASSES)
    before = copy.deepcopy(model.state_dict())
    assert load_pretrained(model, {}, "none") == {"loaded": 0, "replaced": ["fc.bias", "fc.weight"]}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_position_embeddings_follow_the_image_size():
    small = create_model("vit_tiny_patch16_224", CLASSES, image_size=64)
    assert small.pos_embed.shape[1] == 1 + 4 * 4
    with torch.no_grad():
        reference = create_model("vit_tiny_patch16_224", CLASSES)
        reference.pos_embed[:, 1:] = 2.0
    load_pretrained(small, reference.state_dict(), "test")
    assert small.pos_embed.shape[1] == 1 + 4 * 4
    torch.testing.assert_close(small.pos_embed[:, 1:], torch.full((1, 16, 192), 2.0))


@pytest.mark.parametrize("backbone", ["convit_tiny", "torchvision.vit_b_16"])
def test_a_backbone_of_one_size_says_so(backbone):
    with pytest.raises(SystemExit, match="model.image_size: .*only takes 224, not 96"):
        create_model(backbone, CLASSES, image_size=96)


@pytest.mark.parametrize(
    ("backbone", "hint"),
    [
        ("resnet19", "resnet18"),
        ("torchvision.resnet", "torchvision.resnet"),
        ("resnet18.imagenet", "resnet18.a1_in1k"),
        ("googlenet2", "googlenet"),
        ("qqqqqqqqqqqqqqqq", "list_models"),
    ],
)
def test_unknown_backbones_are_refused_with_a_hint(backbone, hint):
    with pytest.raises(SystemExit, match=f"model.backbone: there is no '{backbone}'.*{hint}"):
        create_model(backbone, CLASSES)


def test_names():
    names = backbone_names()
    assert {"resnet18", "tf_efficientnet_lite0", "torchvision.googlenet", "torchvision.resnet18"} <= set(names)
    assert torchvision_name("googlenet") == torchvision_name("torchvision.googlenet") == "googlenet"
    assert torchvision_name("resnet18") is None and torchvision_name("resnet18.a1_in1k") is None
    assert torchvision_name("torchvision.resnet18") == "resnet18"


@pytest.mark.parametrize(
    ("backbone", "mean", "std"),
    [
        ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("tf_efficientnet_lite0", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("torchvision.resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("efficientnet_v2_l", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_normalisation(backbone, mean, std):
    assert normalisation(backbone) == (mean, std)
    assert normalisation(backbone, "none") == ((0, 0, 0), (1, 1, 1))


def test_initialisation_follows_the_seed():
    torch.manual_seed(0)
    first = create_model("torchvision.mobilenet_v3_small", CLASSES).state_dict()
    torch.manual_seed(0)
    second = create_model("torchvision.mobilenet_v3_small", CLASSES).state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())

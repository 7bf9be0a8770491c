"""The network: a timm or torchvision backbone with a new classifier, what of it is trained, and how weights are put into it."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from stages.architectures import ARCHITECTURES, INPUT, MEAN, STD
from stages.heads import HEADS

AUXILIARY = ("aux1", "aux2", "AuxLogits")  # the side classifiers of GoogLeNet and Inception, which only training from scratch uses


def backbone_names() -> list[str]:
    """Every backbone that model.backbone may name, timm's first; timm's also exist with the tag of one set of weights."""
    return _timm_names() + [f"torchvision.{name}" for name in _torchvision_names()] + list(ARCHITECTURES)


def torchvision_name(backbone: str) -> str | None:
    """torchvision's own name of a backbone, or None if it is timm's or ours; a bare name is timm's wherever timm knows it.

    Raises SystemExit with the closest known names when neither library has it.
    """
    if backbone in ARCHITECTURES:
        return None
    if backbone.startswith("torchvision.") or backbone.split(".")[0] not in _timm_names():
        name = backbone.removeprefix("torchvision.")
        if name in _torchvision_names():
            return name
        close = difflib.get_close_matches(backbone, dict.fromkeys([*backbone_names(), *_torchvision_names()]), n=5)
    elif "." not in backbone or timm.is_model_pretrained(backbone):
        return None
    else:
        close = timm.list_pretrained(f"{backbone.split('.')[0]}.*")
    hint = f"; did you mean {', '.join(close)}?" if close else "; timm.list_models() and torchvision.models.list_models() list them"
    raise SystemExit(f"model.backbone: there is no {backbone!r} in timm or torchvision{hint}")


def create_model(backbone: str, classes: int, dropout: float = 0.0, image_size: int | None = None, head: str = "linear") -> nn.Module:
    """A randomly initialised network, [N, 3, S, S] -> logits [N, classes].

    dropout acts before the head; in families whose head has dropouts of its own (VGG, MobileNet, ...) it is
    their probability. image_size (pixels) is for the backbones that are built for one size, such as vision transformers.
    head: as model.head, "linear" or the width of a hidden layer between the features and the classifier; VGG's own two hidden
    layers and its pooling go then, so that the new one stands on the flattened feature maps (Keras' include_top=False). "pooled",
    for VGG only: a linear classifier on the pooled feature maps, without the two. "svm" and "knn" stand where the linear classifier
    would, empty as yet.
    Raises SystemExit when there is no such backbone, or when it is built for another size and cannot change it, or when its
    classifier cannot be replaced by this head.
    """
    name = torchvision_name(backbone)
    if backbone in ARCHITECTURES:
        model = ARCHITECTURES[backbone](classes, dropout, image_size or INPUT)
    elif name:
        if name.startswith(("vit_", "maxvit_")) and image_size not in (None, 224):
            raise SystemExit(f"model.image_size: {backbone} only takes 224, not {image_size}")
        model = _create_torchvision(name, classes, dropout)
    else:
        model = timm.create_model(backbone, pretrained=False, num_classes=classes, drop_rate=dropout)
        if image_size:
            _set_input_size(model, (image_size, image_size))
    if head in HEADS:
        _replace_classifier(model, head, backbone)
    elif head != "linear":
        is_vgg = name and name.startswith("vgg") or isinstance(model, timm.models.VGG)
        if head == "pooled" and not is_vgg:
            raise SystemExit(f"model.head: pooled takes the place of VGG's two hidden layers, which {backbone} does not have; use linear")
        if is_vgg:
            _strip_vgg(model, classes, dropout, 1 if head == "pooled" else (image_size or 224) // 32)
        if head != "pooled":
            _add_hidden_layer(model, int(head), backbone)
    return model


def recreate_model(about: dict) -> nn.Module:
    """The network that model.json, or package.json, describes; its "head" is there unless it is linear."""
    return create_model(about["backbone"], len(about["classes"]), about["dropout"], about["image_size"], about.get("head", "linear"))


def normalisation(backbone: str, choice: str = "backbone") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the three channels, for pixels in [0, 1]: those that the backbone is made for, or 0 and 1 with "none"."""
    if choice == "none" or backbone in ARCHITECTURES:
        return MEAN, STD
    name = torchvision_name(backbone)
    if name:
        from torchvision import models

        config: Any = models.get_model_weights(name).DEFAULT.transforms()
    else:
        config = timm.get_pretrained_cfg(backbone, allow_unregistered=False)
    return tuple(config.mean), tuple(config.std)


class Normalise(nn.Module):
    """Levels in [0, 1], grey [N, 1, S, S] or of three channels, as a network takes them: [N, 3, S, S]; mean and std as of normalisation."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def head_parameters(model: nn.Module) -> set[str]:
    """Names of the classifier's parameters."""
    heads = _head_names(model)
    return {name for name, _ in model.named_parameters() if _belongs(name, heads)}


def freeze(model: nn.Module, rule: str) -> None:
    """Set which parameters are trained, by one of the rules of model.freeze:

    "none", "backbone" (all but the classifier), "first N" or "all but last N" layers. A layer is a module with parameters
    of its own (a convolution, a batch norm, a linear layer, ...), counted in the order of definition, the classifier last.
    Comes after load_pretrained. Raises SystemExit on any other rule, or when N leaves nothing to freeze or to train.
    """
    head, layers = head_parameters(model), _layers(model)
    match = re.fullmatch(r"(first|all but last) (\d+)", rule)
    if match:
        count = int(match[2])
        if not 0 < count < len(layers):
            raise SystemExit(f"model.freeze: {rule!r} of a model with {len(layers)} layers; N must be from 1 to {len(layers) - 1}")
        frozen = {name for layer in layers[: count if match[1] == "first" else -count] for name in layer}
    elif rule in ("none", "backbone"):
        frozen = set() if rule == "none" else {name for name, _ in model.named_parameters()} - head
    else:
        raise SystemExit(f'model.freeze: {rule!r} is not one of "none", "backbone", "first N", "all but last N"')
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)


def train_mode(model: nn.Module) -> None:
    """model.train(), except that frozen batch norms keep their running statistics: what is frozen stays what it was."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and hasattr(module, "running_var") and not any(parameter.requires_grad for parameter in own):
            module.eval()


def load_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load a state that this project saved; every key and shape must be the model's."""
    model.load_state_dict(state, strict=True)


def load_pretrained(model: nn.Module, state: dict[str, Tensor], source: str) -> dict:
    """Load a backbone's weights into a model with a new classifier, which starts small.

    Libraries initialise a classifier for training from scratch, some (timm's EfficientNet) so large that the first
    gradients damage the pretrained features before it has learnt anything: here its weights start at N(0, 0.01), its biases at 0.

    An empty state (model.weights: none) leaves the model as it is. Returns {"loaded": number of tensors, "replaced": the
    classifier's keys, which were not loaded}. Raises SystemExit, naming the source, when a key is missing, unexpected or
    of another shape anywhere but in the classifier; the batch counters, which old files lack, may be missing.
    """
    replaced = sorted(head_parameters(model))
    if not state:
        return {"loaded": 0, "replaced": replaced}
    config: Any = getattr(model, "pretrained_cfg", None)
    if config:  # timm's: position embeddings are stored for the pretrained size: take that on, load, and resample them
        size = _input_size(model)
        _set_input_size(model, config["input_size"][-2:])
    heads = _head_names(model)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items() if not _belongs(name, heads)}
    given = {name: tensor for name, tensor in state.items() if not _belongs(name, (*heads, *AUXILIARY))}
    faults = [f"{name} is missing" for name in expected if name not in given and not name.endswith("num_batches_tracked")]
    faults += [f"{name} is unexpected" for name in given if name not in expected]
    faults += [
        f"{name} is {list(tensor.shape)}, not {list(expected[name])}"
        for name, tensor in given.items()
        if name in expected and tensor.shape != expected[name]
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise SystemExit(f"{source} does not fit the backbone: {'; '.join(faults[:4])}{more}")
    model.load_state_dict(given, strict=False)
    for name, parameter in model.named_parameters():
        if name in replaced:
            nn.init.normal_(parameter, std=0.01) if parameter.ndim > 1 else nn.init.zeros_(parameter)
    if config:
        _set_input_size(model, size)
    return {"loaded": len(given), "replaced": replaced}


def _timm_names() -> list[str]:
    return [name for name in timm.list_models() if not name.endswith("_enc")]  # encoders of language models have no classifier


def _torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def _create_torchvision(name: str, classes: int, dropout: float) -> nn.Module:
    from torchvision import models

    # torchvision's weights of these two take ImageNet-normalised pixels only with transform_input
    extra = {"aux_logits": False, "transform_input": True, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model: Any = models.get_model(name, weights=None, num_classes=classes, **extra)
    # every family of torchvision defines its classifier last: fc, classifier.6, heads.head, a 1x1 convolution in SqueezeNet
    path, layer = [(path, module) for path, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    own = {path.split(".")[0], "dropout"}
    dropouts = [m for child, part in model.named_children() if child in own for m in part.modules() if isinstance(m, nn.Dropout)]
    for module in dropouts:
        module.p = dropout
    if not dropouts:
        model.set_submodule(path, nn.Sequential(nn.Dropout(dropout), layer))
    model.classifier_names = (path,)
    return model


def _strip_vgg(model: Any, classes: int, dropout: float, side: int) -> None:
    """Put a VGG's classifier on its last feature maps, pooled where side is 1, else flattened, of side x side cells."""
    classifier = nn.Linear(512 * side**2, classes)
    if hasattr(model, "pretrained_cfg"):
        model.pre_logits, model.head.fc = nn.Identity(), classifier
        model.head.global_pool = nn.Flatten() if side > 1 else model.head.global_pool
        model.classifier_names = ("pre_logits", "head.fc")  # the files of weights still hold what is gone
    else:
        model.avgpool = nn.Identity() if side > 1 else nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Sequential(nn.Dropout(dropout), classifier)
        model.classifier_names = ("classifier",)


def _replace_classifier(model: nn.Module, head: str, backbone: str) -> None:
    paths = _classifiers(model)
    layer = model.get_submodule(paths[0])
    if len(paths) > 1 or not isinstance(layer, nn.Linear):
        raise SystemExit(f"model.head: {head} takes the place of one linear layer, which {backbone} does not end with; use linear")
    model.set_submodule(paths[0], HEADS[head](layer.in_features, layer.out_features))


def _add_hidden_layer(model: nn.Module, width: int, backbone: str) -> None:
    for path in _classifiers(model):
        layer = model.get_submodule(path)
        if not isinstance(layer, nn.Linear):
            raise SystemExit(f"model.head: the classifier of {backbone} takes no hidden layer, it is a {type(layer).__name__}; use linear")
        model.set_submodule(path, nn.Sequential(nn.Linear(layer.in_features, width), nn.ReLU(), nn.Linear(width, layer.out_features)))


def _classifiers(model: nn.Module) -> list[str]:
    """Paths of the layers that the classifier's parameters are in."""
    return sorted({name.rpartition(".")[0] for name in head_parameters(model)})


def _head_names(model: Any) -> tuple[str, ...]:
    """Where the classifier sits: module names, more than one in distilled transformers."""
    if hasattr(model, "classifier_names"):
        return model.classifier_names
    names = model.pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def _belongs(name: str, modules: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{module}." for module in modules))


def _layers(model: nn.Module) -> list[list[str]]:
    """Parameter names by layer, the classifier's layers last."""
    head = head_parameters(model)
    own = ((path, module.named_parameters(recurse=False)) for path, module in model.named_modules())
    layers = [[f"{path}.{name}".lstrip(".") for name, _ in parameters] for path, parameters in own]
    return sorted(filter(None, layers), key=lambda layer: layer[0] in head)


def _input_size(model: nn.Module) -> tuple[int, int]:
    """(height, width) that a timm model is made for at present."""
    return tuple(timm.models.get_model_input_config(model)["input_size"][-2:])


def _set_input_size(model: Any, size: tuple[int, int]) -> None:
    """Change a timm model that is built for one input size to another one; the others take any size as they are."""
    if not timm.models.get_model_input_config(model)["fixed_input_size"] or tuple(size) == _input_size(model):
        return
    if not hasattr(model, "set_input_size"):
        raise SystemExit(f"model.image_size: this backbone only takes {_input_size(model)[0]}, not {size[0]}")
    try:
        model.set_input_size(img_size=tuple(size))
    except (AssertionError, RuntimeError, ValueError, ArithmeticError) as error:  # a size that its patches or windows do not divide
        raise SystemExit(f"model.image_size: this backbone does not take {size[0]} ({' '.join(str(error).split()):.100})") from None

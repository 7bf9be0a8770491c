"""Where a network looked: Grad-CAM (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74) on any backbone, at a layer that fits it."""

import difflib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import matplotlib
import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from stages.model import head_parameters

OPACITY = 0.6  # of the heat map where the attention is strongest


@dataclass(frozen=True)
class Layer:
    """A layer whose output is a square map of places: its path in the model, the map's side in cells, output -> [N, C, side, side]."""

    path: str
    module: nn.Module
    side: int
    to_map: Callable[[Tensor], Tensor]


def find_layer(model: nn.Module, image_size: int, path: str = "auto") -> Layer:
    """The layer to look at, found by running the model, with its weights in it, once on noise of image_size (pixels).

    auto: the last feature map of more than one cell before the classifier. In a transformer, whose output is tokens, the last norm
    from which the patches reach the classifier: in one that only reads its class token, the norm before the last attention.
    Raises SystemExit when the model has no layer of that path, naming close ones, or when there is no map in the layer's output.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    if path not in ("auto", *modules):
        close = difflib.get_close_matches(path, modules, n=5)
        raise SystemExit(
            f"explain.layer: the model has no {path!r}; did you mean {', '.join(close or list(dict(model.named_children())))}?"
        )

    outputs, logits = _outputs(model, modules, image_size)
    prefix = getattr(model, "num_prefix_tokens", 0)
    maps = {name: layout for name, output in outputs.items() if (layout := _layout(output, prefix))}
    if path == "auto":
        path = _last_map(model, outputs, maps, logits)
        if path is None:
            raise SystemExit("explain.layer: no layer of this backbone puts out a map of places; a larger model.image_size may give one")
    elif path not in maps:
        shape = f"puts out {list(outputs[path].shape)}" if path in outputs else "puts out no tensor, or runs more than once"
        raise SystemExit(f"explain.layer: {path} {shape}, which is no square map of places; auto chooses one that is")
    side, to_map = maps[path]
    return Layer(path, modules[path], side, to_map)


def attention(model: nn.Module, layer: Layer, inputs: Tensor, classes: np.ndarray) -> np.ndarray:
    """How much each pixel of each picture speaks for a class: float32 [N, S, S], 0 to 1 in each picture; all 0 where nothing does.

    inputs: [N, 3, S, S], normalised; classes: int [N].
    """
    targets = [ClassifierOutputTarget(int(k)) for k in classes]
    with (
        _no_parameter_gradients(model),
        GradCAM(model=model, target_layers=[layer.module], reshape_transform=layer.to_map) as cam,
    ):
        cam.compute_input_gradient = True  # the way back to the layer begins at the input then
        return cam(input_tensor=inputs, targets=targets)


@contextmanager
def _no_parameter_gradients(model: nn.Module) -> Iterator[None]:
    # Nobody reads them here, and on some CPUs oneDNN computes those of a thin strided convolution beyond its buffer (stages/train/cpu.py).
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def random_attention(layer: Layer, image_size: int, random: np.random.Generator) -> np.ndarray:
    """Attention as fine as the layer's, and as smooth, that knows nothing of the picture: float32 [S, S], 0 to 1."""
    return scale_cam_image(random.random((1, layer.side, layer.side)), (image_size, image_size))[0]


def overlay(picture: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """uint8 [S, S, 3]: a grey picture, uint8 [S, S], under its attention; where there is none the picture is as it was."""
    colours = matplotlib.colormaps["inferno"](attention)[..., :3] * 255
    opacity = OPACITY * attention[..., None]
    return ((1 - opacity) * picture[..., None] + opacity * colours).round().astype(np.uint8)


def _outputs(model: nn.Module, modules: dict[str, nn.Module], image_size: int) -> tuple[dict[str, Tensor], Tensor]:
    """What each module puts out, in the order in which they finish, and the logits; modules that run more than once are left out."""
    calls = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: calls.append((name, output)))
        for name, module in modules.items()
    ]
    parameter = next(model.parameters())
    noise = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).to(parameter)
    try:
        logits = model.eval()(noise)
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for name, _ in calls]
    return {name: output for name, output in calls if isinstance(output, Tensor) and names.count(name) == 1}, logits


def _layout(output: Tensor, prefix: int) -> tuple[int, Callable[[Tensor], Tensor]] | None:
    """Side of the map in a module's output, for one square picture, and how to get it as [N, C, side, side]; None if it holds none."""
    shape = output.shape
    if shape[0] != 1:
        return None
    if output.ndim == 4 and shape[2] == shape[3] > 1:
        return shape[2], torch.clone  # an activation after it may write into it
    if output.ndim == 4 and shape[1] == shape[2] > 1:
        return shape[1], partial(torch.permute, dims=(0, 3, 1, 2))
    if output.ndim == 3:
        for before in (prefix, 0, 1, 2):  # class and distillation tokens, of which some models only add one in the last blocks
            side = math.isqrt(max(shape[1] - before, 0))
            if side > 1 and side**2 + before == shape[1]:
                return side, partial(_tokens_to_map, before=before, side=side)
    return None


def _tokens_to_map(tokens: Tensor, before: int, side: int) -> Tensor:
    return tokens[:, before:].unflatten(1, (side, side)).permute(0, 3, 1, 2)


def _last_map(model: nn.Module, outputs: dict[str, Tensor], maps: dict, logits: Tensor) -> str | None:
    modules = dict(model.named_modules())
    heads = {name.split(".")[0] for name in head_parameters(model)} | {"pre_logits"}
    # An adaptive pooling may blow a single cell up to the size that the classifier wants.
    candidates = [name for name in maps if name.split(".")[0] not in heads and not isinstance(modules[name], nn.AdaptiveAvgPool2d)]
    if not candidates or outputs[candidates[-1]].ndim == 4:
        return candidates[-1] if candidates else None

    # Tokens. Behind the last attention only the class token matters to many models: there, the patches have no gradient.
    def matters(name: str) -> bool:
        gradient = torch.autograd.grad(logits.sum(), outputs[name], retain_graph=True, allow_unused=True)[0]
        return gradient is not None and bool(maps[name][1](gradient).any())

    tokens = [name for name in reversed(candidates) if outputs[name].ndim == 3]
    norms = [name for name in tokens if "norm" in type(modules[name]).__name__.lower()]
    return next(filter(matters, norms + tokens), None)

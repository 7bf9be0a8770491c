"""Frozen layers run once: what they make of every picture is kept, and takes the picture's place in training.

The network is traced to a graph with torch.fx, as the feature extraction of torchvision and timm does, and cut where its
frozen part ends. What lies before the cut runs once over all pictures; what lies behind it is the network that is trained.
"""

import math
import operator
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import DualGraphModule
from tqdm import tqdm

from stages.model import train_mode
from stages.params import Augment
from stages.train.checkpoint import SCRATCH
from stages.train.data import Images

IN_MEMORY = 4 * 2**30  # bytes of activations up to which they stay in memory, the device's; beyond, a scratch file holds them
BATCH = 64  # pictures a pass, as in validation
PROBE = 3  # pictures that show where the frozen part ends
TOLERANCE = 0.05  # of the largest output: far above the rounding of bfloat16


class Activations:
    """What crosses the cut, for each of some pictures; the training loop takes it in place of Images."""

    def __init__(self, images: Images, rows: Tensor, first: Callable[[Tensor], tuple[Tensor, ...]]):
        """Run first, [B, 3, S, S] -> tuple of tensors [B, ...], over the pictures of these rows."""
        self.device = images.device
        self.place = torch.zeros(int(rows.max()) + 1, dtype=torch.int64)
        self.place[rows] = torch.arange(len(rows))
        shapes = first(images.plain(rows[:1]))
        size = len(rows) * _bytes(shapes)
        self.stored = [_room(len(rows), tensor, size > IN_MEMORY) for tensor in shapes]
        print(f"frozen layers run once: {size / 1e6:.0f} MB of activations {'in a scratch file' if size > IN_MEMORY else 'in memory'}")
        for batch in tqdm(rows.split(BATCH), desc="frozen layers", unit="batch", leave=False, disable=None):
            for stored, tensor in zip(self.stored, first(images.plain(batch)), strict=True):
                stored[self.place[batch].to(stored.device)] = tensor.to(stored.device)

    def plain(self, rows: Tensor) -> list[Tensor]:
        """What crosses the cut for these rows of the pixel array: tensors [B, ...] in the type of the forward pass."""
        return [stored[self.place[rows].to(stored.device)].to(self.device) for stored in self.stored]

    def augmented(self, rows: Tensor, how: Augment, generator: torch.Generator) -> list[Tensor]:
        """The same: there are activations only where nothing is augmented."""
        return self.plain(rows)


class FrozenLayers:
    """Cuts the models of all folds, and runs the frozen part anew only if it is another one than in the fold before."""

    def __init__(self, images: Images, rows: Tensor, precision: torch.dtype):
        """rows are those of the pixel array that any fold trains on or validates with."""
        self.images, self.rows = images, rows
        self.autocast = torch.autocast(images.device.type, precision, enabled=precision != torch.float32)
        self.cut: tuple[fx.GraphModule, Activations] | None = None  # the frozen part and what it makes of the images

    def split(self, model: nn.Module) -> tuple[nn.Module, Images | Activations]:
        """What to train, with the parameters of model and their names, and what to feed it.

        Both are returned as they are, with a line that says why, where the network cannot be cut.
        """
        x = self.images.plain(self.rows[:PROBE])
        try:
            with self.autocast:
                first, rest = cut_in_two(model, x)
                if self.cut is None or not _same(first, self.cut[0]):
                    self.cut = None  # frees the memory first
                    with torch.no_grad():
                        self.cut = first, Activations(self.images, self.rows, first)
            return rest, self.cut[1]
        except CannotCut as reason:
            print(f"frozen layers run in every epoch: {reason}")
            return model, self.images


class CannotCut(Exception):
    """Why frozen layers have to run in every epoch."""


def cut_in_two(model: nn.Module, x: Tensor) -> tuple[fx.GraphModule, nn.Module]:
    """The frozen part of a network and the rest of it, which share their modules with it; x [B, 3, S, S] are some pictures.

    The first part maps pictures to a tuple of tensors [B, ...], the second one these to the network's output.
    Raises CannotCut when there is no such cut.
    """
    train_mode(model)
    try:  # twice, since tracing writes down what `if self.training` led to
        training = _Tracer().trace(model)
        evaluation = _Tracer().trace(model.eval())
    except Exception as error:  # whatever code it was that met a proxy in place of a tensor
        raise CannotCut(f"torch.fx cannot trace this backbone ({' '.join(str(error).split())[:120]})") from error
    train_mode(model)
    cut = _find_cut(model, training, evaluation, x)
    first = fx.GraphModule(model, _before(training, cut))
    rest = DualGraphModule(model, _behind(training, cut), _behind(evaluation, cut))

    # A silent difference would be dear, and it is cheap to see that the parts make up the whole, picture by picture.
    model.eval()
    rest.eval()
    with torch.no_grad():
        whole = model(x)
        activations = [torch.cat(pictures) for pictures in zip(*map(first, x.split(1)), strict=True)]
        if (whole - rest(activations)).abs().max() > TOLERANCE * whole.abs().max():
            raise CannotCut("cut in two, this backbone computes something else")
    return first, rest


class _Tracer(fx.Tracer):
    """Opens a module only if a frozen layer may be in it; layers run as they are, as the mode and the precision will have it."""

    def __init__(self):
        super().__init__(autowrap_modules=(math, torchvision.ops), autowrap_functions=tuple(get_notrace_functions()))

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return (
            super().is_leaf_module(module, name)
            or isinstance(module, tuple(get_notrace_modules()))
            or any(True for _ in module.parameters(recurse=False))
            or all(parameter.requires_grad for parameter in module.parameters())
        )

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        return root_fn, [self.root, self.create_proxy("placeholder", "x", (), {})]  # other arguments keep their defaults


@dataclass
class _Cut:
    """A place in the list of a graph's nodes: what has been computed from the pictures by then, and what of it is needed later."""

    done: list[int]
    crossing: list[int]


def _find_cut(model: nn.Module, graph: fx.Graph, evaluation: fx.Graph, x: Tensor) -> _Cut:
    """Behind as many frozen layers as possible; among these places where the fewest bytes cross.

    Runs the nodes one by one until the values would differ between steps: they need a gradient, or random numbers, or
    statistics of the batch, or another computation in training than in validation.
    """
    run = fx.Interpreter(model, garbage_collect_values=False, graph=graph)
    run.args_iter = iter([x])
    nodes, layers = list(graph.nodes), 0
    done: list[int] = []
    best: tuple[tuple[int, int], _Cut] | None = None
    for number, (node, twin) in enumerate(zip(nodes, evaluation.nodes, strict=False)):
        module = model.get_submodule(node.target) if node.op == "call_module" else None
        if node.format_node() != twin.format_node() or (module and _follows_the_batch(module)):
            break
        before = _random_state()
        value = run.env[node] = run.run_node(node)
        if not torch.equal(_random_state(), before):
            break
        if node.op != "placeholder" and not any(nodes[k] in node.all_input_nodes for k in done):
            continue  # a parameter or a constant: both parts take it from the model
        if isinstance(value, Tensor) and value.requires_grad:
            break
        done.append(number)
        layers += module is not None and any(True for _ in module.parameters())
        later = set(nodes[number + 1 :])
        crossing = [k for k in done if later & nodes[k].users.keys()]
        values = [run.env[nodes[k]] for k in crossing]
        if all(isinstance(value, Tensor) and value.shape[:1] == x.shape[:1] for value in values):
            rank = (layers, -_bytes(values))
            if best is None or rank >= best[0]:  # the later one of equals
                best = rank, _Cut(done.copy(), crossing)
    if best is None or not best[0][0]:
        raise CannotCut("no frozen layer comes before what is trained or random")
    return best[1]


def _follows_the_batch(module: nn.Module) -> bool:
    return any(part.training and hasattr(part, "running_var") for part in module.modules())


def _random_state() -> Tensor:
    return torch.cat([torch.get_rng_state(), *torch.cuda.get_rng_state_all()])


def _before(graph: fx.Graph, cut: _Cut) -> fx.Graph:
    first, nodes = fx.Graph(), list(graph.nodes)
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[: cut.done[-1] + 1]:
        copies[node] = first.node_copy(node, copies.__getitem__)
    first.output(tuple(copies[nodes[k]] for k in cut.crossing))
    return first


def _behind(graph: fx.Graph, cut: _Cut) -> fx.Graph:
    rest = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    activations = rest.placeholder("activations")
    for number, node in enumerate(graph.nodes):
        if number in cut.crossing:
            copies[node] = rest.call_function(operator.getitem, (activations, cut.crossing.index(number)))
        elif number not in cut.done:
            copies[node] = rest.node_copy(node, copies.__getitem__)
    return rest


def _same(first: fx.GraphModule, other: fx.GraphModule) -> bool:
    mine, others = first.state_dict(), other.state_dict()
    return first.code == other.code and all(torch.equal(mine[name], others[name]) for name in mine)


def _bytes(values) -> int:
    """What the tensors [B, ...] need for one picture."""
    return sum(value[0].numel() * value.element_size() for value in values)


def _room(count: int, like: Tensor, in_file: bool) -> Tensor:
    """An empty tensor [count, ...] for values that are each like one of the tensor [B, ...], in its order in memory."""
    last = like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)
    shape = (count, *(like.permute(0, 2, 3, 1) if last else like).shape[1:])
    if in_file:
        size = math.prod(shape) * like.element_size()
        SCRATCH.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(SCRATCH).free) < size:
            raise CannotCut(f"their activations need {size / 1e9:.1f} GB in {SCRATCH}, which has {free / 1e9:.1f}")
        with tempfile.NamedTemporaryFile(dir=SCRATCH) as file:  # removed at once: the mapping keeps it as long as it is needed
            room = torch.from_file(file.name, shared=True, size=math.prod(shape), dtype=like.dtype).view(shape)
    else:
        room = torch.empty(shape, dtype=like.dtype, device=like.device)
    return room.permute(0, 3, 1, 2) if last else room

"""The memory that a training takes, that which is free, and what is said when it runs out or a process crashes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import Tensor

from stages.device import pick_device, pick_precision
from stages.model import create_model, freeze, train_mode
from stages.params import Params

PROCESS = 0.8 * 2**30  # bytes of a process that has loaded torch and timm
OF_A_WEIGHT = 5 * 4  # bytes: the weight, its gradient, the two moments and the running mean
BESIDE_SAVED = 2  # times what the backward pass keeps: with gradients, other layouts and gaps 1.1 to 2.2 (docs/performance.md)
CGROUPS = Path("/sys/fs/cgroup")


def memory_of_a_training(params: Params) -> int:
    """About how many bytes one training on the CPU takes beside the shared pixels.

    What the backward pass keeps of a picture is counted in a forward pass of two; the rest is in proportion.
    """
    precision = pick_precision(params.train.precision, pick_device())
    model = create_model(params.model.backbone, 2, params.model.dropout, params.model.image_size, params.model.head)
    freeze(model, params.model.freeze)
    train_mode(model.to(memory_format=torch.channels_last))
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.ndim and len(tensor) == 2:  # of the two pictures
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x = torch.zeros(2, 3, params.model.image_size, params.model.image_size).contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            output = model(x)  # alive until its backward pass is counted
    saved = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / len(output) * params.train.batch_size
    weights = OF_A_WEIGHT * sum(parameter.numel() for parameter in model.parameters())
    return int(PROCESS + weights + BESIDE_SAVED * saved)


def free_memory() -> int:
    """Bytes that this process may still take: those that the machine has left, and no more than its control groups allow it."""
    return min([psutil.virtual_memory().available, *_left_to_groups()])


def _left_to_groups() -> Iterator[int]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CGROUPS / controllers
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _left_to(folder)
            if folder == root:
                break


def _left_to(group: Path) -> Iterator[int]:
    # Version 2 and version 1 of control groups; neither where there is no limit. Cached files are given back when memory is needed.
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most, taken = ((group / name).read_text(encoding="utf-8").strip() for name in (limit, used))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        except OSError:
            continue
        if most.isdigit():
            yield int(most) - int(taken) + int(statistics.get("inactive_file", 0))


@contextmanager
def advise_on_memory(params: Params, otherwise: str) -> Iterator[None]:
    """Exit with one line that says what to lower, or do otherwise, where what is done inside runs out of the GPU's or the host's memory,
    or with one that says so where a process crashes."""
    try:
        yield
    except TerminatedWorkerError as error:
        if crash := re.search(r"SIG(SEGV|BUS|ABRT|ILL|FPE)\b", str(error)):
            raise SystemExit(
                f"A training process crashed ({crash[0]}): a fault in a library's native code, not a lack of memory. The next run goes on "
                "after the last finished epoch; if it crashes again, take another model.backbone, model.image_size or train.precision."
            ) from None
        reason = "A training process was killed, most likely by the system because memory ran out."
    except (MemoryError, torch.OutOfMemoryError):
        reason = "Memory ran out."
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # what torch's allocator of the CPU says
            raise
        reason = "Memory ran out."
    else:
        return
    raise SystemExit(
        f"{reason} Lower train.batch_size (now {params.train.batch_size}) or model.image_size (now {params.model.image_size}), or {otherwise}"
    )

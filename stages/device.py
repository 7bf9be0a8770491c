"""Where and how precisely to compute."""

import ctypes
import sys

import torch
from torch import Tensor, nn

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def pick_device() -> torch.device:
    """The GPU if there is one, else the CPU, with its memory set up for training."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        return torch.device("cuda")
    if sys.platform == "linux":
        # By default glibc gives every large tensor back to the kernel and gets it anew, page by page, at the next step:
        # a third of the time of a step. Keeping the memory changes no result; another libc just does not know the call.
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, -1)
    return torch.device("cpu")


def pick_precision(choice: str, device: torch.device) -> torch.dtype:
    """The type of the forward pass for train.precision; auto is bfloat16 where the hardware multiplies it natively."""
    if choice == "auto":
        native = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
        return torch.bfloat16 if native else torch.float32
    return getattr(torch, choice)


def keep_float32(model: nn.Module) -> None:
    """Leave to float32, under bfloat16 autocast on the CPU, the layers that are slower in bfloat16.

    oneDNN has no bfloat16 kernel for the backward pass of a depthwise convolution with a stride or more than 3 x 3
    weights: its fallback takes up to ten times as long as float32 (docs/performance.md).
    """
    for module in model.modules():
        if (
            isinstance(module, nn.Conv2d)
            and 1 < module.groups == module.in_channels
            and (module.stride[0] > 1 or module.kernel_size[0] > 3)
        ):
            module.forward = _in_float32(module.forward)


def _in_float32(forward):
    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(x.float())

    return run

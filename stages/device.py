"""Where and how precisely to compute."""

import ctypes
import sys

import torch

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

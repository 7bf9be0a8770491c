"""What becomes of memory that is no longer needed."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
LARGE = 6 << 20  # bytes; the products of two blocks of pictures, 4 MiB that are needed again at once, stay
SPARE = 64 << 20  # bytes that stay with the process


def give_back_large() -> None:
    """Have large arrays given back to the system as soon as they are free, and one heap for all threads.

    By default glibc has a heap a thread, and learns to keep what is as large as anything that was ever freed. In a million pictures the
    gaps between what is in use come to more than that. No result changes; another libc just does not know the call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, SPARE)

"""What a command takes of time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path


def measure(command: list[str], folder: Path | None = None) -> tuple[float, float]:
    """Wall seconds of a command in a folder and the largest resident set (MB) of any process in its tree; exits if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"`{' '.join(command)}` failed")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KiB elsewhere
    return time.perf_counter() - start, usage.ru_maxrss / unit

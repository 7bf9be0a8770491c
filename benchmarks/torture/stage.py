"""One stage run as a command: whether it ends as a stage may, and within bounds of time and memory."""

import subprocess
import sys
from pathlib import Path

from benchmarks.torture.project import start
from harness.processes import end

MEGABYTES = 2048  # of memory that a stage may take
# Runs a command and prints its peak memory. A process of its own, because a command inherits the peak of the process that starts it.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code % 256)
"""


def run_stage(folder: Path, stage: str, *arguments: str, seconds: float = 120, **environment: str) -> tuple[str, str]:
    """Run a stage: what is wrong with how it went (empty if nothing is), and the line with which it refused (empty if it did not)."""
    running = start(folder, sys.executable, "-c", MEASURED, sys.executable, "-m", f"stages.{stage}", *arguments, **environment)
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        end(running)
        return f"{stage} took more than {seconds} s", ""
    output, _, peak = (folder / "torture.log").read_text(errors="replace").rpartition("peak KiB ")
    output = output.strip()
    if "Traceback" in output or code not in (0, 1):
        return f"{stage} crashed: {output[-200:]}", ""
    if int(peak) > MEGABYTES * 2**10:
        return f"{stage} took {int(peak) // 2**10} MB", ""
    return "", output if code else ""

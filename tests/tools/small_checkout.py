"""Commands in a checkout with a small synthetic data set, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
NAME = "ours-lite0-whole-sartaj-naive"
SMALL = [
    "data.sources=[phantom]", "model.backbone=mobilenetv3_small_050", "model.weights=none", "model.image_size=48", "train.epochs=1",
    "train.precision=float32", "aggregate.resamples=50",
]  # fmt: skip


def run(*command: str, cwd: Path, ok: bool = True) -> str:
    """Run a command and give what it printed; ok: whether it has to succeed, or to fail."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("BRAIN_MRI_MIRROR", None)
    result = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (result.returncode == 0) == ok, f"{' '.join(command)}: {result.stdout}"
    return result.stdout

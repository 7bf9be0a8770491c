"""Commands in a checkout of the test's own, as a user runs them, on a small synthetic data set."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path, ok: bool = True) -> str:
    """Run a command and give what it printed; ok: whether it has to succeed, or to fail."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("BRAIN_MRI_MIRROR", None)
    result = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (result.returncode == 0) == ok, f"{' '.join(command)}: {result.stdout}"
    return result.stdout

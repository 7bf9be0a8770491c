"""Write requirements.lock, the exact versions of what is installed here, project and development packages alike, and
requirements-serve.lock and requirements-cluster.lock: what lies in front of them in .venv/serve, for the web page, and in .venv/cluster, for the grid.
"""

import re
import subprocess
import sys
from pathlib import Path

# torch pins these itself, to the unit, and only on the platforms that have them.
PINNED_BY_TORCH = re.compile(r"(nvidia-|cuda-|triton==)")
# pip is what installs, not what is installed.
INSTALLERS = re.compile(r"(pip|setuptools|wheel)==")

HEADER = """\
# The versions that this project is tested with; `make lock` writes this file. CUDA packages are left to torch, which pins them itself.
"""


def main() -> None:
    write(Path("requirements.lock"), Path(sys.executable))
    for name in ("serve", "cluster"):
        write(Path(f"requirements-{name}.lock"), Path(sys.prefix) / name / "bin/python")


def write(lock: Path, python: Path) -> None:
    """The packages of python's own environment, not of one behind it."""
    command = [python, "-m", "pip", "freeze", "--all", "--local", "--exclude-editable"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [
        re.sub(r"\+[\w.]+$", "", line) for line in frozen.splitlines() if not PINNED_BY_TORCH.match(line) and not INSTALLERS.match(line)
    ]
    lock.write_text(HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

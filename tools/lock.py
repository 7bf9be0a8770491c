"""Write requirements.lock: the exact versions of what is installed here, project and development packages alike."""

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
    frozen = subprocess.run([sys.executable, "-m", "pip", "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    lines = [
        re.sub(r"\+[\w.]+$", "", line) for line in frozen.splitlines() if not PINNED_BY_TORCH.match(line) and not INSTALLERS.match(line)
    ]
    Path("requirements.lock").write_text(HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n")


if __name__ == "__main__":
    main()

"""The code that a cell of the leaderboard runs, as one file of hashes.

Each cell depends on that file. If it depended on thirty files and folders, the hundreds of cells would have ten thousand dependencies, and every DVC
command in this repository would take seconds to read them.
"""

import hashlib
from pathlib import Path

import yaml

TARGET = Path("leaderboard/runs/code.txt")


def main() -> None:
    deps = yaml.safe_load(Path("leaderboard/dvc.yaml").read_text(encoding="utf-8"))["stages"]["code"]["deps"]
    files = sorted(file for dep in map(Path, deps) for file in (dep.rglob("*.py") if dep.is_dir() else [dep]))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.as_posix()}\n" for file in files), encoding="utf-8")


if __name__ == "__main__":
    main()

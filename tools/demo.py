"""Run the whole pipeline on synthetic pictures, in the folder demo/, where it touches nothing of the committed results.

The folder is a copy of this checkout with recipes/demo.yaml applied to params.yaml and a DVC of its own.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from stages.aggregate.table import to_text

DEMO = Path("demo")
RESULTS = ("metrics/", "dvc.lock", "benchmarks/results/", "benchmarks/dvc.lock")  # they belong to the real data


def main() -> None:
    lay_out(DEMO, Path("recipes/demo.yaml"))
    for command in (["dvc", "repro"], ["dvc", "plots", "show", "--out", "metrics/plots/html"]):
        code = subprocess.run(command, cwd=DEMO).returncode
        if code:
            sys.exit(f"`{' '.join(command)}` failed in {DEMO}/ (see above); after a fix, `make demo` goes on where it stopped")
    summary = json.loads((DEMO / "metrics/summary.json").read_text())
    print("\n" + to_text(summary))
    print(
        f"\nWhere to look, in {DEMO}/:\n"
        "  metrics/report.html                all of it on one page: open it in a browser\n"
        "  metrics/summary.json               every figure with its interval\n"
        "  metrics/plots/overview.png         confusion, ROC, precision-recall, reliability\n"
        "  metrics/plots/html/index.html      the same and learning curves, to explore (needs a network)\n"
        "  metrics/dedupe.json, split.json    copies found, what would have leaked\n"
        "  data/predictions.csv               a row a picture\n"
        "Change demo/params.yaml and run `dvc repro` in there; README.md says how to use the real data."
    )


def lay_out(folder: Path, recipe: Path, needed: tuple[str, ...] = ("",)) -> None:
    """Copy the checkout's own files, results apart, into a folder and apply a recipe; what DVC made there before stays.

    needed: what the paths of the files begin with; by default all are copied.
    """
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True
    )
    for name in filter(None, tracked.stdout.split("\0")):
        if name.startswith(needed) and not name.startswith(RESULTS) and Path(name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    apply_recipe(recipe, folder / "params.yaml")


def apply_recipe(recipe: Path, params: Path) -> None:
    """Set the dotted keys under a recipe's params in a params.yaml."""
    set_params(params, yaml.safe_load(recipe.read_text())["params"], str(recipe))


def set_params(params: Path, changes: dict, origin: str) -> None:
    """Set dotted keys in a params.yaml; an unknown key is an error that names it and where it came from."""
    content = yaml.safe_load(params.read_text())
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section.get(part, {})
        if name not in section:
            raise SystemExit(f"{origin}: params.yaml has no {key}")
        section[name] = value
    params.write_text(yaml.safe_dump(content, sort_keys=False))


if __name__ == "__main__":
    main()

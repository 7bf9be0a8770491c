"""The pipeline in a folder of its own, with other params: where the demonstration and the recipes run."""

import shutil
import subprocess
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml

SMALL = {  # params with which all stages take a minute
    "data.sources": ["phantom"],
    "split.folds": 2,
    "model.backbone": "mobilenetv3_small_050",
    "model.weights": "none",
    "model.image_size": 48,
    "train.epochs": 1,
    "train.seeds": [0],
    "train.precision": "float32",
    "aggregate.resamples": 50,
    "explain.pictures": 1,
}
RESULTS = ("metrics/", "dvc.lock", "leaderboard/results/", "leaderboard/dvc.lock")  # they belong to the checkout's own runs


def lay_out(folder: Path, recipe: Path | None = None, needed: tuple[str, ...] = ("",)) -> None:
    """Copy the checkout's own files, results apart, into a folder and apply a recipe, if given; what DVC made there before stays.

    needed: what the paths of the files begin with; by default all are copied.
    """
    for name in _own_files():
        result = name.startswith(RESULTS) and not name.endswith(".gitignore")
        if name.startswith(needed) and not result and Path(name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    if recipe:
        apply_recipe(recipe, folder / "params.yaml")


def _own_files() -> list[str]:
    """The checkout's files that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        raise SystemExit("git is not installed; it tells which files are the project's") from None
    if listed.returncode:
        first = next(iter(listed.stderr.splitlines()), "git failed")
        raise SystemExit(
            f"git does not tell which files are the project's ({first}): clone it, or run `git init && git add .` in what was downloaded; "
            'for a folder of another user, run `git config --global --add safe.directory "$PWD"`'
        )
    return list(filter(None, listed.stdout.split("\0")))


def apply_recipe(recipe: Path, params: Path) -> None:
    """Set the dotted keys under a recipe's params in a params.yaml."""
    set_params(params, yaml.safe_load(recipe.read_text(encoding="utf-8"))["params"], str(recipe))


def set_params(params: Path, changes: dict, origin: str) -> None:
    """Set dotted keys in a params.yaml; an unknown key is an error that names it and where it came from."""
    content = with_params(yaml.safe_load(params.read_text(encoding="utf-8")), changes, origin)
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def with_params(content: dict, changes: dict, origin: str) -> dict:
    """The content of a params.yaml with dotted keys set; what is given stays as it is."""
    content = deepcopy(content)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section.get(part, {})
        if name not in section:
            raise SystemExit(f"{origin}: params.yaml has no {key}")
        section[name] = value
    return content


def look_up(content: dict, key: str) -> Any:
    """The value of a dotted key in the content of a params.yaml."""
    return reduce(getitem, key.split("."), content)


def shrink_phantom(folder: Path) -> None:
    """Let the synthetic set have five patients a class."""
    path = folder / "data/sources.yaml"
    sources = yaml.safe_load(path.read_text(encoding="utf-8"))
    sources["phantom"]["archive"]["phantom"]["patients_per_class"] = 5
    path.write_text(yaml.safe_dump(sources), encoding="utf-8")

"""Train and score one system of recipes/, under its authors' protocol, the honest one, or both.

python -m leaderboard.cell kazemi-resnet18-whole --protocol honest --set train.epochs=10

Each cell runs in a folder of its own, leaderboard/runs/<recipe>-<protocol>/, with the pipeline's stages and its DVC cache, so that nothing is
downloaded twice and what was finished is not repeated. What came out is written to leaderboard/results/.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness.layout import lay_out, set_params
from leaderboard.metrics import other_metrics
from leaderboard.provenance import made_from
from leaderboard.recipes import PROTOCOLS, RESULTS, RUNS, Recipe, load_recipe
from stages.catalog import CLUSTERS, FOLDS, PREDICTIONS, read_table, write_metrics
from stages.params import load_params

NEEDED = (".dvc/", ".dvcignore", "data/", "dvc.yaml", "params.yaml", "stages/")  # of the checkout, to run the stages


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m leaderboard.cell", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="a system of recipes/")
    add_options(parser)
    arguments = parser.parse_args()

    recipe = load_recipe(arguments.name)
    if recipe.missing:
        sys.exit(f"{arguments.name} cannot be run yet; missing: {recipe.missing}")
    changes = parse(arguments.set)
    for protocol in [arguments.protocol] if arguments.protocol else PROTOCOLS:
        run(arguments.name, recipe, protocol, changes)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What all commands for cells take."""
    parser.add_argument("--protocol", choices=PROTOCOLS, help="only one of them")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="a further difference of recipes from params.yaml, said in the results"
    )


def run(name: str, recipe: Recipe, protocol: str, changes: dict[str, Any]) -> None:
    """Run one cell and write its result; exits when a stage fails."""
    folder = lay_out_cell(name, recipe, protocol, changes)
    if subprocess.run(["dvc", "repro", "aggregate"], cwd=folder, env=environment()).returncode:
        sys.exit(f"{name}, {protocol}: a stage failed in {folder}/ (see above); after a fix, the same command goes on where it stopped")

    target = RESULTS / f"{name}-{protocol}.json"
    write_metrics(result(folder, name, protocol, changes), target)
    print(f"{target}; `make leaderboard` puts it into metrics/leaderboard.csv")


def lay_out_cell(name: str, recipe: Recipe, protocol: str, changes: dict[str, Any]) -> Path:
    """A cell's folder, with the stages, its params and the checkout's cache; exits when the params are mistaken."""
    folder = RUNS / f"{name}-{protocol}"
    lay_out(folder, needed=NEEDED)
    params = folder / "params.yaml"
    set_params(params, recipe.changes(protocol), name)
    set_params(params, changes, "--set")
    load_params(params)
    share_cache(folder)
    cache_all(folder / "dvc.yaml")
    return folder


def environment() -> dict[str, str]:
    """What the stages of a cell get: a relative path of the mirror is the checkout's."""
    mirror = os.environ.get("BRAIN_MRI_MIRROR")
    return {**os.environ, "BRAIN_MRI_MIRROR": str(Path(mirror).resolve())} if mirror else dict(os.environ)


def share_cache(folder: Path) -> None:
    """Let a cell's DVC use the checkout's cache, by links where the file system has them."""
    cache = subprocess.run(["dvc", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    config = f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n    type = reflink,hardlink,copy\n"
    (folder / ".dvc/config.local").write_text(config, encoding="utf-8")


def cache_all(pipeline: Path) -> None:
    """Let DVC cache every plain output: of a stage with one that git keeps instead it remembers no run, so each cell would run it again."""
    content = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
    for stage in content["stages"].values():
        if "outs" in stage:
            stage["outs"] = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
    pipeline.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def result(folder: Path, name: str, protocol: str, changes: dict[str, Any]) -> dict:
    """What the leaderboard needs of a finished cell.

    changed are those of the changes that set something else than the recipe does;
    test_pictures and test_labels count a picture once a fold; leaked_test_pictures are those of which a copy is in the training;
    accuracy_of_leaked and accuracy_of_clean are over those and over the others, None where there are none; validation_accuracy
    is that of the kept epoch, averaged over folds; others are those of leaderboard.metrics, made_from those of
    leaderboard.provenance; summary is the cell's metrics/summary.json.
    """
    recipe = load_recipe(name)
    own = recipe.changes(protocol)
    split = json.loads((folder / "metrics/split.json").read_text(encoding="utf-8"))
    tested = [fold["test"] for fold in split["tables"].values()]
    history = read_table(folder / "metrics/plots/history.csv")
    return {
        "recipe": name,
        "protocol": protocol,
        "made_from": made_from(folder),
        "changed": {key: value for key, value in changes.items() if key not in own or own[key] != value},
        "weights": json.loads((folder / "data/weights/weights.json").read_text(encoding="utf-8"))["origin"],
        "training_pictures": sum(fold["train"]["pictures"] for fold in split["tables"].values()),
        "test_pictures": sum(fold["pictures"] for fold in tested),
        "test_labels": dict(sum((Counter(fold["labels"]) for fold in tested), Counter())),
        "leaked_test_pictures": split["leaks"]["test_pictures"],
        **_accuracy_by_leak(folder),
        "validation_accuracy": history[history.kept].validation_accuracy.mean(),
        "others": other_metrics(folder, recipe.metrics()),
        "train": json.loads((folder / "metrics/train.json").read_text(encoding="utf-8")),
        "summary": json.loads((folder / "metrics/summary.json").read_text(encoding="utf-8")),
    }


def _accuracy_by_leak(folder: Path) -> dict[str, float | None]:
    cluster = read_table(folder / CLUSTERS).set_index("image_id").cluster
    folds = read_table(folder / FOLDS)
    seen = folds[folds.role != "test"]
    seen = set(zip(seen.fold, seen.image_id.map(cluster), strict=True))
    predictions = read_table(folder / PREDICTIONS)
    leaked = np.array([pair in seen for pair in zip(predictions.fold, predictions.image_id.map(cluster), strict=True)])
    right = (predictions.predicted == predictions.label).to_numpy()
    parts = {"accuracy_of_leaked": right[leaked], "accuracy_of_clean": right[~leaked]}
    return {name: float(part.mean()) if len(part) else None for name, part in parts.items()}


def parse(changes: list[str]) -> dict[str, Any]:
    """Dotted key -> value, of KEY=VALUE with the value in YAML; exits on anything else."""
    parsed = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            sys.exit(f"--set {change}: write KEY=VALUE")
        parsed[key] = yaml.safe_load(value)
    return parsed


if __name__ == "__main__":
    main()

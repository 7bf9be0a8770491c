"""Measure our training and our search for copies beside what else one would use, in one run and on the same pictures.

`make bench` runs it with the packages that it compares with. Rewrites benchmarks/speed/results.json and the tables of docs/benchmarks.md
after every measurement. Each is a process of its own; a round is one of each, so that what else happens on the machine meets all alike.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from benchmarks.speed.dedupe import pairs_within
from benchmarks.speed.pictures import distinct_pictures, lay_out, lay_out_training, phantom_pictures
from benchmarks.speed.table import RESULTS, write_tables
from benchmarks.speed.task import Task
from stages.catalog import write_metrics
from stages.sources import load_source

ROOT = Path(__file__).parents[2]
SCRATCH = Path(".scratch/speed")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
RECIPE = 100  # epochs of the recipe: those of kazemi, both methods
BATCH = 32
LOOPS = {"ours": "", "random_tensors": "", "plain": "", "fastai_loop": "fastai", "keras_loop": "keras"}  # and the package each needs
TOOLS = {"ours": "", "imagededup": "imagededup", "cleanvision": "cleanvision"}


@dataclass(frozen=True)
class Cell:
    """A network, what of it is trained, and pictures an epoch: enough that starting an epoch costs little beside it."""

    name: str
    backbone: str
    frozen: bool
    pictures: int


CELLS = (
    Cell("light", "tf_efficientnet_lite0", True, 224),
    Cell("light", "tf_efficientnet_lite0", False, 224),
    Cell("heavy", "resnet50", True, 96),
    Cell("heavy", "resnet50", False, 256),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(CORES), help="cores for everything, workers included (all)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, of which the median counts (3)")
    parser.add_argument("--size", type=int, default=224, help="side of the input, pixels (224)")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU seconds, where other work shares the cores")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # elsewhere only the threads are counted, and workers take what they find
        os.sched_setaffinity(0, CORES[: arguments.threads])

    synthetic, truth = phantom_pictures(load_source("phantom").archive.phantom)
    real = distinct_pictures()
    pictures = real or [(truth.label[member], data) for member, data in synthetic.items() if truth.kind[member] == "original"]
    results = {
        "command": " ".join(["python -m benchmarks.speed", *sys.argv[1:]]),
        "clock": "cpu" if arguments.cpu_time else "wall",
        "threads": arguments.threads,
        "size": arguments.size,
        "batch_size": BATCH,
        "recipe_epochs": RECIPE,
        "pictures": "distinct pictures of the merged sets" if real else "synthetic pictures",
        "versions": versions(),
        "training": [],
        "dedupe": [],
    }
    for number in range(arguments.rounds):
        measured = {
            "dedupe": measure_dedupe(TOOLS, synthetic, truth, arguments.threads),
            "training": measure_training(CELLS, LOOPS, pictures, arguments.size, arguments.threads),
        }
        for part, rows in measured.items():
            for row in rows:
                results[part].append(row | {"round": number})
                write_metrics(results, RESULTS)
                write_tables(json.loads(RESULTS.read_text()))  # as rounded there, so that the tables can be checked against it
    shutil.rmtree(SCRATCH)


def measure_training(cells, loops: dict[str, str], pictures: list[tuple[str, bytes]], size: int, threads: int) -> Iterator[dict]:
    """A row a cell and loop: the laps of task.Stopwatch as "setup" and "epochs", or the package that is "missing"."""
    for cell in cells:
        lay_out_training(fresh(SCRATCH), pictures, cell.pictures)
        for loop, package in loops.items():
            if loop == "random_tensors" and cell.frozen:
                continue  # what runs once is not compared with what runs in every epoch
            whole_recipe = loop == "ours" and cell.frozen
            task = Task(str(SCRATCH.absolute()), cell.backbone, cell.frozen, size, BATCH, RECIPE if whole_recipe else 2)
            yield asdict(cell) | {"loop": loop} | run(loop, [task.dump()], package, threads)


def measure_dedupe(tools: dict[str, str], members: dict[str, bytes], truth: pd.DataFrame, threads: int) -> Iterator[dict]:
    """A row a tool: its lap as "seconds", and how many pairs are true, found, both, and the same of pairs that are mirrored or flipped."""
    originals = truth.original.where(truth.original != "", truth.index)
    pairs = pairs_within(truth.index.to_series().groupby(originals).agg(list))
    turned = {pair for pair in pairs if truth.kind[list(pair)].isin(["mirrored", "flipped"]).any()}
    for tool, package in tools.items():
        lay_out(fresh(SCRATCH), members)
        row = run("dedupe", [tool, str(SCRATCH)], package, threads)
        if "pairs" in row:
            found = set(map(frozenset, row.pop("pairs")))
            row |= {"true": len(pairs), "found": len(found), "both": len(pairs & found)}
            row |= {"turned": len(turned), "turned_found": len(turned & found)}
        yield {"tool": tool, "files": len(members)} | row


def run(module: str, arguments: list[str], package: str, threads: int) -> dict:
    """What one measurement prints as its last line; {"missing": package} where that is not installed. Exits if it fails."""
    if package and not find_spec(package):
        return {"missing": package}
    print(f"{module} {' '.join(arguments)}", file=sys.stderr, flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", *arguments]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(f"`{' '.join(command)}` failed (see above)")
    return json.loads(process.stdout.splitlines()[-1])


def fresh(folder: Path) -> Path:
    """The folder, removed if it was there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def versions() -> dict[str, str]:
    """Of the packages that are compared, where they are installed."""
    found = {}
    for package in ("torch", "torchvision", "timm", "fastai", "keras", "imagededup", "cleanvision"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


if __name__ == "__main__":
    main()

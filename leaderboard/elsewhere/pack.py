"""Pack what a machine with PyTorch, but without network and DVC, needs to train and score cells of the leaderboard.

python -m leaderboard.elsewhere.pack kazemi-resnet18-whole keras7023-cnn-v1 --protocol honest
python -m leaderboard.elsewhere.pack            every cell that was not run as its recipe says: not at all, or with fewer epochs or other weights
python -m leaderboard.elsewhere.pack default    the pipeline itself, as params.yaml has it: only its training

The data and weights of each cell are made here, by DVC. packed.tar.bz2 then holds what its train, evaluate and aggregate depend on
in dvc.yaml, each content once, and run.py, which runs them (docs/recipes.md).
"""

import argparse
import ast
import json
import os
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from harness import processes
from harness.layout import look_up
from leaderboard.cell import add_options, environment, parse
from leaderboard.elsewhere import run
from leaderboard.elsewhere.run import DEFAULT, add, digest
from leaderboard.ready import NotReady, lay_out_if_whole, reproduce
from leaderboard.recipes import PROTOCOLS, RESULTS, load_recipe, load_recipes
from stages.params import Section

ARCHIVE = Path("packed.tar.bz2")
BESIDE = ("params.yaml", "stages/params.py")  # stages read them, DVC depends on the values only


class Cell(Section):
    """One training and its scores, ready to go: what tells it from others, and what it reads and writes."""

    changes: dict[str, Any]  # further differences from params.yaml, as --set
    stages: list[str]
    params: dict[str, Any]  # dotted key -> value, those that the stages depend on
    files: dict[str, str]  # path in the cell's folder -> SHA-256, all that the stages read
    results: list[str]  # paths of what they write


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m leaderboard.elsewhere.pack", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="recipes, or default")
    add_options(parser)
    arguments = parser.parse_args()

    protocols = [arguments.protocol] if arguments.protocol else PROTOCOLS
    for name in set(arguments.names) - {DEFAULT}:
        load_recipe(name)  # a name that is mistaken ends it before anything is made
    names = arguments.names or load_recipes()
    chosen = [pair for name in names for pair in ([(DEFAULT, "")] if name == DEFAULT else [(name, protocol) for protocol in protocols])]
    if not arguments.names:
        chosen = [pair for pair in chosen if not is_done(RESULTS / f"{cell_name(*pair)}.json")]
    pack(chosen, parse(arguments.set))


def is_done(result: Path) -> bool:
    """Whether a cell was run with the params of its recipe."""
    return result.exists() and not json.loads(result.read_text(encoding="utf-8"))["changed"]


def pack(chosen: list[tuple[str, str]], changes: dict[str, Any]) -> None:
    """Make each (recipe, protocol) ready, and write the archive; one that cannot be is left out. Exits when none can."""
    cells, left_out, stored, modules = {}, [], {}, set()
    part = ARCHIVE.with_name(ARCHIVE.name + ".part")
    with tarfile.open(part, "w:bz2") as tar:
        for recipe, protocol in chosen:
            name = cell_name(recipe, protocol)
            try:
                folder, cell = prepare(recipe, protocol, {} if recipe == DEFAULT else changes)
            except NotReady as why:
                left_out.append(f"{name} is left out: {why}")
                continue
            cells[name] = cell.model_dump()
            modules |= _modules(folder / path for path in cell.files if path.endswith(".py"))
            for path, content in cell.files.items():
                _store(tar, folder / path, f"packed/cells/{name}/{path}", content, stored)
        add(tar, "packed/manifest.json", json.dumps({"modules": sorted(modules), "cells": cells}, indent=1).encode())
        add(tar, "packed/run.py", Path(run.__file__))
        add(tar, "packed/harness/processes.py", Path(processes.__file__))

    for line in left_out:
        print(line, flush=True)  # before what is said on the way out, though that goes to stderr
    if not cells:
        part.unlink()
        sys.exit("There is nothing to pack.")
    os.replace(part, ARCHIVE)
    print(
        f"{ARCHIVE}: {len(cells)} cells, {ARCHIVE.stat().st_size / 1e6:.0f} MB. On the other machine, with {', '.join(sorted(modules))}:\n"
        f"  python -m tarfile -e {ARCHIVE} . && python packed/run.py"
    )


def cell_name(recipe: str, protocol: str) -> str:
    """Of a cell's folder and result."""
    return recipe if recipe == DEFAULT else f"{recipe}-{protocol}"


def prepare(recipe: str, protocol: str, changes: dict[str, Any]) -> tuple[Path, Cell]:
    """Make the data and weights of a cell in its folder, unless they are there, and describe it; raises NotReady.

    What its stages read and write is what dvc.yaml says.
    """
    folder = Path() if recipe == DEFAULT else lay_out_if_whole(recipe, protocol, changes)
    stages, elsewhere, written = _pipeline(), _stages_elsewhere(recipe == DEFAULT), results(recipe == DEFAULT)
    entries = [entry for name in elsewhere for entry in stages[name].get("params", [])]
    registries = {path for entry in entries if isinstance(entry, dict) for path in entry}  # params in other files than params.yaml
    needed = {dep for name in elsewhere for dep in stages[name]["deps"]}.difference(written) | registries
    reproduce(folder, [name for name in stages if needed & set(_outs(stages[name]))], environment())

    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    return folder, Cell(
        changes=changes,
        stages=elsewhere,
        params={key: look_up(params, key) for key in entries if isinstance(key, str)},
        files={path: digest(folder / path) for path in _files(folder, needed.union(BESIDE))},
        results=written,
    )


def results(default: bool) -> list[str]:
    """Paths of what the stages that run elsewhere write, in the folder of a cell or, for default, of the pipeline itself."""
    stages = _pipeline()
    return [out for name in _stages_elsewhere(default) for out in _outs(stages[name])]


def _pipeline() -> dict[str, dict]:
    return yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]


def _stages_elsewhere(default: bool) -> list[str]:
    return ["train"] if default else ["train", "evaluate", "aggregate"]


def _outs(stage: dict) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _files(folder: Path, paths: Iterable[str]) -> list[str]:
    """The files among paths and in folders among them, sorted."""
    found = [file for path in paths for file in ([folder / path] if (folder / path).is_file() else (folder / path).rglob("*"))]
    return sorted(file.relative_to(folder).as_posix() for file in found if file.is_file() and "__pycache__" not in file.parts)


def _modules(files: Iterable[Path]) -> set[str]:
    """Other people's modules that files import, wherever in them."""
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"stages"}


def _store(tar: tarfile.TarFile, file: Path, name: str, content: str, stored: dict[str, str]) -> None:
    """Add a file, or a link to the one that has the same content, by its digest."""
    if content not in stored:
        add(tar, name, file)
        stored[content] = name
        return
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.LNKTYPE, stored[content]
    tar.addfile(link)


if __name__ == "__main__":
    main()

"""Take in what run.py brought back from another machine (docs/recipes.md).

python -m leaderboard.elsewhere.unpack results.tar.gz

A result is taken only if it was computed from the data, weights, params and code that its cell has here now. They are made again
as for packing, which takes a moment where nothing changed.
"""

import argparse
import re
import shutil
import sys
import tarfile
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from leaderboard.cell import result
from leaderboard.elsewhere.pack import BESIDE, Cell, cell_name, prepare, results
from leaderboard.elsewhere.run import DEFAULT, MODELS
from leaderboard.ready import NotReady
from leaderboard.recipes import PROTOCOLS, RESULTS, load_recipes
from stages.catalog import write_metrics
from stages.params import Section

MODEL = re.compile(re.escape(MODELS) + r"/[a-z0-9][a-z0-9_-]*\.[a-z]+")
LARGEST = 2**30  # bytes of a file; the largest is the model of a fold


class Ran(Section):
    """Where a stage ran, and how long."""

    device: str
    torch: str
    command: str
    seconds: float


class Manifest(BaseModel):
    cells: dict[str, Cell]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m leaderboard.elsewhere.unpack", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    archive = parser.parse_args().archive
    try:
        with tarfile.open(archive) as tar:
            refused = unpack(tar)
    except (OSError, EOFError, tarfile.TarError, ValidationError) as error:
        sys.exit(f"{archive} holds no results: {' '.join(str(error).split()):.300}")
    sys.exit(refused)


def unpack(tar: tarfile.TarFile) -> bool:
    """Take the results of every cell in; whether one was refused. Exits, and writes nothing, when the archive holds anything else."""
    known = {cell_name(recipe, protocol): (recipe, protocol) for recipe in load_recipes() for protocol in PROTOCOLS} | {
        DEFAULT: (DEFAULT, "")
    }
    written = {default: {"run.json", *results(default)} - {MODELS} for default in (True, False)}
    found = {}
    for member in tar.getmembers():
        name, _, path = member.name.partition("/")
        expected = member.name == "manifest.json" or name in known and (path in written[name == DEFAULT] or MODEL.fullmatch(path))
        if not expected or not member.isreg() or member.size > LARGEST or member.name in found:
            sys.exit(f"{tar.name} is refused, and nothing of it taken: {member.name!r} is none of the files that run.py writes")
        found[member.name] = member

    if "manifest.json" not in found:
        sys.exit(f"{tar.name} is refused: it has no manifest.json")
    manifest = Manifest.model_validate_json(tar.extractfile("manifest.json").read())
    if unknown := sorted(manifest.cells.keys() - known):
        sys.exit(f"{tar.name} is refused: there is no {', '.join(unknown)}")

    refused = False
    for name, packed in manifest.cells.items():
        files = {member.removeprefix(f"{name}/"): found[member] for member in found if member.startswith(f"{name}/")}
        try:
            take(tar, name, known[name], packed, files)
        except NotReady as why:
            refused = True
            print(f"{name} is not taken: {why}")
    return refused


def take(tar: tarfile.TarFile, name: str, of: tuple[str, str], packed: Cell, files: dict[str, tarfile.TarInfo]) -> None:
    """Put the results of one cell, path -> member, into its folder, and write what the leaderboard needs; raises NotReady."""
    recipe, protocol = of
    if absent := sorted({"run.json", *results(recipe == DEFAULT)} - {MODELS} - files.keys()):
        raise NotReady(f"it lacks {', '.join(absent)}")
    if recipe == DEFAULT and not any(path.startswith(MODELS) for path in files):
        raise NotReady(f"it lacks {MODELS}")
    ran = TypeAdapter(dict[str, Ran]).validate_json(tar.extractfile(files["run.json"]).read())
    folder, cell = prepare(recipe, protocol, packed.changes)
    if ran.keys() != set(cell.stages):
        raise NotReady(f"run.json is not about {', '.join(cell.stages)}")
    if other := _differences(packed, cell):
        raise NotReady(f"it was computed from another {', '.join(other)}; pack it again")

    shutil.rmtree(folder / MODELS, ignore_errors=True)
    for path, member in files.items():
        if path != "run.json":
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # it may be a link into DVC's cache
            with target.open("wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
    where = f"{ran['train'].device}, torch {ran['train'].torch}, {ran['train'].command}"
    if recipe == DEFAULT:
        print(f"{MODELS} and metrics/ have the training on {where}; now `dvc commit --force train` and `dvc repro`")
        return
    target = RESULTS / f"{name}.json"
    write_metrics(
        result(folder, recipe, protocol, cell.changes) | {"ran": {stage: about.model_dump() for stage, about in ran.items()}}, target
    )
    print(f"{target} ({where}); `make leaderboard` puts it into metrics/leaderboard.csv")


def _differences(packed: Cell, cell: Cell) -> list[str]:
    """Names of params and paths of files that are not the same, as DVC would find."""
    mine, theirs = ({path: digest for path, digest in one.files.items() if path not in BESIDE} | one.params for one in (cell, packed))
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


if __name__ == "__main__":
    main()

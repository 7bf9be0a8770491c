"""What a result was made from, and whether its cell would be made from the same now.

Data cannot be hashed before it is made. It follows from the code, tables and params of the stages before it, so these are what is compared.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from harness.layout import look_up, with_params
from leaderboard.recipes import Recipe

SCORED = ("train", "evaluate", "aggregate")  # what makes a result of data and pretrained weights
PARAMS, SOURCES = "params.yaml", "data/sources.yaml"


class Inputs(NamedTuple):
    """What aggregate and all stages before it depend on."""

    files: dict[str, str]  # files and folders that no stage writes, code above all -> md5 as DVC has it
    keys: list[str]  # of params.yaml, dotted
    data: dict[str, str]  # what the stages of SCORED read that others wrote -> md5, of those that have been run


def made_from(folder: Path) -> dict[str, dict[str, str]]:
    """Of a finished cell: checkout, path -> md5 of what comes with the checkout, and data, path -> md5 of what its stages before train made."""
    inputs = read_inputs(folder)
    params = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    sources = yaml.safe_load((folder / SOURCES).read_text(encoding="utf-8"))
    return {"checkout": _checkout(inputs, params, sources), "data": inputs.data}


class Checkout:
    """The checkout in the working directory, by which results are judged; it is read when the first has hashes."""

    def is_current(self, result: dict, recipe: Recipe) -> bool:
        """Whether a result has the hashes that its cell, with the same changes, would have now; one without hashes has not."""
        if "made_from" not in result:
            return False
        changes = recipe.changes(result["protocol"]) | result["changed"]
        try:
            params = with_params(self._params, changes, result["recipe"])
        except SystemExit:  # it was run with a param that there is no more
            return False
        return result["made_from"]["checkout"] == _checkout(self._inputs, params, self._sources)

    @cached_property
    def _inputs(self) -> Inputs:
        return read_inputs(Path())

    @cached_property
    def _params(self) -> dict:
        return yaml.safe_load(Path(PARAMS).read_text(encoding="utf-8"))

    @cached_property
    def _sources(self) -> dict:
        return yaml.safe_load(Path(SOURCES).read_text(encoding="utf-8"))


def read_inputs(folder: Path) -> Inputs:
    """Of the pipeline in a folder, as its dvc.yaml, dvc.lock and files are."""
    with Repo(folder) as repo:
        stages = repo.stage.collect(f"{folder / 'dvc.yaml'}:aggregate", with_deps=True)
        written = {out.def_path: out.hash_info.value for stage in stages for out in stage.outs if stage.name not in SCORED}
        own = {out.def_path for stage in stages for out in stage.outs if stage.name in SCORED}
        files, keys, read = {}, set(), set()
        for stage in stages:
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    keys |= set(dep.params) if dep.def_path == PARAMS else set()
                elif any(out.startswith(dep.def_path) for out in (*written, *own)):
                    read |= {dep.def_path} if stage.name in SCORED else set()
                else:
                    files[dep.def_path] = dep.get_hash().value
        return Inputs(dict(sorted(files.items())), sorted(keys), {path: written[path] for path in sorted(read - own)})


def _checkout(inputs: Inputs, params: dict, sources: dict) -> dict[str, str]:
    chosen = {key: look_up(params, key) for key in inputs.keys}
    registered = {
        name: {part: sources[name][part] for part in ("archive", "folders")} for name in params["data"]["sources"] if name in sources
    }
    return inputs.files | {PARAMS: _md5(chosen), SOURCES: _md5(registered)}


def _md5(content: Any) -> str:
    return hashlib.md5(json.dumps(content, sort_keys=True).encode()).hexdigest()

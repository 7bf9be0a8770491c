"""Every key of params.yaml missing, unknown, of another type, out of range or no number."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

from benchmarks.torture.project import Project
from stages.params import load_params

WRONG = ("nonsense", "", -1, -0.5, float("nan"), float("inf"), [None], {"a": 1})  # whatever the key
ODD = ([], {}, None, True, 1e9, 2**70)  # proper for some keys: where one is taken, it was no mistake and does not count
NAMES = ("model.backbone", "model.weights", "explain.layer")  # which only a library or the network knows: any word is taken
TAKEN = "is taken"
Change = Callable[[dict, str], None]


def mistaken(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """The error is one line a mistake that names the key. Tries every key, whatever tries is; what a key allows does not count."""
    wrong = []
    with project.new() as folder:
        path = folder / "params.yaml"
        proper = yaml.safe_load(path.read_text())
        for keys in _leaves(proper):
            mistakes = [value for value in WRONG if value != "nonsense" or ".".join(keys) not in NAMES]
            wrong += [_tried(path, proper, keys, change) for change in (_without, _with_another, *map(_with_value, mistakes))]
            odd = [_tried(path, proper, keys, _with_value(value)) for value in ODD]
            wrong += [verdict for verdict in odd if not verdict.endswith(TAKEN)]
    return wrong


def _without(section: dict, name: str) -> None:
    del section[name]


def _with_another(section: dict, name: str) -> None:
    section[f"{name}_"] = section[name]


def _with_value(value: object) -> Change:
    def change(section: dict, name: str) -> None:
        section[name] = value

    return change


def _tried(path: Path, proper: dict, keys: tuple[str, ...], change: Change) -> str:
    """What is wrong with the answer to params with one change; empty if it is a refusal that names the key."""
    content, name = copy.deepcopy(proper), ".".join(keys)
    section = content
    for key in keys[:-1]:
        section = section[key]
    change(section, keys[-1])
    path.write_text(yaml.safe_dump(content))
    try:
        load_params(path)
    except SystemExit as refusal:
        named = name in str(refusal.code) or ".".join(keys[:-1]) in str(refusal.code)
        return "" if named else f"{name}: the error does not name it: {refusal.code}"
    except Exception as error:
        return f"{name}: {type(error).__name__} {error}"
    return f"{name}: {section.get(keys[-1])!r:.50} {TAKEN}"


def _leaves(section: dict, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)

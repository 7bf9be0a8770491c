"""Every key of params.yaml missing, unknown, of another type, out of range or no number."""

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from stages.params import load_params
from tools.torture.project import Project

WRONG = ([], {}, "nonsense", None, -1, 1e9, float("nan"), float("inf"), [None], {"a": 1}, -0.5, "", True, 2**70)


def mistaken(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """The error is one line a mistake that names the key; a value that is taken is one that the key allows. Tries every key, whatever tries is."""
    wrong = []
    with project.new() as folder:
        path = folder / "params.yaml"
        proper = yaml.safe_load(path.read_text())
        for keys in _leaves(proper):
            for change in (_without, _with_another, *(partial(_with_value, value) for value in WRONG)):
                content = copy.deepcopy(proper)
                section = content
                for key in keys[:-1]:
                    section = section[key]
                change(section, keys[-1])
                path.write_text(yaml.safe_dump(content))
                wrong.append(_verdict(path, keys, must_fail=change in (_without, _with_another)))
    return wrong


def _without(section: dict, name: str) -> None:
    del section[name]


def _with_another(section: dict, name: str) -> None:
    section[f"{name}_"] = section[name]


def _with_value(value: object, section: dict, name: str) -> None:
    section[name] = value


def _verdict(path: Path, keys: tuple[str, ...], must_fail: bool) -> str:
    name = ".".join(keys)
    try:
        load_params(path)
    except SystemExit as refusal:
        if name not in str(refusal.code) and ".".join(keys[:-1]) not in str(refusal.code):
            return f"{name}: the error does not name it: {refusal.code}"
        return ""
    except Exception as error:
        return f"{name}: {type(error).__name__} {error}"
    return f"{name}: taken without it, or with an unknown one beside it" if must_fail else ""


def _leaves(section: dict, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)

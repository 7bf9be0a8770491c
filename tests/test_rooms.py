"""The rooms of the repository: none imports from a higher one, and in none do modules import in a circle."""

import ast
from graphlib import TopologicalSorter

import pytest
from synthetic import ROOT

ROOMS = ("stages", "harness", "leaderboard", "benchmarks", "tools")  # from the lowest up


def modules() -> dict[str, set[str]]:
    """Module of a room -> those of the rooms that it imports, wherever in it."""
    files = {path: path.relative_to(ROOT).with_suffix("").parts for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    names = {path: ".".join(parts[:-1] if parts[-1] == "__init__" else parts) for path, parts in files.items() if "runs" not in parts}
    known = set(names.values())
    return {name: _imported(ast.parse(path.read_text(encoding="utf-8")), known) - {name} for path, name in names.items()}


def _imported(tree: ast.AST, known: set[str]) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & known or {node.module}
            found |= {node.module} & known if members - known else set()
    unknown = {name for name in found - known if name.split(".")[0] in ROOMS}
    assert not unknown, f"{unknown}: no modules"
    return found & known


MODULES = modules()


def test_every_folder_with_code_is_a_room_or_the_tests():
    folders = {path.relative_to(ROOT).parts[0] for depth in ("*/*.py", "*/*/*.py") for path in ROOT.glob(depth)}
    assert {name for name in folders if not name.startswith(".")} - {"demo"} == {*ROOMS, "tests"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_no_higher_one(room):
    higher = ROOMS[ROOMS.index(room) + 1 :]
    wrong = {
        f"{name} imports {other}"
        for name, others in MODULES.items()
        for other in others
        if name.split(".")[0] == room and other.split(".")[0] in higher
    }
    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_no_modules_of_a_room_import_in_a_circle(room):
    inside = {
        name: {other for other in others if other.split(".")[0] == room} for name, others in MODULES.items() if name.split(".")[0] == room
    }
    TopologicalSorter(inside).prepare()  # raises CycleError with the circle

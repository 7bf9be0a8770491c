"""dvc.yaml against the code: a stage depends on exactly what it reads, so that nothing re-runs in vain and nothing is stale."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic import ROOT

from stages import catalog
from stages.params import Params, _describe

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
KEYS = [key for key, _ in _describe(Params)]
CONSTANTS = {name: value.as_posix() for name, value in vars(catalog).items() if isinstance(value, Path)}


def modules(stage: str) -> list[Path]:
    return sorted((ROOT / "stages" / stage).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names of the project's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("stages.")}


def nouns(paths: list[Path]) -> set[str]:
    """The modules directly in stages/ that files import, directly or by way of one another."""
    direct = {name.split(".")[1] for path in paths for name in imports(path)}
    files = {name for name in direct if (ROOT / f"stages/{name}.py").exists()}
    return files | (nouns([ROOT / f"stages/{name}.py" for name in files]) if files else set())


def tracked(stage: str) -> list[str]:
    return [entry for entry in STAGES[stage].get("params", []) if isinstance(entry, str)]


def outs(stage: str) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def covers(paths: list[str], path: str) -> bool:
    return any(path == one or path.startswith(one + "/") for one in paths)


def test_a_folder_of_code_is_a_stage_and_the_other_way_round():
    assert {path.parent.name for path in (ROOT / "stages").glob("*/__main__.py")} == {*STAGES, "predict"}, "predict is for users"


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_the_folder_and_the_nouns_it_imports(stage):
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}
    # stages/params.py is left out: the values that matter are tracked under params.
    assert declared == {f"stages/{stage}"} | {f"stages/{name}.py" for name in nouns(modules(stage)) - {"params"}}


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_come_in_one_order(stage):
    """Data, metrics, the stage's own code, shared code; each by name."""
    deps = STAGES[stage]["deps"]
    assert deps == sorted(deps, key=lambda dep: (dep.split("/")[0], dep.endswith(".py"), dep))


@pytest.mark.parametrize("stage", STAGES)
def test_no_step_imports_another(stage):
    steps = {name.split(".")[1] for path in modules(stage) for name in imports(path)}
    assert steps & set(STAGES) <= {stage}


@pytest.mark.parametrize("noun", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_no_noun_imports_a_step(noun):
    assert not {name.split(".")[1] for name in imports(noun)} & set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_under_data_and_every_file_under_metrics_in_the_code_is_declared(stage):
    declared = [*STAGES[stage]["deps"], *outs(stage), *(next(iter(p)) for p in STAGES[stage].get("params", []) if isinstance(p, dict))]
    declared = [path.split("/${")[0] for path in declared]
    for module in modules(stage):
        named = [
            CONSTANTS[name.split(".")[-1]]
            for name in imports(module)
            if name.startswith("stages.catalog.") and name.split(".")[-1] in CONSTANTS
        ]
        literals = [
            node.value for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for path in named + [literal.rstrip("/") for literal in literals if re.fullmatch(r"data/\S*|metrics/\S+\.\w+", literal)]:
            assert covers(declared, path), f"{module.name} uses {path}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_under_metrics_is_named_in_the_code(stage):
    text = "".join(module.read_text() for module in modules(stage))
    for dep in (dep for dep in STAGES[stage]["deps"] if dep.startswith("metrics/")):
        assert f'"{dep}"' in text, f"{stage} never reads {dep}"


def test_stages_read_what_they_declare_and_nothing_else(phantom_project):
    for stage, paths in phantom_project.opened.items():
        files = [next(iter(entry)) for entry in STAGES[stage].get("params", []) if isinstance(entry, dict)]
        own = [path.replace("${item.source}", "phantom") for path in outs(stage)]
        for path in paths:
            if ".part/" in path:  # unfinished outputs, of which nothing is left when a stage has ended
                folder, _, _ = path.partition(".part/")
                assert any(out.startswith(f"{folder}/") for out in own) and not (phantom_project.folder / f"{folder}.part").exists()
                continue
            assert covers(STAGES[stage]["deps"] + files + own, path), f"{stage} reads {path}"
        for dep in (dep for dep in STAGES[stage]["deps"] if dep.startswith("data/")):
            # the workers of preprocess open the archives, out of sight of this process
            assert any(covers([dep], path) for path in paths) or (stage, dep) == ("preprocess", "data/raw"), f"{stage} never reads {dep}"


def test_every_key_is_tracked_by_a_stage_and_every_tracked_key_exists():
    entries = {entry for stage in STAGES for entry in tracked(stage)}
    for entry in entries:
        assert any(key == entry or key.startswith(entry + ".") for key in KEYS), f"dvc.yaml tracks {entry}, params.yaml has none"
    for key in KEYS:
        assert any(key == entry or key.startswith(entry + ".") for entry in entries), f"no stage tracks {key}"


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read_by_a_stage_that_tracks_it(key):
    name = key.split(".")[-1]
    stages = [stage for stage in STAGES if any(key == entry or key.startswith(entry + ".") for entry in tracked(stage))]
    paths = [
        path for stage in stages for path in (*modules(stage), *(ROOT / f"stages/{noun}.py" for noun in nouns(modules(stage)) - {"params"}))
    ]
    attributes = {node.attr for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert name in attributes or f'"{name}"' in "".join(path.read_text() for path in paths), f"{key} is read by none of {stages}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_the_sections_of_params_that_it_tracks(stage):
    read = set()
    for path in modules(stage):
        text = path.read_text()
        read |= set(re.findall(r"(?:load_params\(\)|\bparams)\.(" + "|".join(Params.model_fields) + r")\b(?!\()", text))
    assert read <= {entry.split(".")[0] for entry in tracked(stage)} | ({"data"} if stage == "download" else set())


@pytest.mark.parametrize(
    "stage",
    [
        "download",
        "merge",
        "dedupe",
        "split",
        "balance",
        "preprocess",
        "leaks",
        "shortcuts",
        "aggregate",
        "calibrate",
        "audit",
        "slices",
        "statement",
        "report",
    ],
)
def test_importing_a_stage_that_does_not_need_torch_leaves_it_out(stage):
    code = f"import sys; import stages.{stage}.__main__; sys.exit('torch' in sys.modules and 'torch was imported')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

"""leaderboard/dvc.yaml against recipes/, the code and the main pipeline."""

import ast
from pathlib import Path

import yaml
from synthetic import ROOT

from leaderboard.code import TARGET
from leaderboard.code import main as hashes
from leaderboard.recipes import PROTOCOLS, load_recipes

MAIN = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = yaml.safe_load((ROOT / "leaderboard/dvc.yaml").read_text())["stages"]


def imports(path: str) -> set[str]:
    """Files of the project's packages that a file imports from."""
    nodes = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module.replace('.', '/')}.py" for node in nodes if node.module.split(".")[0] in ("harness", "leaderboard", "stages")}


def upstream(stage: str) -> set[str]:
    """A stage of the main pipeline and all that it needs."""
    needed = {stage}
    for other, entry in MAIN.items():
        outs = [out if isinstance(out, str) else next(iter(out)) for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
        if other != stage and any(out.split("/${")[0].startswith(dep) for dep in MAIN[stage]["deps"] for out in outs):
            needed |= upstream(other)
    return needed


def test_the_matrices_are_every_recipe_under_both_protocols():
    names = {name for name in load_recipes(ROOT / "recipes") if not name.startswith("ours-")}
    assert STAGES["cell"]["matrix"] == {"recipe": sorted(names), "protocol": list(PROTOCOLS)}
    grid = yaml.safe_load((ROOT / "recipes/ours.yaml").read_text())["choices"]
    assert STAGES["ours"]["matrix"] == {kind: list(choices) for kind, choices in grid.items()} | {"protocol": list(PROTOCOLS)}


def test_a_cell_runs_its_recipe_and_depends_on_what_that_says():
    kinds = STAGES["ours"]["matrix"]
    name = "-".join(["ours", *(f"${{item.{kind}}}" for kind in kinds if kind != "protocol")])
    for stage, recipe in (("cell", "${item.recipe}"), ("ours", name)):
        assert STAGES[stage]["cmd"] == f"python -m leaderboard.cell {recipe} --protocol ${{item.protocol}}"
        assert STAGES[stage]["outs"] == [{f"leaderboard/results/{recipe}-${{item.protocol}}.json": {"cache": False}}]
    own = {path: keys for entry in STAGES["ours"]["params"] for path, keys in entry.items()}
    assert STAGES["cell"]["deps"] == [str(TARGET), "recipes/${item.recipe}.yaml"]
    assert STAGES["ours"]["deps"] == [str(TARGET)]
    assert own["recipes/ours.yaml"] == [f"choices.{kind}.${{item.{kind}}}" for kind in kinds if kind != "protocol"]


def test_the_cells_depend_on_the_code_and_params_of_the_stages_that_they_run_and_on_no_other():
    stages = upstream("aggregate")
    assert "train" in stages and "download" in stages and "report" not in stages
    code = {dep for stage in stages for dep in MAIN[stage]["deps"] if dep.startswith("stages/")}
    assert {dep for dep in STAGES["code"]["deps"] if dep.startswith("stages/")} == code | {"stages/slices/dimensions.py"}, (
        "whose contrasts leaderboard.metrics reads"
    )
    other = {dep for dep in STAGES["code"]["deps"] if dep.endswith(".py") and not dep.startswith("stages/")}
    assert other == {"leaderboard/code.py", "leaderboard/cell.py"} | {
        path for path in imports("leaderboard/cell.py") if not path.startswith("stages/")
    }
    sections = {entry.split(".")[0] for stage in stages for entry in MAIN[stage].get("params", []) if isinstance(entry, str)}
    for cell in ("cell", "ours"):
        assert STAGES[cell]["deps"][0] == next(iter(STAGES["code"]["outs"][0])) == str(TARGET)
        (own,) = [entry["params.yaml"] for entry in STAGES[cell]["params"] if "params.yaml" in entry]
        assert set(own) == sections | {"data"}


def test_the_file_of_hashes_changes_with_the_code_and_with_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("folder/a.py", "folder/__pycache__/a.pyc", "b.yaml", "other.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("before")
    Path("leaderboard").mkdir()
    Path("leaderboard/dvc.yaml").write_text("stages: {code: {deps: [folder, b.yaml]}}")
    hashes()
    before = TARGET.read_text()
    assert [line.split()[1] for line in before.splitlines()] == ["b.yaml", "folder/a.py"]
    for name in ("folder/__pycache__/a.pyc", "other.py"):
        Path(name).write_text("after")
    hashes()
    assert TARGET.read_text() == before
    Path("folder/a.py").write_text("after")
    hashes()
    assert TARGET.read_text() != before


def test_the_leaderboard_depends_on_the_code_that_it_imports():
    own = {"leaderboard/table.py"}
    found = own | {path for one in (*own, *imports("leaderboard/table.py")) for path in imports(one)}
    assert {dep for dep in STAGES["leaderboard"]["deps"] if dep.endswith(".py")} == found - {"stages/params.py"}


def test_every_dependency_exists():
    for stage in STAGES.values():
        recipes = stage.get("matrix", {}).get("recipe", [""])
        for dep in (dep.replace("${item.recipe}", recipe) for dep in stage["deps"] for recipe in recipes):
            assert dep == str(TARGET) or (ROOT / dep).exists(), dep

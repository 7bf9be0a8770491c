"""Which changes of a checkout make a result older, on cells that are laid out and not run."""

import contextlib
from pathlib import Path

import pytest
import yaml
from small_cell import NAME, SMALL

from leaderboard.cell import lay_out_cell, parse
from leaderboard.provenance import Checkout, made_from, read_inputs
from leaderboard.recipes import load_recipe


@pytest.fixture(scope="module")
def results(checkout) -> list[dict]:
    """Of one recipe under both protocols, what provenance looks at."""
    with contextlib.chdir(checkout):
        recipe, changes = load_recipe(NAME), parse([*SMALL, "train.lr=1e-7"])
        folders = {protocol: lay_out_cell(NAME, recipe, protocol, changes) for protocol in ("same", "honest")}
        return [
            {"recipe": NAME, "protocol": protocol, "changed": changes, "made_from": made_from(folder)}
            for protocol, folder in folders.items()
        ]


@pytest.fixture
def here(checkout, monkeypatch):
    """The checkout as working directory: a function that changes one of its files until the test ends."""
    monkeypatch.chdir(checkout)
    before = {}

    def change(path: str, to) -> None:
        before.setdefault(path, Path(path).read_text(encoding="utf-8"))
        Path(path).write_text(to(before[path]), encoding="utf-8")

    yield change
    for path, text in before.items():
        Path(path).write_text(text, encoding="utf-8")


def current(results: list[dict]) -> list[bool]:
    checkout = Checkout()
    return [checkout.is_current(result, load_recipe(NAME)) for result in results]


def in_yaml(change):
    """A change of the content of a YAML file."""

    def changed(text: str) -> str:
        content = yaml.safe_load(text)
        change(content)
        return yaml.safe_dump(content)

    return changed


def test_a_result_of_this_very_checkout_is_current_and_one_without_hashes_never(here, results):
    assert current(results) == [True, True]
    assert current([{key: value for key, value in results[0].items() if key != "made_from"}]) == [False]


@pytest.mark.parametrize(
    "path", ["stages/merge/scan.py", "stages/train/loop.py", "stages/aggregate/table.py", "stages/scores.py", "data/annotations.csv"]
)
def test_the_code_and_tables_of_any_stage_up_to_aggregate_count(here, results, path):
    here(path, lambda text: text + "\n")
    assert current(results) == [False, False]


@pytest.mark.parametrize("path", ["stages/report/chart.py", "stages/params.py", "leaderboard/plot.py", "README.md"])
def test_no_other_code_counts(here, results, path):
    here(path, lambda text: text + "\n")
    assert current(results) == [True, True]


def test_params_count_as_the_recipe_leaves_them(here, results):
    here("params.yaml", in_yaml(lambda params: params["train"].update(epochs=99)))
    assert current(results) == [True, True], "the cell sets it"
    here("params.yaml", in_yaml(lambda params: params["explain"].update(pictures=99)))
    assert current(results) == [True, True], "no stage up to aggregate reads it"
    here("params.yaml", in_yaml(lambda params: params["merge"].update(max_rejected=99)))
    assert current(results) == [False, False]


def test_a_param_that_is_gone_makes_a_result_older(here, results):
    gone = [result | {"changed": result["changed"] | {"train.gone": 1}} for result in results]
    assert current(gone) == [False, False]


def test_the_recipe_of_the_protocol_counts(here, results):
    here("recipes/honest.yaml", lambda text: text + "  evaluate.bins: 10\n")
    assert current(results) == [True, False]


def test_of_the_registry_only_the_cells_own_sources_count_without_their_licence(here, results):
    here("data/sources.yaml", in_yaml(lambda sources: sources.update(another=sources["sartaj"])))
    assert current(results) == [True, True]
    here("data/sources.yaml", in_yaml(lambda sources: sources["phantom"].update(licence="CC0-1.0")))
    assert current(results) == [True, True]
    here("data/sources.yaml", in_yaml(lambda sources: sources["phantom"]["archive"]["phantom"].update(seed=1)))
    assert current(results) == [False, False]


def test_what_counts_is_no_output_of_a_stage(here, results):
    inputs = read_inputs(Path())
    assert {"stages/download", "stages/dedupe", "stages/weights", "stages/train", "data/corrections.csv"} < inputs.files.keys()
    assert not any(path.startswith(("data/raw", "data/merged", "metrics/")) for path in inputs.files)
    assert inputs.data.keys() == {
        "data/balanced/samples.csv", "data/dedupe/clusters.csv", "data/merged/demonstration.json", "data/preprocessed/index.csv", "data/preprocessed/pixels.npy",
        "data/weights/weights.safetensors",
    }  # fmt: skip

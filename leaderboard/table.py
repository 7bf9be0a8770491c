"""Every published metric beside ours, under the authors' protocol and under the honest one: metrics/leaderboard.csv and a plot.

A cell that was not run is empty, and its note says by which command it is run; nothing is estimated.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from leaderboard.plot import draw
from leaderboard.provenance import Checkout
from leaderboard.recipes import PROTOCOLS, RESULTS, Recipe, load_recipes
from stages.catalog import write_table

LOSSES = ("train_loss", "validation_loss")
BY_LEAK = ("accuracy_of_leaked", "accuracy_of_clean")
COLUMNS = [
    "recipe", "document", "table", "metric", "published", "same_protocol", "honest", "honest_low", "honest_high", "leaked_share", "note", "state",
]  # fmt: skip


def main() -> None:
    table = collect(load_recipes(), RESULTS)
    write_table(table, "metrics/leaderboard.csv")
    Path("metrics/plots").mkdir(exist_ok=True)
    accuracy = table[table.metric == "accuracy"]
    draw(accuracy, {name for name in accuracy.recipe if changes(name, RESULTS)}, Path("metrics/plots/leaderboard.png"))
    print(
        f"{accuracy.same_protocol.notna().sum()} of {len(accuracy)} systems run as published, {accuracy.honest.notna().sum()} honestly; {states(table)}"
    )


def collect(recipes: dict[str, Recipe], folder: Path) -> pd.DataFrame:
    """COLUMNS, a row a system and metric; what was not published, not run or is not computed here is NaN.

    folder holds a `<recipe>-<protocol>.json` of leaderboard.cell for each cell that was run. leaked_share is the share of the
    test pictures under the authors' protocol of which a copy is in the training; BY_LEAK, what it buys: the accuracy on those and
    on the others, has rows where there are any. The recipe's own note stands in the row of
    accuracy, which every system has; what was not run, or differently, in all of its rows. state is current or older, by leaderboard.provenance,
    older if one of the two results is; empty where neither was run.
    """
    rows, checkout = [], Checkout()
    for name, recipe in recipes.items():
        results = {protocol: _result(folder / f"{name}-{protocol}.json") for protocol in PROTOCOLS}
        same, honest = results["same"], results["honest"]
        current = [checkout.is_current(result, recipe) for result in results.values() if result]
        state = "" if not current else "current" if all(current) else "older"
        leaked = same["leaked_test_pictures"] / same["test_pictures"] if same else None
        run = [*_deviations(results), *_not_run(name, recipe, results)]
        for metric, published in (recipe.metrics() | (dict.fromkeys(BY_LEAK) if leaked else {})).items():
            value = _value(honest, metric)
            values = published, _value(same, metric).get("mean"), value.get("mean"), value.get("low"), value.get("high"), leaked
            note = " ".join(filter(None, [recipe.note if metric == "accuracy" else "", *run]))
            rows.append((name, recipe.document, recipe.table, metric, *values, note, state))
    numbers = COLUMNS[COLUMNS.index("published") : COLUMNS.index("note")]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(numbers, float)).round(6)


def changes(recipe: str, folder: Path, protocols: Sequence[str] = PROTOCOLS) -> list[str]:
    """key=value of what the cells of a recipe were run with otherwise than it says, each once; folder as for collect."""
    results = filter(None, (_result(folder / f"{recipe}-{protocol}.json") for protocol in protocols))
    return list(dict.fromkeys(f"{key}={value}" for result in results for key, value in result["changed"].items()))


def states(table: pd.DataFrame) -> str:
    """How many systems of a leaderboard are current, older and not run."""
    count = table[table.metric == "accuracy"].state.value_counts()
    return f"{count.get('current', 0)} current, {count.get('older', 0)} older, {count.get('', 0)} not run"


def _result(path: Path) -> dict | None:
    """What a cell came to, or None where it was not run on real pictures."""
    if not path.is_file():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    return None if result["summary"]["demonstration"] else result


def _value(result: dict | None, metric: str) -> dict:
    """mean, and low and high where there is an interval, of one metric; empty where it is not known."""
    if not result:
        return {}
    classes, others = result["summary"]["classes"], result["others"]
    label, _, name = metric.rpartition(".")
    for part in (classes.get(label, {}), others.get(label, {})) if label else (result["summary"], others):
        if name in part:
            return part[name]
    if metric in LOSSES:
        return {"mean": result["train"][metric]}
    if metric in ("validation_accuracy", *BY_LEAK):
        return {"mean": result[metric]}
    average, _, kind = metric.partition("_")
    values = {name: value[kind]["mean"] for name, value in classes.items() if kind in value}
    # A metric of a class that was never predicted, or never tested, may not be defined: the average is over the others.
    weights = {name: _weight(average, result, name) for name, value in values.items() if value is not None}
    total = sum(weights.values())
    return {"mean": sum(weights[name] * values[name] for name in weights) / total} if total else {}


def _weight(average: str, result: dict, label: str) -> int:
    """Of a class in an average over classes: each the same, or by its test pictures."""
    return {"macro": 1, "weighted": result["test_labels"].get(label, 0)}.get(average, 0)


def _deviations(results: dict[str, dict | None]) -> list[str]:
    return [
        f"Run with {', '.join(f'{key}={value}' for key, value in result['changed'].items())} ({protocol})."
        for protocol, result in results.items()
        if result and result["changed"]
    ]


def _not_run(name: str, recipe: Recipe, results: dict[str, dict | None]) -> list[str]:
    absent = [protocol for protocol in PROTOCOLS if not results[protocol]]
    if not absent:
        return []
    what = "Not run" if len(absent) == len(PROTOCOLS) else f"Not run: {absent[0]}"
    command = f"make recipe NAME={name}" + (f" PROTOCOL={absent[0]}" if len(absent) == 1 else "")
    if recipe.missing:
        return [f"{what}; missing: {recipe.missing}; then `{command}`."]
    if recipe.weights_needed:
        return [f"{what}; `{command}` does, where the weights of {recipe.weights_needed} can be fetched."]
    return [f"{what}; `{command}` does."]


if __name__ == "__main__":
    main()

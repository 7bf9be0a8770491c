"""The tables of docs/benchmarks.md, from results.json: medians over rounds, and ratios within each round, which ours begins.

python -m benchmarks.speed.table writes them anew.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from harness.markers import replace_part

RESULTS = Path("benchmarks/speed/results.json")
DOCUMENT = Path("docs/benchmarks.md")
NAMES = {
    "ours": "ours",
    "random_tensors": "ours on random tensors",
    "plain": "ImageFolder, Pillow, DataLoader",
    "fastai_loop": "fastai",
    "keras_loop": "Keras 3 on torch",
}


def main() -> None:
    write_tables(json.loads(RESULTS.read_text()))


def write_tables(results: dict) -> None:
    """Put the tables of some results between the markers of the document."""
    for name, table in tables(results).items():
        replace_part(DOCUMENT, name, table)


def tables(results: dict) -> dict[str, str]:
    """Markdown: "conditions", "training" and "dedupe"."""
    return {"conditions": conditions(results), "training": training(results), "dedupe": dedupe(results)}


def conditions(results: dict) -> str:
    """What was measured, and how."""
    rounds = 1 + max(row["round"] for part in ("training", "dedupe") for row in results[part])
    clock = {"wall": "seconds that pass", "cpu": "CPU seconds of a process and its workers, since other work shared the cores"}[
        results["clock"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"`{results['command']}`: {results['threads']} core(s) for everything, {results['pictures']}, {results['size']} px, "
        f"batches of {results['batch_size']}, {rounds} round(s); {clock}. {versions}."
    )


def training(results: dict) -> str:
    """A row a network, what of it is trained, and loop; the ratios say how much faster ours is."""
    clock, recipe = results["clock"], results["recipe_epochs"]
    lines = [
        f"| network | trained | loop | pictures/s | ours is faster by | recipe of {recipe} epochs, s | how known | ours is faster by |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | ---: |",
    ]
    rows = results["training"]
    ours = {_cell(row): [mine for mine in rows if mine["loop"] == "ours" and _cell(mine) == _cell(row)] for row in rows}
    for cell, loop in dict.fromkeys((_cell(row), row["loop"]) for row in rows):
        name, backbone, frozen = cell
        rounds = [row for row in rows if (_cell(row), row["loop"]) == (cell, loop)]
        start = f"| {name}: {backbone} | {'classifier' if frozen else 'whole'} | {NAMES[loop]} |"
        if "missing" in rounds[0]:
            lines.append(f"{start} {rounds[0]['missing']} is not installed | | | | |")
            continue
        speeds, seconds = [_speed(row, clock) for row in rounds], [_recipe(row, recipe, clock) for row in rounds]
        how = "measured" if len(rounds[0]["epochs"]) == recipe else f"start + seconds of an epoch x {recipe}"
        faster = _ratio(_speed(mine, clock) / speed for mine, speed in zip(ours[cell], speeds, strict=False))
        sooner = _ratio(other / _recipe(mine, recipe, clock) for mine, other in zip(ours[cell], seconds, strict=False))
        faster, sooner = ("", "") if loop == "ours" else (faster, "" if loop == "random_tensors" else sooner)
        lines.append(f"{start} {_number(median(speeds))} | {faster} | {_number(median(seconds))} | {how} | {sooner} |")
    return "\n".join(lines)


def dedupe(results: dict) -> str:
    """A row a tool."""
    clock, rows = results["clock"], results["dedupe"]
    lines = [
        "| tool | recall of pairs | of these, of mirrored and flipped ones | precision | seconds | ours is faster by |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ours = [_seconds(row["seconds"], clock) for row in rows if row["tool"] == "ours"]
    for tool in dict.fromkeys(row["tool"] for row in rows):
        rounds = [row for row in rows if row["tool"] == tool]
        first = rounds[0]
        if "missing" in first:
            lines.append(f"| {tool} | {first['missing']} is not installed | | | | |")
            continue
        seconds = [_seconds(row["seconds"], clock) for row in rounds]
        shares = [(first["both"], first["true"]), (first["turned_found"], first["turned"]), (first["both"], first["found"])]
        shown = " | ".join(f"{part / whole:.3f} ({part} of {whole})" if whole else "none found" for part, whole in shares)
        faster = "" if tool == "ours" else _ratio(other / mine for mine, other in zip(ours, seconds, strict=False))
        lines.append(f"| {tool} | {shown} | {median(seconds):.1f} | {faster} |")
    return "\n".join(lines)


def _cell(row: dict) -> tuple[str, str, bool]:
    return row["name"], row["backbone"], row["frozen"]


def _seconds(lap: list[float], clock: str) -> float:
    return lap[0 if clock == "wall" else 1]


def _epoch(row: dict, clock: str) -> float:
    # The first epoch warms up: kernels are chosen, memory is got.
    return median(_seconds(lap, clock) for lap in row["epochs"][1:])


def _speed(row: dict, clock: str) -> float:
    return row["pictures"] / _epoch(row, clock)


def _recipe(row: dict, epochs: int, clock: str) -> float:
    measured = [_seconds(lap, clock) for lap in [row["setup"], *row["epochs"]]]
    return sum(measured) + (epochs - len(row["epochs"])) * _epoch(row, clock)


def _ratio(ratios: Iterable[float]) -> str:
    return f"{_number(median(ratios))} x"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()

"""The tables of docs/scale.md about many pictures, from results.json.

python -m benchmarks.scale.table writes them anew.
"""

import json
from pathlib import Path

import numpy as np

from harness.markers import replace_part

RESULTS = Path("benchmarks/scale/results.json")
DOCUMENT = Path("docs/scale.md")
STAGES = ("download", "merge", "dedupe")
LITTLE = 0.5  # GiB of dedupe.memory, in which the features of a million pictures have no room


def main() -> None:
    write_tables(json.loads(RESULTS.read_text()))


def write_tables(results: dict) -> None:
    """Put the table of some results between the markers of the document."""
    replace_part(DOCUMENT, "pictures", table(results))


def table(results: dict) -> str:
    """Markdown: a row a size, and by which power of the pictures the time of dedupe grows."""
    sizes = {int(count): result for count, result in results["sizes"].items()}
    lines = [
        f"`{results['command']}`, {results['cores']} cores:",
        "",
        "| pictures | archive, MB | download | merge | dedupe | planted copies | recall | precision "
        f"| dedupe in {LITTLE} GiB | each with each | same clusters |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for count, result in sizes.items():
        cells = [f"{count:,}", f"{result['bytes'] / 1e6:,.0f}", *(_cost(result[stage]) for stage in STAGES)]
        cells += [f"{result['planted']:,}", f"{result['recall']:.5f}", f"{result['precision']:.5f}"]
        others = [result.get(name) for name in ("little_memory", "exhaustive")]
        cells += [_cost(other) if other else "" for other in others]
        cells += ["yes" if all(other["same_clusters"] for other in others if other) else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    if len(sizes) > 1:
        lines += ["", f"Time of dedupe grows with the {power(sizes):.2f}th power of the pictures (least squares over the logarithms)."]
    return "\n".join(lines)


def power(sizes: dict[int, dict]) -> float:
    """The exponent of the number of pictures in the seconds of dedupe."""
    seconds = [result["dedupe"]["seconds"] for result in sizes.values()]
    return float(np.polyfit(np.log(list(sizes)), np.log(seconds), 1)[0])


def _cost(cost: dict) -> str:
    return f"{cost['seconds']:,.0f} s, {cost['megabytes']:,.0f} MB"


if __name__ == "__main__":
    main()

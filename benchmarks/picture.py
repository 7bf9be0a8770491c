"""The leaderboard as one picture: published accuracy against ours, a line a system."""

from collections.abc import Container
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

matplotlib.use("agg")

ROW = 0.2  # inches a system


def draw(table: pd.DataFrame, changed: Container[str], path: Path) -> None:
    """Write a PNG; table holds the leaderboard's rows of one metric, one a system. A system without any figure is left out.

    changed: the recipes that were run otherwise than they say, which get a star.
    """
    table = table[table[["published", "same_protocol", "honest"]].notna().any(axis=1)]
    order = {"by": ["ours", "document", "published"], "ascending": [True, True, False]}
    table = table.assign(ours=table.document == "ours").sort_values(**order, kind="stable").reset_index(drop=True)
    y = np.arange(len(table))
    figure = Figure(figsize=(10, ROW * len(table) + 1.2), layout="constrained")
    panel = figure.subplots()
    panel.hlines(y, 0, 1, color="0.92", linewidth=0.8, zorder=0)
    panel.scatter(table.published, y, facecolors="none", edgecolors="black", s=30, label="published")
    panel.scatter(table.same_protocol, y, marker="x", color="tab:orange", s=26, label="ours, the authors' protocol")
    known = table.honest_low.notna()
    panel.hlines(y[known], table.honest_low[known], table.honest_high[known], color="tab:blue", linewidth=2)
    panel.scatter(table.honest, y, color="tab:blue", s=24, label="ours, honest, 95 % interval")
    for start in np.flatnonzero(table.document != table.document.shift())[1:]:
        panel.axhline(start - 0.5, color="0.5", linewidth=0.8)
    panel.set_yticks(y, [name + "*" * (name in changed) for name in table.recipe], fontsize=7)
    for label, run in zip(panel.get_yticklabels(), table[["same_protocol", "honest"]].notna().any(axis=1), strict=True):
        label.set_color("black" if run else "0.55")
    lowest = table[["published", "same_protocol", "honest", "honest_low"]].min().min()
    panel.set(xlim=(np.floor(lowest * 20) / 20 - 0.02, 1.01), ylim=(len(table) - 0.5, -0.5), xlabel="Accuracy on the test pictures")
    panel.grid(axis="x", alpha=0.3)
    figure.legend(
        loc="outside upper center",
        ncols=3,
        frameon=False,
        title="Published systems in grey were not run, those with a star otherwise than published",
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes

"""The leaderboard as one picture: published accuracy against ours, a line a system."""

from collections.abc import Collection
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

matplotlib.use("agg")

ROW = 0.2  # inches a system


def draw(table: pd.DataFrame, changed: Collection[str], path: Path) -> None:
    """Write a PNG; table holds the leaderboard's rows of one metric, one a system. A system without any figure is left out.

    A system of our own that is there for every copy and for distinct pictures is one line: honestly both are the same.
    changed: the recipes that were run otherwise than they say, which get a star.
    """
    table = _with_distinct(table.assign(star=table.recipe.isin(changed)))
    table = table[table[["published", "same_protocol", "distinct", "honest"]].notna().any(axis=1)]
    order = {"by": ["ours", "document", "published"], "ascending": [True, True, False]}
    table = table.assign(ours=table.document == "ours").sort_values(**order, kind="stable").reset_index(drop=True)
    y = np.arange(len(table))
    figure = Figure(figsize=(10, ROW * len(table) + 1.2), layout="constrained")
    panel = figure.subplots()
    panel.hlines(y, 0, 1, color="0.92", linewidth=0.8, zorder=0)
    panel.scatter(table.published, y, facecolors="none", edgecolors="black", s=30, label="published")
    panel.scatter(table.same_protocol, y, marker="x", color="tab:orange", s=26, label="ours, the authors' protocol")
    panel.scatter(table.distinct, y, marker="+", color="tab:green", s=36, label="ours, each picture once")
    known = table.honest_low.notna()
    panel.hlines(y[known], table.honest_low[known], table.honest_high[known], color="tab:blue", linewidth=2)
    panel.scatter(table.honest, y, color="tab:blue", s=24, label="ours, honest, 95 % interval")
    for start in np.flatnonzero(table.document != table.document.shift())[1:]:
        panel.axhline(start - 0.5, color="0.5", linewidth=0.8)
    panel.set_yticks(y, table.recipe + table.star.map({True: "*", False: ""}), fontsize=7)
    for label, run in zip(panel.get_yticklabels(), table[["same_protocol", "distinct", "honest"]].notna().any(axis=1), strict=True):
        label.set_color("black" if run else "0.55")
    lowest = table[["published", "same_protocol", "distinct", "honest", "honest_low"]].min().min()
    panel.set(xlim=(np.floor(lowest * 20) / 20 - 0.02, 1.01), ylim=(len(table) - 0.5, -0.5), xlabel="Accuracy on the test pictures")
    panel.grid(axis="x", alpha=0.3)
    figure.legend(
        loc="outside upper center",
        ncols=4,
        frameon=False,
        title="Published systems in grey were not run, those with a star otherwise than published",
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes


def _with_distinct(table: pd.DataFrame) -> pd.DataFrame:
    """A column distinct more: of `ours-...-naive` the figure of `ours-...-distinct` under the same protocol, whose own row goes."""
    named = table.recipe.where(table.document == "ours").str.extract("^(?P<system>.+)-(?P<copies>naive|distinct)$")
    naive, distinct = (table[named.copies == copies].set_index(named.system[named.copies == copies]) for copies in ("naive", "distinct"))
    pairs = naive.combine_first(distinct)
    pairs = pairs.assign(
        same_protocol=naive.same_protocol, distinct=distinct.same_protocol, star=pairs.index.isin(named.system[table.star])
    )
    others = table[named.system.isna()].assign(distinct=np.nan)
    return pd.concat([others, pairs.assign(recipe=pairs.index)], ignore_index=True)

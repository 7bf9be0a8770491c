"""The leaderboard as one plot: the accuracy of the published systems that were run, and of ours on the three sets, by protocol."""

import textwrap
from collections.abc import Collection
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("agg")

ROW = 0.25  # inches a line
OLDER = "†"
COLUMNS = ["published", "same_protocol", "distinct", "honest"]
OURS = r"^ours-(?P<network>\w+)-\w+-merged-(?P<copies>naive|distinct)$"


def draw(table: pd.DataFrame, changed: Collection[str], path: Path) -> None:
    """Write a PNG; table holds the leaderboard's rows of one metric, one a system. What was not run is left out.

    changed: the recipes that were run otherwise than they say; published ones among them get a star. What is older gets a dagger.
    """
    published, ours = _published(table), _ours(table)
    heights = [max(len(part), 1) * ROW for part in (published, ours)]
    figure = Figure(figsize=(10, sum(heights) + 2), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=heights, sharex=True)

    _lines(upper, published, published.document)
    upper.set_title("Published systems that were run; *: otherwise than published; †: of older code or data", fontsize=11)
    upper.set_yticks(
        range(len(published)),
        [name + "*" * (name in changed) + OLDER * older for name, older in zip(published.recipe, published.older, strict=True)],
    )

    _lines(lower, ours, ours.training)
    lower.set_title("EfficientNet-Lite0, 1 and 2, from top to bottom, on Sartaj, Nickparvar and Crystal Clean together", fontsize=11)
    blocks = ours.reset_index().groupby("training", sort=False)
    lower.set_yticks(blocks["index"].mean(), [textwrap.fill(title + OLDER * older, 28) for title, older in blocks.older.any().items()])

    lowest = pd.concat([published, ours])[[*COLUMNS, "honest_low"]].min().min()
    lower.set(xlim=(0 if np.isnan(lowest) else lowest - 0.02, 1.01), xlabel="Accuracy on the test pictures")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes


def _published(table: pd.DataFrame) -> pd.DataFrame:
    """The documents' systems that have a result, document by document, the highest published first."""
    run = table[(table.document != "ours") & table[["same_protocol", "honest"]].notna().any(axis=1)]
    run = run.sort_values(["document", "published"], ascending=[True, False], kind="stable", ignore_index=True)
    return run.assign(distinct=np.nan, older=run.state == "older")


def _ours(table: pd.DataFrame) -> pd.DataFrame:
    """Our systems on the three sets that have a result, by training (its title), the best on new patients first, then by network.

    `...-naive` and `...-distinct` are one line: distinct is the latter's accuracy under the same protocol; honestly both are one run.
    """
    table = table.join(table.recipe.str.extract(OURS)).assign(training=table.table.str.split("; ").str[1])
    naive, distinct = (table[table.copies == copies].set_index(["training", "network"]) for copies in ("naive", "distinct"))
    pairs = naive.combine_first(distinct).assign(same_protocol=naive.same_protocol, distinct=distinct.same_protocol)
    pairs["older"] = (table.state == "older").groupby([table.training, table.network]).any()
    pairs = pairs[pairs[COLUMNS].notna().any(axis=1)].reset_index()
    best = pairs.groupby("training").honest.transform("mean")
    return pairs.assign(best=best).sort_values(["best", "training", "network"], ascending=[False, True, True], ignore_index=True)


def _lines(panel: Axes, table: pd.DataFrame, blocks: pd.Series) -> None:
    """A line a row of the table, a rule between blocks."""
    y = np.arange(len(table))
    panel.scatter(table.published, y, facecolors="none", edgecolors="black", s=45, label="published")
    panel.scatter(table.same_protocol, y, marker="x", color="tab:orange", s=40, label="every copy, authors' protocol")
    panel.scatter(table.distinct, y, marker="+", color="tab:green", s=55, label="each picture once, at random")
    panel.hlines(y, table.honest_low, table.honest_high, color="tab:blue", linewidth=2)
    panel.scatter(table.honest, y, color="tab:blue", s=30, label="new patients, 95 % interval")
    for start in np.flatnonzero(blocks != blocks.shift())[1:]:
        panel.axhline(start - 0.5, color="0.5", linewidth=0.8)
    panel.set_ylim(max(len(table), 1) - 0.5, -0.5)
    panel.grid(axis="x", alpha=0.3)

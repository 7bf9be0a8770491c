"""Learning curves of every fold, from each seed."""

import pandas as pd

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.results import Results

TITLE = "Learning curves"


def context(results: Results) -> dict:
    history = read_table("metrics/plots/history.csv")
    several = history.seed.nunique() > 1
    trainings = [
        (f"fold {fold}, seed {seed}" if several else f"fold {fold}", epochs) for (fold, seed), epochs in history.groupby(["fold", "seed"])
    ]
    kept = ", ".join(f"{name} epoch {epochs.epoch[epochs.kept].iloc[0]}" for name, epochs in trainings)
    seeds = ", one for each seed" if several else ""
    first = history.seed.iloc[0]
    score = chart(
        name="learning-macro-f1",
        title="Macro-F1 of the validation pictures, by fold",
        description=f"A line a fold{seeds}; the dot is the epoch whose weights are kept: {kept}.",
        x_label="Epoch",
        y_label="Validation macro-F1",
        x_range=(0, history.epoch.max()),
        lines=[_line(epochs, "validation_macro_f1", first, radii=epochs.kept.astype(int) * 4) for _, epochs in trainings],
    )
    losses = [_line(epochs, "validation_loss", first) for _, epochs in trainings]
    losses += [_line(epochs, "train_loss", None, dash=1) for _, epochs in trainings]
    ends = "; ".join(f"{name} ends at {e.train_loss.iloc[-1]:.2f} and {e.validation_loss.iloc[-1]:.2f}" for name, e in trainings)
    loss = chart(
        name="learning-loss",
        title="Loss, by fold",
        description=f"Dashed on training pictures, solid on validation pictures: {ends}.",
        x_label="Epoch",
        y_label="Cross-entropy",
        x_range=(0, history.epoch.max()),
        lines=losses,
    )
    return {"charts": [score, loss]}


def _line(epochs: pd.DataFrame, column: str, in_legend: int | None, **style) -> Line:
    """The line of one training; the lines of a fold have one colour, and the legend names that of the seed in_legend."""
    fold, seed = epochs.fold.iloc[0], epochs.seed.iloc[0]
    x, y = epochs.epoch.astype(float), epochs[column].astype(float)
    return Line(f"fold {fold}", x, y, colour=fold, in_legend=bool(seed == in_legend), **style)

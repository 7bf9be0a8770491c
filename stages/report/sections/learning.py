"""Learning curves of every fold."""

import pandas as pd

from stages.catalog import read_table
from stages.report.chart import Line, chart
from stages.report.results import Results

TITLE = "Learning curves"


def context(results: Results) -> dict:
    history = read_table("metrics/plots/history.csv")
    folds = list(history.groupby("fold"))
    kept = ", ".join(f"fold {fold} epoch {epochs.epoch[epochs.kept].iloc[0]}" for fold, epochs in folds)
    score = chart(
        name="learning-macro-f1",
        title="Macro-F1 of the validation pictures, by fold",
        description=f"A line a fold; the dot is the epoch whose weights are kept: {kept}.",
        x_label="Epoch",
        y_label="Validation macro-F1",
        x_range=(0, history.epoch.max()),
        lines=[_line(epochs, "validation_macro_f1", fold, radii=epochs.kept.astype(int) * 4) for fold, epochs in folds],
    )
    losses = [_line(epochs, "validation_loss", fold) for fold, epochs in folds]
    losses += [_line(epochs, "train_loss", fold, dash=1, in_legend=False) for fold, epochs in folds]
    ends = "; ".join(f"fold {fold} ends at {e.train_loss.iloc[-1]:.2f} and {e.validation_loss.iloc[-1]:.2f}" for fold, e in folds)
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


def _line(epochs: pd.DataFrame, column: str, fold: int, **style) -> Line:
    return Line(f"fold {fold}", epochs.epoch.astype(float), epochs[column].astype(float), colour=fold, **style)

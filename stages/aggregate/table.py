"""The summary for the screen."""

import pandas as pd

from stages.scores import METRICS


def to_text(summary: dict) -> str:
    """The summary as a table: mean and 95 % interval, a line a figure, with the spread over seeds if there are several, then a line a class, lowest F1 first."""
    classes = sorted(summary["classes"].items(), key=lambda item: item[1]["f1"]["mean"] or 0)
    overall = pd.DataFrame({name: {"": _cell(summary[name]), "seeds": _spread(summary[name])} for name in METRICS}).T
    by_class = pd.DataFrame({name: {metric: _cell(cell) for metric, cell in values.items()} for name, values in classes}).T
    folds = "1 fold" if summary["folds"] == 1 else f"{summary['folds']} folds"
    counts = f"{summary['pictures']} pictures of {summary['groups']} groups, {folds}; mean [95 % interval]"
    if summary["seeds"] > 1:
        counts += f"; {summary['seeds']} seeds together, and each alone: mean ± standard deviation over seeds"
    lines = [
        counts,
        overall.to_string(header=False),
        "",
        by_class.to_string(),
        *_of_patients(summary["patients"]),
        "",
        "All of it: metrics/summary.json; curves: dvc plots show",
    ]
    if summary["demonstration"]:
        lines += ["demonstration on synthetic pictures: not a result"]
    return "\n".join(lines)


def _of_patients(patients: dict | None) -> list[str]:
    if not patients:
        return []
    votes = patients["votes"]["all"]
    accuracy = votes["accuracy"]
    spread = f" [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" if accuracy["low"] is not None else ""
    return ["", f"{votes['number']} known patients, each by the mean of all their images: accuracy {accuracy['value']:.3f}{spread}"]


def _spread(figure: dict) -> str:
    if figure.get("seed_std") is None:
        return ""
    return f"{figure['seed_mean']:.3f} ± {figure['seed_std']:.3f}"


def _cell(figure: dict) -> str:
    return "undefined" if figure["mean"] is None else f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

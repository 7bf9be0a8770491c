"""Write the result tables of README.md, docs/data.md, docs/trust.md and docs/recipes.md from metrics/ and leaderboard/results/, so that they cannot say anything else."""

import json
from pathlib import Path

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.markers import replace_part
from leaderboard.recipes import FOLDER, PROTOCOLS, RESULTS
from leaderboard.table import BY_LEAK, changes
from stages.report.sections.summary import NAMES
from stages.statement.facts import estimate

TEMPLATES = Path(__file__).with_name("templates")
PARTS = {  # name of a template and of the markers -> document
    "results": Path("README.md"),
    "leaks": Path("README.md"),
    "leaderboard": Path("README.md"),
    "dedupe": Path("docs/data.md"),
    "control": Path("docs/trust.md"),
    "probes": Path("docs/trust.md"),
    "sets": Path("docs/trust.md"),
    "robustness": Path("docs/trust.md"),
    "ours": Path("docs/recipes.md"),
}
NOT_RUN, OLDER = "–", " †"


def main() -> None:
    for name, text in tables().items():
        replace_part(PARTS[name], name, text)


def tables() -> dict[str, str]:
    """Name of a part -> Markdown, from the metrics and results that are there now."""
    names = ("dedupe", "split", "summary", "leaks", "shortcuts", "calibration", "robustness")
    metrics = {name: json.loads(Path(f"metrics/{name}.json").read_text(encoding="utf-8")) for name in names}
    table = pd.read_csv("metrics/leaderboard.csv")
    shown = metrics | {"published": published(table), "ours": ours(table)} | of_summary(metrics["summary"])
    shown |= {
        "simple": metrics["leaks"]["simple_classifier"],
        "probes": metrics["shortcuts"]["probes"],
        "sets": metrics["calibration"]["prediction_sets"],
    }
    return {name: render(name, shown) for name in PARTS}


def metrics_of(summary: dict) -> str:
    """The metrics of a metrics/summary.json in Markdown: a table of the whole and one of the classes."""
    return render("metrics", of_summary(summary))


def of_summary(summary: dict) -> dict:
    """What metrics.md shows."""
    return {"names": NAMES, "summary": summary}


def published(table: pd.DataFrame) -> list[dict]:
    """The rows of the published systems that were run; table: metrics/leaderboard.csv."""
    accuracies = table.pivot(index="recipe", columns="metric", values="same_protocol")
    run = table[(table.document != "ours") & (table.metric == "accuracy") & table[["same_protocol", "honest"]].notna().any(axis=1)]
    by_leak = accuracies.reindex(index=run.recipe, columns=BY_LEAK).reset_index(drop=True)
    run = run[["recipe", "state", "honest", "honest_low", "honest_high", "published", "same_protocol"]].reset_index(drop=True).join(by_leak)
    rows = run.astype(object).where(run.notna(), None).to_dict("records")
    for row in rows:
        changed, row["older"] = changes(row["recipe"], RESULTS), row["state"] == "older"
        row["system"] = row["recipe"] + (f" ({', '.join(changed)})" if changed else "") + OLDER * row["older"]
        row["constant"] = ", ".join(share(constant(row["recipe"], protocol)) for protocol in PROTOCOLS)
        row["values"] = [row[name] for name in ("published", "same_protocol", *BY_LEAK)]
    return rows


def constant(recipe: str, protocol: str) -> float | None:
    """The accuracy of answering every test picture with the most frequent class; None where the system was not run so."""
    path = RESULTS / f"{recipe}-{protocol}.json"
    if not path.exists():
        return None
    labels = json.loads(path.read_text(encoding="utf-8"))["test_labels"]
    return max(labels.values()) / sum(labels.values())


def ours(table: pd.DataFrame) -> list[dict]:
    """The rows of our own systems, a set and a training each, of which one was run; table: metrics/leaderboard.csv."""
    choices = yaml.safe_load((FOLDER / "ours.yaml").read_text(encoding="utf-8"))["choices"]
    accuracy = table[table.metric == "accuracy"].set_index("recipe")

    def value(protocol: str, *recipes: str) -> str:
        """Of the first of the recipes that was run."""
        column = "honest" if protocol == "honest" else "same_protocol"
        for recipe in recipes:
            if pd.notna(accuracy[column][recipe]):
                return f"{accuracy[column][recipe]:.3f}" + "*" * bool(changes(recipe, RESULTS, [protocol]))
        return NOT_RUN

    rows = []
    for name, chosen in choices["set"].items():
        for training in choices["training"]:
            systems = [f"ours-{network}-{training}-{name}" for network in choices["network"]]
            columns = [
                [value("same", f"{system}-naive") for system in systems],
                [value("same", f"{system}-distinct") for system in systems],
                [value("honest", f"{system}-naive", f"{system}-distinct") for system in systems],  # the same run
            ]
            older = any(accuracy.state[f"{system}-{copies}"] == "older" for system in systems for copies in choices["copies"])
            if {*sum(columns, [])} != {NOT_RUN}:
                title = training + OLDER * older
                rows.append({"set": chosen["title"], "training": title, "columns": map(" / ".join, columns), "older": older})
    return rows


def render(name: str, shown: dict) -> str:
    """The template of that name with what it shows."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"share": share, "count": "{:,}".format, "interval": interval, "metric": estimate}
    return environment.get_template(f"{name}.md").render(shown)


def share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def interval(metric: dict) -> str:
    """A value with its interval, if it has one."""
    return share(metric["value"]) + (f" ({metric['low']:.3f} to {metric['high']:.3f})" if metric["low"] is not None else "")


if __name__ == "__main__":
    main()

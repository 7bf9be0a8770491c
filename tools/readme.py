"""Write the result tables of README.md, docs/data.md and docs/recipes.md from metrics/ and benchmarks/results/, so that they cannot say anything else."""

import json
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.leaderboard import BY_LEAK, RESULTS, changes
from benchmarks.recipes import FOLDER
from stages.report.sections.summary import NAMES
from tools.markers import replace_part

README, DATA, RECIPES = Path("README.md"), Path("docs/data.md"), Path("docs/recipes.md")
FILES = ("summary", "dedupe", "split", "leaderboard")
NOT_RUN = "–"


def main() -> None:
    for (document, name), text in tables().items():
        replace_part(document, name, text)


def tables() -> dict[tuple[Path, str], str]:
    """Document and marker in it -> Markdown table, from the metrics and results that are there now."""
    summary, dedupe, split, leaderboard = (json.loads(Path(f"metrics/{name}.json").read_text()) for name in FILES)
    return {
        (README, "results"): _results(summary),
        (README, "leaks"): _leaks(dedupe, split),
        (DATA, "dedupe"): _truth(dedupe),
        (README, "leaderboard"): _published(leaderboard["rows"]),
        (RECIPES, "ours"): _ours(leaderboard["rows"]),
    }


def _results(summary: dict) -> str:
    lines = [
        f"{summary['pictures']:,} distinct pictures of {summary['groups']} patients and groups, {summary['folds']} fold(s); "
        "mean over folds, standard deviation over folds, 95 % interval by bootstrap over groups.",
        "",
        figures(summary),
    ]
    return "\n".join(lines)


def figures(summary: dict) -> str:
    """The figures of a summary as metrics/summary.json has them: a table of the whole and one of the classes."""
    lines = [
        "| | mean | std | 95 % interval |",
        "| --- | ---: | ---: | :---: |",
        *(f"| {title} | {_row(summary[name])}" for name, title in NAMES.items()),
        "",
        "| class | precision | recall | F1 | specificity |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | " + " | ".join(_share(values[m]["mean"]) for m in ("precision", "recall", "f1", "specificity")) + " |"
            for name, values in summary["classes"].items()
        ),
    ]
    return "\n".join(lines)


def _row(figure: dict) -> str:
    return f"{_share(figure['mean'])} | {_share(figure['std'])} | {_share(figure['low'])} to {_share(figure['high'])} |"


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _leaks(dedupe: dict, split: dict) -> str:
    copies = ", ".join(f"{count:,} {name}" for name, count in dedupe["copies"].items() if count)
    lines = [
        f"{dedupe['pictures']:,} files hold {dedupe['distinct']:,} distinct pictures in {dedupe['groups']} groups. The copies: {copies}.",
        "",
        "| set | published test pictures | also in its published training | of these, byte for byte | test pictures whose group is in training |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {row['test']:,} | {row['in_training']:,} ({row['share']:.0%}) | {row['in_training_byte_identical']:,} | {row['group_in_training']:,} |"
            for name, row in dedupe["published_test_in_training"].items()
        ),
        "",
        f"In this project's split {split['leaks']['test_pictures']} test pictures have a copy that was found in training, and {split['leaks']['patients']} "
        f"known patients are on both sides. {_recall(dedupe['truth'])} [docs/data.md](docs/data.md) says what that does not cover.",
    ]
    return "\n".join(lines)


def _recall(truth: dict | None) -> str:
    if not truth:
        return "How many copies are found is not known."
    return (
        f"Of {truth['pairs']:,} pairs of different files that are known to show the same slice, dedupe finds {truth['recall']:.4f}; "
        f"of the pairs of known slices that it calls copies, {truth['precision']:.4f} are. All these are mirrored or encoded again, none is cut."
    )


def _truth(dedupe: dict) -> str:
    """Recall and precision of pairs, and how right planes are."""
    truth, planes = dedupe["truth"], dedupe["planes"]["accuracy_by_group"]
    lines = ["| copies of a known slice | pairs | recall |", "| --- | ---: | ---: |"]
    lines += [f"| {kind} | {row['pairs']:,} | {row['recall']:.4f} |" for kind, row in truth["by_kind"].items()]
    lines += [f"| all | {truth['pairs']:,} | {truth['recall']:.4f} |", ""]
    lines += [f"Precision of pairs: {truth['precision']:.4f} ({truth['wrong_pairs']} wrong).", ""]
    lines += ["| planes, cross-validated | images | right | filled in | of these right |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {name.replace('_', ' ')} | {part['pictures']:,} | {_share(part['all'])} | {_share(part['filled_in'])} | {_share(part['of_filled_in'])} |"
        for name, part in planes.items()
    ]
    return "\n".join(lines)


def _published(rows: list[dict]) -> str:
    table = pd.DataFrame(rows)
    accuracies = table.pivot(index="recipe", columns="metric", values="same_protocol")
    run = table[(table.document != "ours") & (table.metric == "accuracy") & table[["same_protocol", "honest"]].notna().any(axis=1)]
    lines = [
        "| system | published | authors' protocol | on leaked pictures | on the others | honest |",
        "| --- | ---: | ---: | ---: | ---: | :---: |",
    ]
    for row in run.itertuples():
        parts = (accuracies.loc[row.recipe].get(name) for name in BY_LEAK)
        shown = [row.published, row.same_protocol, *parts]
        interval = f"{row.honest:.3f} ({row.honest_low:.3f} to {row.honest_high:.3f})" if pd.notna(row.honest) else ""
        changed = changes(row.recipe, RESULTS)
        system = f"{row.recipe} ({', '.join(changed)})" if changed else row.recipe
        lines.append(" | ".join([f"| {system}", *("" if pd.isna(value) else f"{value:.3f}" for value in shown), interval]) + " |")
    return "\n".join(lines)


def _ours(rows: list[dict]) -> str:
    choices = yaml.safe_load((FOLDER / "ours.yaml").read_text())["choices"]
    accuracy = {row["recipe"]: row for row in rows if row["metric"] == "accuracy"}

    def figure(protocol: str, *recipes: str) -> str:
        """Of the first of the recipes that was run."""
        column = "honest" if protocol == "honest" else "same_protocol"
        for recipe in recipes:
            if accuracy[recipe][column] is not None:
                return f"{accuracy[recipe][column]:.3f}" + "*" * bool(changes(recipe, RESULTS, [protocol]))
        return NOT_RUN

    lines = ["| set | trained | every copy, at random | each picture once | new patients |", "| --- | --- | :---: | :---: | :---: |"]
    for name, chosen in choices["set"].items():
        for training in choices["training"]:
            systems = [f"ours-{network}-{training}-{name}" for network in choices["network"]]
            columns = [
                [figure("same", f"{system}-naive") for system in systems],
                [figure("same", f"{system}-distinct") for system in systems],
                [figure("honest", f"{system}-naive", f"{system}-distinct") for system in systems],  # the same run
            ]
            if {*sum(columns, [])} != {NOT_RUN}:
                lines.append(f"| {chosen['title']} | {training} | {' | '.join(map(' / '.join, columns))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""The model card and the checklist of a run on the synthetic set."""

import dataclasses
import json
import re
from pathlib import Path

from stages.catalog import write_metrics
from stages.params import load_params
from stages.statement import __main__ as statement
from stages.statement.card import model_card
from stages.statement.claim import answers
from stages.statement.facts import read_facts


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if re.match(r"\| +\d+ \|", line)]


def test_every_item_of_the_checklist_is_answered(project):
    table = rows(statement.CLAIM.read_text())
    assert [int(row[0]) for row in table] == list(range(1, 43))
    assert all(len(row) == 3 and row[1] and row[2] for row in table)
    assert len({row[1] for row in table}) == 42


def test_the_figures_are_those_of_the_metrics_files(project):
    summary = json.loads(Path("metrics/summary.json").read_text())
    card, claim = statement.CARD.read_text(), statement.CLAIM.read_text()
    for text in (card, claim):
        assert "Demonstration on synthetic pictures" in text
        assert "no medical device" in text
    assert f"| Macro-F1 | {summary['macro_f1']['mean']:.3f} |" in card
    assert all(f"Recall of {name}" in card for name in project.classes)
    assert f"test macro-F1 {summary['macro_f1']['mean']:.3f} (" in claim


def test_another_result_changes_the_text_and_nothing_else_does(project, tmp_path, monkeypatch):
    first = statement.CARD.read_bytes(), statement.CLAIM.read_bytes()
    statement.main()
    assert (statement.CARD.read_bytes(), statement.CLAIM.read_bytes()) == first
    facts = read_facts(load_params())
    told = dict(answers(facts))
    assert told["Level of disjointness"].startswith("patient; 0 patients and 0 test pictures")
    facts.split["leaks"]["patients"] = 7
    assert dict(answers(facts))["Level of disjointness"].startswith("patient; 7 patients")


def test_repeated_training_is_told_with_its_spread_and_so_is_its_absence(project):
    facts = read_facts(load_params())
    figure = facts.summary["macro_f1"]
    alone = f"macro-F1 {figure['seed_mean']:.3f}, standard deviation {figure['seed_std']:.3f} over 2 seeds"
    told = dict(answers(facts))
    assert alone in told["Uncertainty"] and told["Ensembling"].startswith("The 2 models of a fold")
    assert alone in model_card(facts)
    facts.summary["seeds"] = 1
    del figure["seed_mean"], figure["seed_std"]
    told = dict(answers(facts))
    assert "not repeated" in told["Uncertainty"] and told["Ensembling"].startswith("None")
    assert "standard deviation" not in model_card(facts)


def test_a_figure_without_a_definition_says_so(project):
    before = Path("metrics/summary.json").read_bytes()
    summary = json.loads(before)
    summary["glioma"]["recall"] = dict.fromkeys(("mean", "std", "low", "high"))
    try:
        write_metrics(summary, "metrics/summary.json")
        statement.main()
        assert "| Recall of glioma | undefined | |" in statement.CARD.read_text()
    finally:
        Path("metrics/summary.json").write_bytes(before)
        statement.main()


def test_a_fitted_classifier_is_told_from_a_trained_one(project):
    facts = read_facts(load_params())
    assert "epochs of adamw" in model_card(facts) and "8 epochs" in dict(answers(facts))["Training"]
    params = facts.params.model_copy(update={"model": facts.params.model.model_copy(update={"head": "svm"})})
    fitted = dataclasses.replace(facts, params=params)
    for text in (model_card(fitted), dict(answers(fitted))["Training"]):
        assert "support vector machine" in text and "epochs" not in text


def test_the_card_says_which_temperature_was_taken_and_why(project):
    facts = read_facts(load_params())
    for temperature, after, told in (
        (1.378, 0.15, "one temperature for all folds, 1.38, which is fitted on validation pictures and, cross-validated by group, takes their cross-entropy from 0.200 to 0.150"),
        (1.0, 0.25, "none, since a temperature that is fitted on validation pictures, cross-validated by group, takes their cross-entropy from 0.200 to 0.250"),
        (1.0, None, "none, since there are too few groups of validation pictures to check a temperature"),
    ):  # fmt: skip
        facts.calibration.update(temperature=temperature, validation_cross_entropy={"before": 0.2, "after": after})
        assert f"- Calibration: {told}.\n" in model_card(facts)

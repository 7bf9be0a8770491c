"""The model card and the checklist of a run on the synthetic set."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from stages.catalog import write_metrics
from stages.params import load_params
from stages.sources import load_source
from stages.statement import __main__ as statement
from stages.statement.card import model_card
from stages.statement.claim import answers, checklist
from stages.statement.facts import Facts, read_facts


def changed(facts: Facts, **values) -> Facts:
    """The facts under other params: split__distinct=False is split.distinct."""
    params = facts.params
    for name, value in values.items():
        section, key = name.split("__")
        params = params.model_copy(update={section: getattr(params, section).model_copy(update={key: value})})
    return dataclasses.replace(facts, params=params)


def told(facts: Facts) -> str:
    return model_card(facts) + checklist(facts)


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
    assert answers(facts)["Level of disjointness"].startswith("patient; 0 patients and 0 test pictures")
    facts.split["leaks"]["patients"] = 7
    assert answers(facts)["Level of disjointness"].startswith("patient; 7 patients")


def test_repeated_training_is_told_with_its_spread_and_so_is_its_absence(project):
    facts = read_facts(load_params())
    figure = facts.summary["macro_f1"]
    alone = f"macro-F1 {figure['seed_mean']:.3f}, standard deviation {figure['seed_std']:.3f} over 2 seeds"
    answered = answers(facts)
    assert alone in answered["Uncertainty"] and answered["Ensembling"].startswith("The 2 models of a fold")
    assert alone in model_card(facts)
    facts.summary["seeds"] = 1
    del figure["seed_mean"], figure["seed_std"]
    answered = answers(facts)
    assert "not repeated" in answered["Uncertainty"] and answered["Ensembling"].startswith("None")
    assert "standard deviation" not in model_card(facts)


def test_a_figure_without_a_definition_says_so(project):
    before = Path("metrics/summary.json").read_bytes()
    summary = json.loads(before)
    summary["classes"]["glioma"]["recall"] = dict.fromkeys(("mean", "std", "low", "high"))
    try:
        write_metrics(summary, "metrics/summary.json")
        statement.main()
        assert "| Recall of glioma | undefined | |" in statement.CARD.read_text()
    finally:
        Path("metrics/summary.json").write_bytes(before)
        statement.main()


def test_a_fitted_classifier_is_told_from_a_trained_one(project):
    facts = read_facts(load_params())
    assert "epochs of adamw" in model_card(facts) and "8 epochs" in answers(facts)["Training"]
    fitted = changed(facts, model__head="svm")
    for text in (model_card(fitted), answers(fitted)["Training"]):
        assert "support vector machine" in text and "epochs" not in text
    assert "the classifier is fitted" in told(fitted) and "epoch with" not in told(fitted)


@pytest.mark.parametrize(
    ("params", "false", "true"),
    [
        ({"train__keep": "last"}, ["best validation macro-F1"], ["the last epoch is kept", "Of each fold, the last epoch;"]),
        ({"split__distinct": False}, ["distinct test pictures", "One copy"], ["Every copy of"]),
        (
            {"split__group_by": "none"},
            ["no known patient", "no copy of a picture", "not seen its", "close neighbours"],
            ["No file is in both", "when no file is on both sides", "does not keep patients apart"],
        ),
        (
            {"split__group_by": "cluster"},
            ["no known patient", "close neighbours"],
            ["No copy of a picture is in both", "when no copy of a picture is on both sides", "does not keep patients apart"],
        ),
        (
            {"split__protocol": "published"},
            ["kfold"],
            ["published, the folders that the sets call training and testing", "One copy on each"],
        ),
        ({"split__protocol": "holdout", "split__test_fraction": 0.25}, ["kfold"], ["holdout, 25% tested"]),
        ({"split__within": 1}, [], ["kfold, without the test pictures of fold 1"]),
        (
            {"split__protocol": "source", "split__train_sources": ["a"], "split__test_sources": ["b"]},
            ["kfold", "the sets that are trained on"],
            ["source, trained on a, tested on b", "| External data | Trained on a, tested on b"],
        ),
        (
            {"split__train_planes": ["axial"], "split__test_planes": ["coronal", "sagittal"]},
            [],
            ["trained on axial pictures only, tested on coronal and sagittal pictures only"],
        ),
        ({"model__normalisation": "none"}, ["mean and deviation"], ["scaled to 0..1"]),
        ({"data__labels": {"glioma": "tumor"}}, [], ["; glioma is called tumor"]),
    ],
)
def test_what_is_told_follows_the_params(project, params, false, true):
    facts = read_facts(load_params())
    text = told(changed(facts, **params))
    assert not [sentence for sentence in false if sentence in text]
    assert all(sentence in text for sentence in true)
    assert not [sentence for sentence in true if sentence in told(facts)], "or nothing follows the params"


def test_copies_in_the_training_are_told(project):
    facts = read_facts(load_params())
    assert "augmented copies" not in told(facts) and "planes of the classes" not in told(facts)
    facts.dedupe["augmented"], facts.split["excluded"]["augmented"] = 600, 100
    facts.balance.update(method="planes", generated=1234)
    assert "; 500 augmented copies that the sets ship; 1,234 shifted and rotated copies even out" in model_card(facts)
    assert "; 500 augmented copies that the sets ship; 1,234 shifted" in answers(facts)["Training"]
    facts.balance["method"] = "weights"
    assert "; weights of the pictures even out the planes" in model_card(facts) and "shifted and rotated" not in told(facts)


def test_synthetic_sets_are_no_public_ones(project):
    facts = read_facts(load_params())
    synthetic = told(facts)
    assert "phantom/brain-mri (generated, version 1)" in synthetic and "single slices of synthetic" in synthetic
    for word in ("Kaggle", "Retrospective", "publishers", "of public", "not documented", "describe public"):
        assert word not in synthetic.removeprefix(synthetic[: synthetic.index("# CLAIM")]), word
    public = dataclasses.replace(facts, sources=[load_source("sartaj")])
    assert "brain-tumor-classification-mri (Kaggle, version 2)" in told(public) and "Retrospective, on public" in told(public)
    both = dataclasses.replace(facts, sources=[*public.sources, *facts.sources])
    assert "Retrospective, on public and synthetic" in told(both)


def test_sets_that_contain_each_other_are_told_by_their_figures(project):
    facts = read_facts(load_params())
    assert answers(facts)["External data"] == "Not done: the test pictures are of the sets that are trained on"
    facts.leaks["sets"]["phantom"]["in_other_sets"] = {"drawn": {"share": 0.31}}
    assert answers(facts)["External data"].endswith("; by pictures, 31% of phantom is in drawn")


def test_pictures_without_attention_are_told(project):
    facts = read_facts(load_params())
    right = facts.explain["right"]
    right.update(dict.fromkeys(right.keys() - {"pictures", "without_attention"}))
    assert "no attention in any picture that is predicted rightly" in answers(facts)["Explainability"]


def test_the_card_says_which_temperature_was_taken_and_why(project):
    facts = read_facts(load_params())
    for temperature, after, told in (
        (1.378, 0.15, "one temperature for all folds, 1.38, which is fitted on validation pictures and, cross-validated by group, takes their cross-entropy from 0.2000 to 0.1500 (standard error of the difference over groups 0.0100)"),
        (1.0, 0.19, "none, since it takes a gain of two standard errors and a temperature that is fitted on validation pictures, cross-validated by group, takes their cross-entropy from 0.2000 to 0.1900 (standard error of the difference over groups 0.0100)"),
        (1.0, None, "none, since there are too few groups of validation pictures to check a temperature"),
    ):  # fmt: skip
        facts.calibration.update(temperature=temperature, validation_cross_entropy={"before": 0.2, "after": after, "standard_error": 0.01})
        assert f"- Calibration: {told}.\n" in model_card(facts)

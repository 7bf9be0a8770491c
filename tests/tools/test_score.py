"""Predictions of somebody else's model, on the folds of the synthetic set."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import set_params

from stages.aggregate import __main__ as aggregate
from stages.catalog import CLUSTERS, PREDICTIONS, SAMPLES, read_table, write_metrics, write_table
from stages.scores import METRICS
from tools import score
from tools.readme import metrics_of

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]


@pytest.fixture(scope="module")
def scored(phantom_project, tmp_path_factory):
    """A project with folds, and with predictions that the pipeline has summed up."""
    folder = tmp_path_factory.mktemp("scored") / "project"
    shutil.copytree(phantom_project.folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        set_params(aggregate__resamples=200)
        samples = read_table(SAMPLES)
        test = samples[samples.role == "test"].sort_values(["fold", "image_id"])
        write_table(predictions(test, seed=0, right=1.5), PREDICTIONS)
        write_metrics({"seeds": {"seed 0": dict.fromkeys(METRICS, 0.5)}}, "metrics/evaluate.json")
        aggregate.main()
    return folder


@pytest.fixture
def project(scored, tmp_path, monkeypatch):
    shutil.copytree(scored, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")


def predictions(test: pd.DataFrame, seed: int, right: float) -> pd.DataFrame:
    """Random probabilities; those of the labels are drawn higher by so much."""
    labels = test.label.map(CLASSES.index).to_numpy(int)
    logits = np.random.default_rng(seed).normal(size=(len(test), len(CLASSES))) + right * np.eye(len(CLASSES))[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    columns = {f"p_{name}": p[:, k].round(6) for k, name in enumerate(CLASSES)}
    return test[["image_id", "fold", "label"]].assign(predicted=np.array(CLASSES)[p.argmax(1)], **columns)


def run(monkeypatch, table: pd.DataFrame) -> None:
    table.to_csv("mine.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["score", "mine.csv"])
    score.main()


def test_the_pipelines_own_predictions_get_the_figures_of_summary_json(project, monkeypatch, capsys):
    table = read_table(PREDICTIONS)
    run(monkeypatch, table.sample(frac=1, random_state=0)[["fold", *sorted(table.columns[4:], reverse=True), "image_id"]])
    printed = capsys.readouterr().out
    assert metrics_of(json.loads(Path(aggregate.SUMMARY).read_text())) in printed
    assert f"{table.image_id.nunique()} pictures of" in printed and "0 test pictures in training, 0 patients on both sides" in printed
    assert "**cannot tell**" in printed.splitlines()[-1], "against themselves"


def test_the_summary_has_every_digit_of_the_pipelines(project):
    params = score.load_params()
    found = score.summary_of(
        read_table(PREDICTIONS), read_table(CLUSTERS), CLASSES, params.aggregate.resamples, params.aggregate.seed, params.evaluate.bins
    )
    write_metrics(found, "found.json")
    expected = json.loads(Path(aggregate.SUMMARY).read_text())
    assert json.loads(Path("found.json").read_text()) == {
        key: value for key, value in expected.items() if key not in ("demonstration", "seeds")
    }


def test_a_better_model_is_told_from_the_pipelines(project, monkeypatch, capsys):
    run(monkeypatch, predictions(read_table(PREDICTIONS), seed=1, right=12))
    assert capsys.readouterr().out.splitlines()[-1].endswith("**better** |")


def test_without_predictions_of_the_pipeline_nothing_is_compared(project, monkeypatch, capsys):
    table = read_table(PREDICTIONS)
    PREDICTIONS.unlink()
    run(monkeypatch, table)
    assert "Against" not in capsys.readouterr().out


def test_classes_alone_are_probabilities_of_0_and_1(project, monkeypatch, capsys):
    table = read_table(PREDICTIONS)
    for name in CLASSES:
        table[f"p_{name}"] = (table.predicted == name).astype(int)
    run(monkeypatch, table)
    accuracy = json.loads(Path(aggregate.SUMMARY).read_text())["accuracy"]["mean"]
    assert f"| Accuracy | {accuracy:.3f} |" in capsys.readouterr().out


def first(table: pd.DataFrame) -> str:
    return f"{table.image_id.iloc[0]} in fold {table.fold.iloc[0]}"


def set_first(table: pd.DataFrame, column: str, value) -> pd.DataFrame:
    changed = table.astype({column: object})
    changed.loc[0, column] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t[1:], "1 of {n} test pictures missing, the first {first}"),
        (lambda t: t[:0], "{n} of {n} test pictures missing, the first {first}"),
        (lambda t: pd.concat([t, t[:2]]), "2 rows that are there already, the first {first}"),
        (lambda t: pd.concat([t, t[:1].assign(image_id="mine.jpg")]), "1 rows that are no test picture of their fold in data/split/folds.csv, the first mine.jpg in fold 0"),
        (lambda t: pd.concat([t, t[:1].assign(fold=4)]), "1 rows that are no test picture of their fold in data/split/folds.csv, the first {image} in fold 4"),
        (lambda t: set_first(t, "p_notumor", "none"), "1 rows whose probabilities are no numbers from 0 to 1, the first {first}"),
        (lambda t: set_first(t, "p_notumor", ""), "1 rows whose probabilities are no numbers from 0 to 1, the first {first}"),
        (lambda t: set_first(t, "p_notumor", -0.1), "1 rows whose probabilities are no numbers from 0 to 1, the first {first}"),
        (lambda t: set_first(t, "p_notumor", 1.0), "1 rows whose probabilities do not add up to 1, the first {first}"),
        (lambda t: t.assign(p_cyst=0.0), "p_cyst: no class of the pictures, which are glioma, meningioma, notumor, pituitary"),
        (lambda t: t.drop(columns=["fold", "p_glioma"]), "has no column fold, p_glioma; it needs image_id, fold, p_glioma, p_meningioma, p_notumor, p_pituitary"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line(project, monkeypatch, capsys, spoil, said):
    table = read_table(PREDICTIONS)
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, spoil(table))
    assert refused.value.code == "mine.csv: " + said.format(n=len(table), first=first(table), image=table.image_id[0])
    assert capsys.readouterr().out == ""


def test_several_mistakes_are_as_many_lines(project, monkeypatch):
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, read_table(PREDICTIONS)[3:].assign(p_cyst=0.0, p_glioma=1.0))
    assert len(refused.value.code.splitlines()) == 3


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"image_id\n1,2,3\n1,2,3,4\n"])
def test_what_is_no_table_is_said(project, monkeypatch, content):
    if content is not None:
        Path("mine.csv").write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["score", "mine.csv"])
    with pytest.raises(SystemExit, match=r"^mine.csv: no table that can be read \(.+\)$"):
        score.main()


def test_without_folds_it_says_what_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["score", "mine.csv"])
    with pytest.raises(SystemExit, match="data/split/folds.csv, .*: not there; run `dvc repro split` first"):
        score.main()

"""The leak report against what is known of the synthetic set."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.catalog import CATALOG, CLUSTERS, FOLDS, read_table
from stages.copies import KINDS
from stages.leaks.__main__ import main
from stages.leaks.sheet import BAND, TOP
from stages.leaks.sides import SPLITS, split_sides
from stages.params import load_params

SHEET = "metrics/plots/leaks.png"


@pytest.fixture(scope="module")
def report(phantom_project) -> dict:
    return json.loads((phantom_project.folder / "metrics/leaks.json").read_text())


@pytest.fixture(scope="module")
def truth(phantom_project) -> pd.DataFrame:
    """What is known of every picture that decoded, by image_id: side of the published split, picture (the original's id), how it was copied."""
    table = phantom_project.truth[phantom_project.truth.kind != "corrupt"].copy()
    table["side"] = table.index.str.split("/").str[1]
    table["picture"] = table.original.where(table.original != "", table.index)
    table["kind"] = table.called
    table["known"] = table.patient.isin(set(read_table(phantom_project.folder / CATALOG).patient))
    return table


@pytest.fixture(scope="module")
def leaked(truth) -> pd.DataFrame:
    """The pictures of the test folder whose copy is in the training folder, with the kind of the copy among the two."""
    other = truth.reset_index().merge(truth.reset_index(), on="picture", suffixes=("", "_train"))
    other = other[(other.side == "Testing") & (other.side_train == "Training")]
    return other.assign(kind=other.kind.where(other.kind != "original", other.kind_train))


def test_copies_are_those_that_were_planted(report, truth):
    planted = truth.kind.value_counts()
    expected = {"pictures": len(truth), "distinct": planted["original"], "copies": {kind: planted.get(kind, 0) for kind in KINDS}}
    for name in ("phantom", "merged"):
        assert {key: report["sets"][name][key] for key in expected} == expected
    assert report["sets"]["phantom"]["in_other_sets"] == {}


def test_published_test_pictures_in_training(report, truth, leaked):
    published, test = report["sets"]["phantom"]["published"], truth[truth.side == "Testing"]
    assert published == report["sets"]["merged"]["published"]
    assert (published["test"], published["training"]) == (len(test), len(truth) - len(test))
    assert published["in_training"]["picture"] == len(leaked) > 3
    assert published["in_training"]["file"] == (leaked.kind == "exact").sum()
    assert published["share"]["picture"] == pytest.approx(len(leaked) / len(test), abs=1e-6)
    assert published["closest_copy"] == {kind: (leaked.kind == kind).sum() for kind in KINDS}


def test_patients_on_both_sides_of_the_published_folders(report, truth):
    published = report["sets"]["phantom"]["published"]["patients"]
    test, train = (truth[truth.known & (truth.side == side)] for side in ("Testing", "Training"))
    both = set(test.patient) & set(train.patient)
    assert len(both) > 3
    assert published == {
        "test": test.patient.nunique(),
        "in_training": len(both),
        "test_pictures": len(test),
        "test_pictures_in_training": test.patient.isin(both).sum(),
    }


def test_what_the_ways_of_splitting_let_through(report, truth, phantom_project, monkeypatch):
    monkeypatch.chdir(phantom_project.folder)
    table = read_table(CATALOG).drop(columns=["plane", "patient"]).merge(read_table(CLUSTERS), on="image_id")
    for name, choice in SPLITS.items():
        pictures = patients = 0
        for side in split_sides(table, load_params().split, choice):
            train, test = (truth.loc[table.image_id[rows]] for rows in (side.train, side.test))
            pictures += test.picture.isin(train.picture).sum()
            patients += test[test.known].patient.isin(train.patient).sum()
        split = report["splits"][name]
        assert (split["in_training"]["picture"], split["patients"]["test_pictures_in_training"]) == (pictures, patients)
    naive, distinct, patient = (report["splits"][name] for name in SPLITS)
    assert naive["in_training"]["picture"] > naive["in_training"]["file"] > 0
    assert distinct["in_training"]["picture"] == 0 < distinct["patients"]["in_training"]
    assert set(patient["in_training"].values()) == {0} and patient["patients"]["in_training"] == 0 < patient["patients"]["test"]


def test_the_patient_split_is_that_of_the_split_stage(phantom_project, monkeypatch):
    monkeypatch.chdir(phantom_project.folder)
    table = read_table(CATALOG).drop(columns=["plane", "patient"]).merge(read_table(CLUSTERS), on="image_id")
    folds = read_table(FOLDS)
    for fold, side in enumerate(split_sides(table, load_params().split, SPLITS["patient"])):
        mine = folds[folds.fold == fold]
        assert table.image_id[side.test].tolist() == mine.image_id[mine.role == "test"].tolist()
        assert table.image_id[side.train].tolist() == mine.image_id[mine.role != "test"].tolist()


def test_the_classifier_is_scored_on_the_pictures_that_it_says(report, leaked):
    published = report["simple_classifier"]["published"]["phantom"]
    assert list(published) == ["as_published", "copies_removed", "as_many_others_removed"]
    sizes = [{name: part and part["pictures"] for name, part in run.items() if name != "training"} for run in published.values()]
    assert sizes[0] == sizes[1] == sizes[2] and sizes[0]["leaked"] == len(leaked) == sizes[0]["all"] - sizes[0]["clean"]
    assert published["as_published"]["training"] > published["as_many_others_removed"]["training"]

    splits = report["simple_classifier"]["splits"]
    assert splits["naive"]["distinct"]["pictures"] == splits["patient"]["all"]["pictures"] == splits["patient"]["new_group"]["pictures"]
    assert splits["distinct"]["leaked"] is None and splits["patient"]["leaked"] is None
    for run in [*published.values(), *splits.values()]:
        for part in (part for name, part in run.items() if name != "training" and part):
            assert sum(part["labels"].values()) == part["pictures"]
            assert part["accuracy"]["low"] <= part["accuracy"]["mean"] <= part["accuracy"]["high"]


def test_the_sheet_has_a_row_a_kind(phantom_project, leaked):
    with Image.open(phantom_project.folder / SHEET) as image:
        assert image.height == pytest.approx(100 * (TOP + BAND * leaked.kind.nunique()), abs=1)
        grey = np.asarray(image.convert("L"))
    rows = [grey[round(100 * (TOP + BAND * k + 1)) : round(100 * (TOP + BAND * (k + 1)))] for k in range(leaked.kind.nunique())]
    assert all((row < 128).mean() > 0.1 for row in rows)  # pictures, not an empty band


def test_the_report_calls_itself_a_demonstration(report):
    assert report["demonstration"] is True


def test_the_same_bytes_again(phantom_project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(phantom_project.folder / "params.yaml", "params.yaml")
    for name in ("raw", "merged", "dedupe"):
        shutil.copytree(phantom_project.folder / "data" / name, Path("data") / name)
    shutil.copy(phantom_project.folder / "data/sources.yaml", "data/sources.yaml")
    main()
    for path in ("metrics/leaks.json", SHEET):
        assert Path(path).read_bytes() == (phantom_project.folder / path).read_bytes()

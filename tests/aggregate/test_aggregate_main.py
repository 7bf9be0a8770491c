import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import call_demonstration, copy_params

from stages.aggregate import __main__ as aggregate
from stages.aggregate.table import to_text
from stages.catalog import CLUSTERS, PREDICTIONS, write_metrics, write_table
from stages.scores import METRICS

CLASSES = ["glioma", "notumor"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_params()
    make_predictions("nickparvar")
    write_seeds(0.8)


def write_seeds(*accuracies):
    """What evaluate found of each seed alone."""
    seeds = {f"seed {n}": dict.fromkeys(METRICS, 0.5) | {"accuracy": accuracy} for n, accuracy in enumerate(accuracies)}
    write_metrics({"seeds": seeds}, "metrics/evaluate.json")


def make_predictions(source):
    """200 pictures of 40 groups, 20 in each of two folds, four in five of them predicted rightly."""
    n = np.arange(200)
    label, right = n % 2, n % 5 > 0
    p = np.where(right == (label == 0), 0.9, 0.1)
    ids = [f"{source}/{k:03}.jpg" for k in n]
    names = np.array(CLASSES)
    predicted = names[(p < 0.5).astype(int)]
    table = {"image_id": ids, "fold": n // 5 % 2, "label": names[label], "predicted": predicted, "p_glioma": p, "p_notumor": 1 - p}
    write_table(pd.DataFrame(table), PREDICTIONS)
    patients = [f"P{group}" if group < 10 else "" for group in n // 5]
    planes = np.where(n % 2, "axial", "coronal")
    clusters = {"image_id": [*ids, f"{source}/unused.jpg"], "group": [*(n // 5), 99], "patient": [*patients, ""], "plane": [*planes, ""]}
    write_table(pd.DataFrame(clusters), CLUSTERS)


def summary():
    return json.loads(Path(aggregate.SUMMARY).read_text())


def test_summary_has_these_keys(project):
    aggregate.main()
    found = summary()
    assert list(found) == ["demonstration", "pictures", "groups", "folds", "seeds", *METRICS, "classes", "patients"]
    assert list(found["classes"]) == CLASSES
    assert list(found["classes"]["glioma"]) == ["precision", "recall", "f1", "specificity"]
    for figure in [*(found[name] for name in METRICS), *found["classes"]["glioma"].values()]:
        assert list(figure) == ["mean", "std", "low", "high"] and figure["low"] <= figure["mean"] <= figure["high"]
    assert (found["demonstration"], found["pictures"], found["groups"], found["folds"]) == (False, 200, 40, 2)
    assert found["accuracy"]["mean"] == 0.8


def test_several_seeds_add_their_spread_and_nothing_else_changes(project, capsys):
    aggregate.main()
    one = summary()
    assert "seeds" not in capsys.readouterr().out
    write_seeds(0.7, 0.8, 0.75)
    aggregate.main()
    several = summary()
    assert (one["seeds"], several["seeds"]) == (1, 3)
    assert several["accuracy"] == one["accuracy"] | {"seed_mean": 0.75, "seed_std": 0.05}
    assert several["classes"] == one["classes"]
    printed = capsys.readouterr().out
    assert "3 seeds" in printed and "0.750 ± 0.050" in printed


def test_a_figure_that_no_seed_has_has_no_spread(project):
    write_seeds(None, None)
    aggregate.main()
    assert summary()["accuracy"]["seed_mean"] is None and summary()["accuracy"]["seed_std"] is None


def test_a_class_that_is_called_like_a_metric_takes_no_place_from_it(project):
    table = pd.read_csv(PREDICTIONS).rename(columns={"p_glioma": "p_accuracy"}).replace({"glioma": "accuracy"})
    aggregate.main()
    expected = summary()
    write_table(table, PREDICTIONS)
    aggregate.main()
    found = summary()
    assert found["classes"].pop("accuracy") == expected["classes"].pop("glioma")
    assert (found["patients"].pop("classes"), expected["patients"].pop("classes")) == (["accuracy", "notumor"], CLASSES)
    assert found == expected


def test_the_same_bytes_again(project):
    aggregate.main()
    first = Path(aggregate.SUMMARY).read_bytes()
    aggregate.main()
    assert Path(aggregate.SUMMARY).read_bytes() == first


def test_a_picture_tested_in_two_folds_counts_once(project):
    table = pd.read_csv(PREDICTIONS)
    write_table(pd.concat([table, table.assign(fold=2)]), PREDICTIONS)
    aggregate.main()
    assert (summary()["pictures"], summary()["groups"], summary()["folds"]) == (200, 40, 3)


def test_patients_get_one_vote_each(project, capsys):
    aggregate.main()
    patients = summary()["patients"]
    assert patients["images"]["number"] == 50 and patients["images"]["accuracy"]["value"] == 0.8
    assert {name: votes["number"] for name, votes in patients["votes"].items()} == {"all": 10, "axial": 10, "coronal": 10}
    assert f"10 known patients, each by the mean of all their images: accuracy {patients['votes']['all']['accuracy']['value']:.3f} [" in (
        capsys.readouterr().out
    )


def test_without_known_patients_there_are_no_votes(project, capsys):
    write_table(pd.read_csv(CLUSTERS).assign(patient=""), CLUSTERS)
    aggregate.main()
    assert summary()["patients"] is None and "patients" not in capsys.readouterr().out


def test_prints_a_table_with_intervals(project, capsys):
    aggregate.main()
    printed = capsys.readouterr().out
    low, high = (summary()["accuracy"][key] for key in ("low", "high"))
    assert "200 pictures of 40 groups, 2 folds" in printed
    assert f"0.800 [{low:.3f}, {high:.3f}]" in printed
    assert aggregate.SUMMARY in printed and "synthetic" not in printed


def test_the_class_with_the_lowest_f1_comes_first(project):
    aggregate.main()
    for worst in ("glioma", "notumor"):
        figures = summary()
        figures["classes"][worst]["f1"]["mean"] = 0.1
        text = to_text(figures)
        assert min(("glioma", "notumor"), key=text.rindex) == worst


def test_synthetic_pictures_are_no_result_whatever_the_set_is_called(project, capsys):
    call_demonstration(True)
    make_predictions("drawn")
    aggregate.main()
    assert summary()["demonstration"] is True
    assert "demonstration on synthetic pictures: not a result" in capsys.readouterr().out


def test_a_class_without_pictures_is_printed_as_undefined(project, capsys):
    write_table(pd.read_csv(PREDICTIONS).query("label == 'glioma'"), PREDICTIONS)
    aggregate.main()
    assert summary()["classes"]["notumor"]["recall"]["mean"] is None and summary()["macro_auroc"]["high"] is None
    assert "undefined" in capsys.readouterr().out


def test_predictions_of_unknown_pictures_stop(project):
    write_table(pd.DataFrame({"image_id": ["nickparvar/000.jpg"], "group": [0]}), CLUSTERS)
    with pytest.raises(SystemExit, match="dvc repro"):
        aggregate.main()

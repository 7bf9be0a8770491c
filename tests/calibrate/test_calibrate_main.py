import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from synthetic import call_demonstration, copy_params

from stages.calibrate import __main__ as calibrate
from stages.catalog import CLUSTERS, PREDICTIONS, VALIDATION_PREDICTIONS, read_table, write_table

CLASSES = ["glioma", "notumor", "pituitary"]
TOO_SURE = 2.0


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two folds whose models are too sure of themselves."""
    monkeypatch.chdir(tmp_path)
    copy_params()
    random = np.random.default_rng(0)
    tables = []
    for fold in range(2):
        logits = random.normal(size=(4000, 3)) * 2
        labels = (softmax(logits / TOO_SURE, axis=1).cumsum(1) < random.random((4000, 1))).sum(1)
        table = pd.DataFrame(softmax(logits, axis=1).round(6), columns=[f"p_{name}" for name in CLASSES])
        names = np.array(CLASSES)
        table = table.assign(fold=fold, label=names[labels], predicted=names[logits.argmax(1)])
        tables.append(table.assign(image_id=[f"set/{fold}-{n}.png" for n in range(4000)]))
    table = pd.concat(tables)
    of_test = np.arange(len(table)) % 2 == 0
    write_table(table[of_test], PREDICTIONS)
    write_table(table[~of_test], VALIDATION_PREDICTIONS)
    write_table(pd.DataFrame({"image_id": table.image_id, "group": np.arange(len(table)) // 10}), CLUSTERS)
    return tmp_path


def results() -> tuple[dict, dict]:
    return json.loads(Path("data/calibration.json").read_text()), json.loads(Path("metrics/calibration.json").read_text())


def test_the_folds_get_the_temperature_of_their_models(project):
    calibrate.main()
    calibration, metrics = results()
    assert calibration["temperature"] == metrics["temperature"] == pytest.approx(TOO_SURE, rel=0.1)
    assert metrics["validation_cross_entropy"]["after"] < metrics["validation_cross_entropy"]["before"] - 0.1
    before, after = metrics["before"], metrics["after"]
    assert before["ece"]["mean"] > 0.1 and after["ece"]["mean"] < 0.03
    assert after["ece"]["low"] <= after["ece"]["mean"] <= after["ece"]["high"]
    assert after["brier"]["mean"] < before["brier"]["mean"]
    assert after["cross_entropy"] < before["cross_entropy"]
    answered = metrics["accuracy_of_answers"]
    assert answered["80% answered"] > answered["90% answered"] > answered["100% answered"]


def test_prediction_sets_hold_the_label_as_often_as_promised(project):
    calibrate.main()
    calibration, metrics = results()
    for coverage, found in metrics["prediction_sets"].items():
        assert found["of_groups"] == pytest.approx(float(coverage), abs=0.02)
        assert 1 <= found["size"] <= 3 and 0 <= found["single"] <= 1 and list(found["classes"]) == CLASSES
    assert calibration["thresholds"]["0.9"] > calibration["thresholds"]["0.95"] > 0


def test_synthetic_pictures_are_called_a_demonstration(project):
    calibrate.main()
    metrics = results()[1]
    assert metrics["demonstration"] is False
    call_demonstration(True)
    calibrate.main()
    assert results()[1] == metrics | {"demonstration": True}


def test_a_single_fold_of_other_classes(project):
    for path in (PREDICTIONS, VALIDATION_PREDICTIONS):
        table = read_table(path)
        names = {"label": table.label.replace("glioma", "tumor"), "predicted": table.predicted.replace("glioma", "tumor")}
        write_table(table[table.fold == 1].assign(**names).rename(columns={"p_glioma": "p_tumor"}), path)
    calibrate.main()
    assert results()[0]["temperature"] == pytest.approx(TOO_SURE, rel=0.1)


def test_without_groups_to_check_it_nothing_is_scaled(project):
    write_table(read_table(CLUSTERS).assign(group=0), CLUSTERS)
    calibrate.main()
    calibration, metrics = results()
    assert calibration == {"temperature": 1, "thresholds": {"0.9": 0, "0.95": 0}} and metrics["temperature"] == 1
    assert metrics["validation_cross_entropy"]["before"] > 0 and metrics["validation_cross_entropy"]["after"] is None
    for key in ("mean", "std"):
        assert metrics["after"]["ece"][key] == pytest.approx(metrics["before"]["ece"][key], abs=1e-4)
    assert metrics["after"]["cross_entropy"] == metrics["before"]["cross_entropy"]


def test_the_test_labels_have_no_say_in_the_temperature(project):
    calibrate.main()
    first = results()[0]
    test = read_table(PREDICTIONS)
    write_table(test.assign(label="glioma"), PREDICTIONS)
    calibrate.main()
    assert results()[0] == first


def test_the_same_predictions_give_the_same_bytes(project):
    calibrate.main()
    files = [Path("data/calibration.json"), *Path("metrics").rglob("*.*")]
    first = {file: file.read_bytes() for file in files}
    calibrate.main()
    assert {file: file.read_bytes() for file in files} == first

import numpy as np
import pandas as pd
import pytest

from stages.aggregate.patients import of_patients, vote

CLASSES = ["glioma", "notumor", "pituitary"]
# Image, patient, plane, label, probabilities of the classes.
ROWS = [
    ("a1", "A", "axial", "glioma", 0.6, 0.2, 0.2),
    ("a2", "A", "axial", "glioma", 0.1, 0.1, 0.8),
    ("a3", "A", "coronal", "glioma", 0.9, 0.0, 0.1),
    ("b1", "B", "axial", "pituitary", 0.1, 0.5, 0.4),
    ("c1", "C", "coronal", "pituitary", 0.0, 0.1, 0.9),
    ("u1", "", "axial", "notumor", 0.9, 0.1, 0.0),
]


@pytest.fixture
def tables():
    rows = pd.DataFrame(ROWS, columns=["image_id", "patient", "plane", "label", *(f"p_{name}" for name in CLASSES)])
    clusters = rows[["image_id", "patient", "plane"]].assign(group=[0, 0, 0, 1, 2, 3])
    return rows.drop(columns=["patient", "plane"]).assign(fold=0), clusters


def test_the_mean_probability_of_a_patients_images_decides(tables):
    found = of_patients(*tables, 50, 0)
    assert found["classes"] == ["glioma", "pituitary"]
    assert found["images"]["number"] == 5 and found["images"]["accuracy"]["value"] == pytest.approx(3 / 5)
    votes = found["votes"]
    assert votes["all"]["number"] == 3 and votes["all"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert (votes["axial"]["number"], votes["axial"]["accuracy"]["value"]) == (2, 0)  # of A, 0.35 against 0.5
    assert (votes["coronal"]["number"], votes["coronal"]["accuracy"]["value"]) == (2, 1)
    assert votes["all"]["accuracy"]["low"] <= 2 / 3 <= votes["all"]["accuracy"]["high"]


def test_averages_are_over_the_classes_that_patients_have_and_other_answers_are_wrong(tables):
    votes = of_patients(*tables, 50, 0)["votes"]["all"]
    assert votes["macro_f1"]["value"] == pytest.approx((1 + 2 / 3) / 2)  # B is taken for notumor, of which no F1 counts
    assert votes["balanced_accuracy"]["value"] == pytest.approx((1 + 1 / 2) / 2)


def test_the_most_frequent_label_is_the_patients(tables):
    table, clusters = tables
    table.loc[0, "label"] = "notumor"
    known = table.merge(clusters, on="image_id").query("patient == 'A'")
    assert vote(known).label.tolist() == ["glioma"]


def test_one_group_has_no_interval_and_no_patient_no_metrics(tables):
    table, clusters = tables
    alone = of_patients(table, clusters.assign(group=0), 50, 0)["votes"]["all"]["accuracy"]
    assert alone == {"value": pytest.approx(2 / 3), "low": None, "high": None}
    assert of_patients(table, clusters.assign(patient=""), 50, 0) is None


def test_a_patient_that_several_folds_test_votes_in_each(tables):
    table, clusters = tables
    twice = pd.concat([table, table.assign(fold=1)])
    found = of_patients(twice, clusters, 50, 0)
    assert found["votes"]["all"]["number"] == 3 and found["votes"]["all"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert np.isclose(found["images"]["accuracy"]["value"], 3 / 5)

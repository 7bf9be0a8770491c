import numpy as np
import pytest
from sklearn import metrics

from stages.evaluate import curves
from stages.scores import reliability, score

CLASSES = ["glioma", "notumor", "pituitary"]


@pytest.fixture
def predictions():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 3000)
    values = random.normal(size=(3000, 3))
    values[np.arange(3000), labels] += 1.5
    return labels, np.exp(values) / np.exp(values).sum(1, keepdims=True)


def test_thinned_roc_keeps_the_area_under_each_curve(predictions):
    table = curves.roc(*predictions, CLASSES)
    assert sorted(set(table["class"])) == CLASSES
    for k, name in enumerate(CLASSES):
        curve = table[table["class"] == name]
        assert len(curve) <= curves.POINTS
        assert curve.fpr.is_monotonic_increasing and curve.tpr.is_monotonic_increasing
        assert curve[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
        expected = metrics.roc_auc_score(predictions[0] == k, predictions[1][:, k])
        assert metrics.auc(curve.fpr, curve.tpr) == pytest.approx(expected, abs=0.005)


def test_thinned_precision_recall_runs_from_no_to_full_recall(predictions):
    table = curves.precision_recall(*predictions, CLASSES)
    for k, name in enumerate(CLASSES):
        curve = table[table["class"] == name]
        assert len(curve) <= curves.POINTS
        assert curve.recall.is_monotonic_increasing
        assert (curve.recall.iloc[0], curve.precision.iloc[0], curve.recall.iloc[-1]) == (0, 1, 1)
        expected = metrics.average_precision_score(predictions[0] == k, predictions[1][:, k])
        assert metrics.auc(curve.recall, curve.precision) == pytest.approx(expected, abs=0.01)


def test_reliability_holds_every_picture_and_adds_up_to_the_ece(predictions):
    labels, probabilities = predictions
    table = reliability(labels, probabilities, 15)
    assert table["count"].sum() == len(labels) and (table["count"] > 0).all()
    assert table.confidence.is_monotonic_increasing
    ece = (table["count"] * (table.accuracy - table.confidence).abs()).sum() / len(labels)
    assert ece == pytest.approx(score(labels, probabilities, CLASSES, 15)["ece"], abs=1e-5)


def test_a_class_without_pictures_has_no_curve(predictions):
    labels, probabilities = np.where(predictions[0] == 2, 0, predictions[0]), predictions[1]
    assert set(curves.roc(labels, probabilities, CLASSES)["class"]) == {"glioma", "notumor"}
    assert list(curves.precision_recall(np.zeros(3000, int), probabilities, CLASSES).columns) == ["class", "recall", "precision"]
    assert curves.roc(np.zeros(3000, int), probabilities, CLASSES).empty

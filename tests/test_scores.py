import numpy as np
import pytest
from sklearn import metrics

from stages.scores import CLASS_METRICS, METRICS, auroc, bin_of, defined_mean, or_null, score, top

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]


def predictions(n=400, classes=4, seed=0, decimals=2):
    """Labels, and probabilities that are right about two times in three, coarse enough to tie."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    values = random.normal(size=(n, classes))
    values[np.arange(n), labels] += 1
    probabilities = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    return labels, probabilities.round(decimals)


def by_hand(labels, probabilities, bins):
    """The figures as scikit-learn, and for ECE a loop, compute them."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    classes = range(probabilities.shape[1])
    ece = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            ece += inside.mean() * abs((predicted[inside] == labels[inside]).mean() - confidence[inside].mean())
    figures = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_auroc": np.mean([metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in classes]),
        "ece": ece,
        "brier": np.mean([sum((p - (k == y)) ** 2 for k, p in enumerate(row)) for y, row in zip(labels, probabilities, strict=True)]),
    }
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted, labels=list(classes))
    for k in classes:
        negative = labels != k
        specificity = (predicted[negative] != k).mean()
        values = precision[k], recall[k], f1[k], specificity, support[k]
        figures |= {f"{CLASSES[k]}.{name}": value for name, value in zip(CLASS_METRICS, values, strict=True)}
    return figures


def test_agrees_with_scikit_learn():
    labels, probabilities = predictions()
    scores = score(labels, probabilities, CLASSES, bins=15)
    assert list(scores) == [*METRICS, *(f"{name}.{metric}" for name in CLASSES for metric in CLASS_METRICS)]
    assert scores == pytest.approx(by_hand(labels, probabilities, 15))


def test_agrees_with_scikit_learns_own_multiclass_functions():
    labels, probabilities = predictions(decimals=12)
    scores = score(labels, probabilities, CLASSES, bins=15)
    assert scores["macro_auroc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))
    assert scores["brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities, scale_by_half=False))


def test_a_row_of_weights_is_the_resample_it_stands_for():
    labels, probabilities = predictions(200)
    weights = np.random.default_rng(1).integers(0, 4, size=(20, 200))
    scores = score(labels, probabilities, CLASSES, 10, weights)
    for row, counts in enumerate(weights):
        drawn = np.repeat(np.arange(200), counts)
        expected = by_hand(labels[drawn], probabilities[drawn], 10)
        assert {name: values[row] for name, values in scores.items()} == pytest.approx(expected)


def test_fractional_weights_agree_with_scikit_learns_sample_weight():
    labels, probabilities = predictions(300)
    weights = np.random.default_rng(2).random(300)
    predicted, scores = probabilities.argmax(1), score(labels, probabilities, CLASSES, 15, weights)
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro", sample_weight=weights))
    for k in range(4):
        expected = metrics.roc_auc_score(labels == k, probabilities[:, k], sample_weight=weights)
        assert auroc(labels == k, probabilities[:, k], weights) == pytest.approx(expected)


def test_perfect_and_worst():
    labels = np.array([0, 1, 2, 0, 1, 2])
    best, worst = score(labels, np.eye(3)[labels], CLASSES[:3], 15), score(labels, np.eye(3)[(labels + 1) % 3], CLASSES[:3], 15)
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "macro_auroc", "glioma.precision", "glioma.specificity"):
        assert best[name] == 1
    assert (best["ece"], best["brier"], best["glioma.support"]) == (0, 0, 2)
    assert (worst["accuracy"], worst["macro_f1"], worst["ece"], worst["brier"]) == (0, 0, 1, 2)
    assert worst["macro_auroc"] == pytest.approx(0.25)  # a class's two pictures tie with the two wrongly passed over


def test_a_class_without_pictures_is_left_out_of_the_means():
    labels, probabilities = predictions(classes=3)
    probabilities = np.hstack([probabilities, np.zeros((len(labels), 1))])
    scores, without = score(labels, probabilities, CLASSES, 15), score(labels, probabilities[:, :3], CLASSES[:3], 15)
    assert all(scores[name] == pytest.approx(without[name]) for name in METRICS)
    assert all(np.isnan(scores[f"pituitary.{name}"]) for name in ("precision", "recall", "f1"))
    assert (scores["pituitary.specificity"], scores["pituitary.support"]) == (1, 0)


def test_a_class_that_is_only_predicted_counts_against_f1_but_has_no_recall():
    labels, probabilities = np.array([0, 0, 1]), np.eye(3)[[0, 2, 1]]
    scores = score(labels, probabilities, CLASSES[:3], 15)
    assert (scores["notumor.precision"], scores["notumor.f1"]) == (0, 0)
    assert np.isnan(scores["notumor.recall"])
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, probabilities.argmax(1), average="macro"))
    assert scores["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)


def test_a_class_that_is_never_predicted_has_precision_zero():
    scores = score(np.array([0, 1]), np.eye(2)[[0, 0]], CLASSES[:2], 15)
    assert (scores["meningioma.precision"], scores["meningioma.recall"], scores["meningioma.f1"]) == (0, 0, 0)


def test_pictures_of_one_class_only_have_no_auroc_and_raise_no_warning(recwarn):
    scores = score(np.zeros(3, int), np.eye(2)[[0, 0, 1]], CLASSES[:2], 15)
    assert np.isnan(scores["macro_auroc"]) and np.isnan(scores["glioma.specificity"])
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert not recwarn


def test_bins_are_closed_at_their_upper_edge():
    assert bin_of(np.array([0.0, 0.01, 0.25, 0.26, 0.5, 1.0]), 4).tolist() == [0, 0, 0, 1, 1, 3]


def test_top_takes_the_first_of_equals():
    predicted, confidence = top(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]))
    assert predicted.tolist() == [0, 2] and confidence.tolist() == [0.4, 0.7]


def test_defined_mean_and_or_null():
    assert defined_mean(np.array([[1.0, np.nan, 3.0], [1, 2, 3]])).tolist() == [2, 2]
    assert or_null(defined_mean(np.array([np.nan]))) is None
    assert or_null(np.float64(0.5)) == 0.5

from dataclasses import replace

import numpy as np
import pytest

from stages.bootstrap import draw_groups, summarise
from stages.predictions import Predictions
from stages.scores import score

CLASSES = ["glioma", "notumor", "pituitary"]


@pytest.fixture
def predictions():
    """900 pictures of 120 groups in three folds, and probabilities that are right about three times in four."""
    random = np.random.default_rng(0)
    labels, groups = random.integers(0, 3, 900), random.integers(0, 120, 900)
    values = random.normal(size=(900, 3))
    values[np.arange(900), labels] += 1.5
    return Predictions(CLASSES, labels, np.exp(values) / np.exp(values).sum(1, keepdims=True), groups % 3, groups)


def test_a_draw_has_as_many_groups_as_there_are():
    draws, codes = draw_groups(np.array(["b", "a", "b", "c"]), 50, seed=0)
    assert codes.tolist() == [1, 0, 1, 2]
    assert draws.shape == (50, 3) and (draws.sum(1) == 3).all() and draws.std() > 0
    assert (draw_groups(np.array(["b", "a", "b", "c"]), 50, seed=0)[0] == draws).all()
    assert (draw_groups(np.array(["b", "a", "b", "c"]), 50, seed=1)[0] != draws).any()


def test_mean_and_std_are_those_of_the_folds(predictions):
    figures = summarise(predictions, 50, 0, 15)
    folds = [predictions[predictions.folds == k] for k in range(3)]
    scores = [score(fold.labels, fold.probabilities, CLASSES, 15) for fold in folds]
    for name, figure in figures.items():
        values = [fold[name] for fold in scores]
        assert figure["mean"] == pytest.approx(np.mean(values)) and figure["std"] == pytest.approx(np.std(values, ddof=1))


def test_interval_is_that_of_resampling_whole_groups_one_by_one(predictions):
    draws, codes = draw_groups(predictions.groups, 40, 0)
    means = []
    for draw in draws:
        rows = np.concatenate([np.flatnonzero(codes == group) for group, times in enumerate(draw) for _ in range(times)])
        inside = [predictions[rows[predictions.folds[rows] == k]] for k in range(3)]
        means.append(np.mean([score(fold.labels, fold.probabilities, CLASSES, 15)["macro_f1"] for fold in inside]))
    figure = summarise(predictions, 40, 0, 15)["macro_f1"]
    assert (figure["low"], figure["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_every_mean_lies_inside_its_interval_even_of_a_calibrated_ece(predictions):
    random = np.random.default_rng(1)
    labels = np.array([random.choice(3, p=p) for p in predictions.probabilities])  # drawn from them: calibrated by construction
    for name, figure in summarise(replace(predictions, labels=labels), 400, 0, 15).items():
        assert 0 <= figure["low"] < figure["mean"] < figure["high"], name


def test_interval_covers_the_true_accuracy_about_as_often_as_it_says():
    """Pictures of a group are right or wrong together, so that an interval over pictures would be far too narrow."""
    random, covered, runs = np.random.default_rng(0), 0, 200
    groups = np.repeat(np.arange(60), 10)
    for run in range(runs):
        right = (random.random(60) < 0.8)[groups]
        labels = np.tile([0, 1], 300)
        probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
        figure = summarise(Predictions(CLASSES[:2], labels, probabilities, groups % 2, groups), 200, run, 15)["accuracy"]
        covered += figure["low"] <= 0.8 <= figure["high"]
    assert 0.88 <= covered / runs <= 0.99


def test_one_fold_has_no_spread_and_a_missing_class_no_figures(predictions):
    labels = np.where(predictions.labels == 2, 0, predictions.labels)
    figures = summarise(replace(predictions, labels=labels, folds=np.zeros(900, int)), 50, 0, 15)
    assert figures["accuracy"]["std"] == 0
    assert figures["pituitary.recall"] == {"mean": None, "std": 0.0, "low": None, "high": None}
    assert figures["pituitary.specificity"]["mean"] < 1

import numpy as np
import pytest

from stages.calibrate.prediction_sets import measure, members, threshold
from stages.predictions import Predictions

CLASSES = ["glioma", "notumor", "pituitary"]


def predictions(own: list[float], groups: list[int], folds: int | list[int] = 0) -> Predictions:
    """Images of class 0, which gets these probabilities; class 1 gets the rest."""
    probabilities = np.stack([own, 1 - np.array(own), np.zeros(len(own))], 1)
    folds = np.broadcast_to(folds, len(own))
    return Predictions(CLASSES, np.zeros(len(own), int), probabilities, np.array(folds), np.array(groups))


def test_of_groups_of_one_image_the_threshold_is_split_conformals():
    own = np.random.default_rng(0).permutation(np.linspace(0.01, 0.99, 99))
    # The 90th of 99 from above: ceil(0.9 * (99 + 1)).
    assert threshold(predictions(own.tolist(), list(range(99))), 0.9) == pytest.approx(np.sort(own)[::-1][89])


def test_a_group_weighs_as_one_however_many_images_it_has():
    few = predictions([0.9] * 19 + [0.1], list(range(20)))
    many = predictions([0.9] * 19 + [0.1] * 500, [*range(19), *[19] * 500])
    assert threshold(few, 0.9) == threshold(many, 0.9) == 0.9
    alone = predictions([0.9] * 19 + [0.1] * 500, list(range(519)))
    assert threshold(alone, 0.9) == 0.1


def test_an_image_that_several_folds_validate_is_of_a_group_in_each():
    own = [0.9] * 10 + [0.5] * 10
    twice = predictions(own, list(range(10)) * 2, [0] * 10 + [1] * 10)
    assert threshold(twice, 0.9) == threshold(predictions(own, list(range(20))), 0.9) == 0.5


def test_too_few_groups_promise_nothing_and_get_every_class():
    test = predictions([0.9, 0.2], [0, 1])
    assert threshold(predictions([0.9] * 8, list(range(8))), 0.9) == 0
    assert threshold(predictions([0.9] * 9, list(range(9))), 0.9) == 0.9
    found = measure(test, predictions([0.9] * 80, [0] * 80), 0.9)
    assert (found["coverage"], found["size"], found["single"]) == (1, 3, 0)


def test_no_set_is_empty():
    assert members(np.array([0.3, 0.3, 0.4]), 0.5).tolist() == [False, False, True]
    assert members(np.array([[0.6, 0.4], [0.5, 0.5]]), 0.4).all()


def test_coverage_is_of_images_of_groups_and_of_classes():
    validation = predictions([0.6] * 30, list(range(30)))
    found = measure(predictions([0.9, 0.9, 0.9, 0.2], [0, 0, 0, 1]), validation, 0.9)
    assert (found["coverage"], found["of_groups"], found["size"], found["single"]) == (0.75, 0.5, 1, 1)
    assert found["classes"] == {"glioma": 0.75, "notumor": None, "pituitary": None}


def test_the_promise_holds_for_an_image_of_a_new_group():
    random = np.random.default_rng(0)
    held = []
    for _ in range(300):
        of_group = random.normal(1.5, 1, 31).repeat(random.integers(1, 9, 31))  # images of a group are alike
        groups = np.unique(of_group, return_inverse=True)[1]
        own = 1 / (1 + np.exp(-of_group - random.normal(0, 0.5, len(of_group))))
        new = groups == random.integers(31)
        least = threshold(predictions(own[~new].tolist(), groups[~new].tolist()), 0.9)
        held.append(members(np.stack([own[new], 1 - own[new]], 1), least)[:, 0].mean())
    assert np.mean(held) > 0.88

import numpy as np
import pytest
from scipy.special import softmax

from stages.calibrate import temperature
from stages.scores import score


def outputs(true_temperature: float, count: int = 20000):
    """Labels drawn from softmax(z / T), and the probabilities softmax(z) of a model that is T times too sure."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(count, 4)) * 2
    honest = softmax(logits / true_temperature, axis=1)
    labels = (honest.cumsum(1) < random.random((count, 1))).sum(1)
    return labels, softmax(logits, axis=1)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_labels_is_found(true_temperature):
    assert temperature.fit(*outputs(true_temperature)) == pytest.approx(true_temperature, rel=0.05)


def test_scaled_probabilities_say_how_often_they_are_right_and_mean_the_same_class():
    labels, probabilities = outputs(2.5)
    scaled = temperature.apply(probabilities, temperature.fit(labels, probabilities))
    assert (scaled.argmax(1) == probabilities.argmax(1)).all()
    assert scaled.sum(1) == pytest.approx(1)
    before, after = (score(labels, p, list("abcd"), 15)["ece"] for p in (probabilities, scaled))
    assert before > 0.1 and after < 0.01


def test_a_picture_may_have_its_own_temperature():
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2]])
    scaled = temperature.apply(probabilities, np.array([1.0, 2.0]))
    assert scaled[0] == pytest.approx([0.8, 0.2])
    assert scaled[1] == pytest.approx([2 / 3, 1 / 3])  # sqrt(4) : 1


def test_certain_predictions_give_a_finite_temperature():
    probabilities = np.eye(3)[[0, 1, 2, 0]]
    assert np.isfinite(temperature.fit(np.array([0, 1, 2, 0]), probabilities))
    assert temperature.fit(np.array([0, 1, 2, 1]), probabilities) > 3  # one certain error in four

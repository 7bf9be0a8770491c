import numpy as np
import pytest
import torch
from scipy.special import softmax

from stages.calibrate import temperature
from stages.heads import SupportVectorMachine
from stages.scores import score
from stages.train.fit import fit_machines


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


def test_a_temperature_divides_the_logarithms():
    probabilities = np.array([[0.8, 0.2]])
    assert temperature.apply(probabilities, 1)[0] == pytest.approx([0.8, 0.2])
    assert temperature.apply(probabilities, 2)[0] == pytest.approx([2 / 3, 1 / 3])  # sqrt(4) : 1
    assert temperature.losses(np.array([1]), probabilities, 2) == pytest.approx(np.log(3))


def test_certain_predictions_give_a_finite_temperature():
    probabilities = np.eye(3)[[0, 1, 2, 0]]
    assert np.isfinite(temperature.fit(np.array([0, 1, 2, 0]), probabilities))
    assert temperature.fit(np.array([0, 1, 2, 1]), probabilities) > 3  # one certain error in four


@pytest.mark.parametrize("true_temperature", [0.2, 2.5])
def test_a_temperature_that_helps_other_groups_is_taken(true_temperature):
    labels, probabilities = outputs(true_temperature)
    chosen, before, after, standard_error = temperature.choose(labels, probabilities, np.arange(len(labels)) // 100)
    assert chosen == temperature.fit(labels, probabilities) == pytest.approx(true_temperature, rel=0.05)
    assert after + 2 * standard_error < before == temperature.losses(labels, probabilities, 1).mean()
    assert after == pytest.approx(temperature.losses(labels, probabilities, chosen).mean(), abs=1e-3)


def test_a_temperature_that_other_groups_contradict_is_not_taken():
    """One patient in ten is predicted surely and wrongly, the others better than the probabilities say."""
    groups = np.repeat(np.arange(10), 30)
    probabilities = np.tile([0.95, 0.05], (300, 1))
    labels = ((groups == 0) | (np.arange(300) % 30 == 29)).astype(int)
    chosen, before, after, _ = temperature.choose(labels, probabilities, groups)
    assert chosen == 1 and after > before
    assert temperature.losses(labels, probabilities, temperature.fit(labels, probabilities)).mean() < before
    alone = temperature.choose(labels, probabilities, np.arange(300))
    assert alone.after < alone.before, "picture by picture it looks as if it helped"


def test_a_gain_within_two_standard_errors_over_groups_is_not_taken():
    """The temperature of the model is a little above 1: of many images it can be told, of 300 of 30 groups it cannot."""
    labels, probabilities = outputs(1.15, 300)
    chosen, before, after, standard_error = temperature.choose(labels, probabilities, np.arange(300) // 10)
    assert chosen == 1 and 0 < before - after < 2 * standard_error
    assert temperature.choose(*outputs(1.15, 30_000), np.arange(30_000) // 10).temperature == pytest.approx(1.15, rel=0.05)


def test_the_standard_error_is_over_groups():
    labels, probabilities = outputs(1.5, 300)
    twice = np.repeat(np.arange(300), 10)  # each image ten times, which tells nothing more
    alone = temperature.choose(labels, probabilities, np.arange(300))
    together = temperature.choose(labels[twice], probabilities[twice], twice)
    assert together.standard_error == pytest.approx(alone.standard_error, rel=0.2)


def test_each_part_is_scored_at_the_temperature_of_the_other_groups():
    labels, probabilities = outputs(2.0, 300)
    groups = np.where(np.arange(300) < 100, 7, 3)
    after = temperature.choose(labels, probabilities, groups).after
    of = [(groups == 3, groups == 7), (groups == 7, groups == 3)]
    by_hand = sum(
        temperature.losses(labels[part], probabilities[part], temperature.fit(labels[rest], probabilities[rest])).sum() for rest, part in of
    )
    assert after == pytest.approx(by_hand / 300)


def test_a_single_group_checks_nothing():
    labels, probabilities = outputs(2.5, 300)
    chosen, before, after, standard_error = temperature.choose(labels, probabilities, np.zeros(300))
    assert chosen == 1 and before > 0 and after is standard_error is None


def test_the_margins_of_support_vector_machines_become_probabilities():
    """Margins lie near -1 and 1 whatever the machines are sure of: as logits they are far too modest."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600)
    features = torch.from_numpy((3 * np.eye(3)[labels] + random.normal(size=(600, 3))).astype(np.float32))
    head = SupportVectorMachine(3, 3)
    (_, state), *_ = fit_machines(head, features[:200], torch.from_numpy(labels[:200]), torch.ones(200, dtype=torch.float64))
    head.load_state_dict(state)
    probabilities = head(features).softmax(1).numpy().astype(float)
    chosen, *_ = temperature.choose(labels[200:400], probabilities[200:400], np.arange(200) // 4)
    assert chosen < 0.4
    unseen = labels[400:], probabilities[400:]
    assert temperature.losses(*unseen, chosen).mean() < 0.5 * temperature.losses(*unseen, 1).mean()

import numpy as np

from stages.calibrate import abstention
from stages.predictions import Predictions

CLASSES = ["glioma", "notumor"]


def curve(labels, probabilities):
    return abstention.curve(Predictions(CLASSES, labels, probabilities, labels * 0, labels * 0))


def test_the_least_confident_answers_go_first():
    confidence = np.linspace(0.51, 1, 100)
    labels = np.where(np.arange(100) < 20, 1, 0)  # the twenty least confident are wrong
    table = curve(labels, np.stack([confidence, 1 - confidence], 1))
    overall = table[table["class"] == "all"].set_index("answered")
    assert overall.accuracy[1.0] == 0.8
    assert overall.accuracy[0.9] == round(80 / 90, 6)
    assert overall.accuracy[0.8] == 1
    assert overall.confidence[0.8] == confidence[20].round(6)
    of_class = table[table["class"] == "notumor"]
    assert (of_class.accuracy == 0).all() and of_class.answered.min() > 0.8, "no row where none of the class is answered"


def test_a_single_picture_is_answered():
    table = curve(np.array([1]), np.array([[0.3, 0.7]]))
    assert (table.accuracy == 1).all()

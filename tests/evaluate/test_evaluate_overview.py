"""The picture of the test predictions."""

import numpy as np
from PIL import Image

from stages.evaluate import curves, overview
from stages.scores import reliability


def test_the_picture_shows_the_counts_and_is_the_same_every_time(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    probabilities = rng.dirichlet(np.ones(3), 60)
    tables = curves.roc(labels, probabilities, list("abc")), curves.precision_recall(labels, probabilities, list("abc"))
    bins = reliability(labels, probabilities, 10)
    pictures = []
    for name, counts in (("one", np.eye(3, dtype=int) * 20), ("two", np.eye(3, dtype=int) * 20), ("other", np.full((3, 3), 7))):
        overview.draw(counts, *tables, bins, list("abc"), False, tmp_path / f"{name}.png")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    with Image.open(tmp_path / "one.png") as image:
        assert image.width > 800 and np.asarray(image.convert("L")).std() > 20

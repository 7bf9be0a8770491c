"""The picture of the test predictions."""

import numpy as np
from matplotlib.figure import Figure
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


def test_names_of_classes_are_shown_as_they_are(monkeypatch, tmp_path, recwarn):
    classes = ["$a$", "_hidden", "glioma", "\u8133"]
    labels = np.arange(80) % 4
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 80)
    tables = curves.roc(labels, probabilities, classes), curves.precision_recall(labels, probabilities, classes)
    figures = []
    monkeypatch.setattr(overview, "Figure", lambda **how: figures.append(Figure(**how)) or figures[0])
    overview.draw(np.eye(4, dtype=int) * 20, *tables, reliability(labels, probabilities, 10), classes, False, tmp_path / "a.png")
    confusion, roc, precision_recall, _ = figures[0].axes
    shown = ["$a$", "_hidden", "glioma", r"\u8133"]
    assert [text.get_text() for text in confusion.get_xticklabels()] == [text.get_text() for text in confusion.get_yticklabels()] == shown
    for panel in (roc, precision_recall):
        texts = panel.get_legend().get_texts()
        assert [text.get_text() for text in texts] == shown and not any(text.get_parse_math() for text in texts)
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]

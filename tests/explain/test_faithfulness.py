"""Deletion and insertion of a black box whose answer is known: the share of one quadrant's pixels that are as they were."""

import numpy as np
import pytest

from stages.explain.faithfulness import STEPS, by_attention, deletion, insertion
from stages.explain.figures import COLUMNS, measure

SIZE = 64
PICTURE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
QUADRANT = np.zeros((SIZE, SIZE), np.float32)
QUADRANT[:32, 32:] = 1
NOISE = np.random.default_rng(1).random((SIZE, SIZE))


def probability(pictures):
    return (pictures == PICTURE)[:, :32, 32:].mean((1, 2))


def test_the_deciding_pixels_first_is_the_best_order_and_last_the_worst():
    first, last, blind = (by_attention(attention, NOISE) for attention in (QUADRANT, 1 - QUADRANT, NOISE))
    # a quarter of the way from 1 to 0, or from 0 to 1
    assert deletion(probability, PICTURE, first) == pytest.approx(1 / 8, abs=1 / STEPS)
    assert insertion(probability, PICTURE, first) == pytest.approx(7 / 8, abs=1 / STEPS)
    assert deletion(probability, PICTURE, last) == pytest.approx(7 / 8, abs=1 / STEPS)
    assert insertion(probability, PICTURE, last) == pytest.approx(1 / 8, abs=1 / STEPS)
    assert deletion(probability, PICTURE, blind) == pytest.approx(1 / 2, abs=1 / STEPS)
    assert insertion(probability, PICTURE, blind) == pytest.approx(1 / 2, abs=1 / STEPS)


def test_the_curves_go_from_the_picture_to_its_mean_grey_and_from_the_blurred_to_the_picture():
    ends = []

    def note(pictures):
        assert pictures.shape == (STEPS + 1, SIZE, SIZE) and pictures.dtype == np.float32
        ends.append((pictures[0], pictures[-1]))
        return np.ones(len(pictures))

    order = by_attention(QUADRANT, NOISE)
    assert deletion(note, PICTURE, order) == insertion(note, PICTURE, order) == pytest.approx(1)
    (whole, grey), (blurred, again) = ends
    assert (whole == PICTURE).all() and (again == PICTURE).all()
    assert np.ptp(grey) == 0 and grey[0, 0] == pytest.approx(PICTURE.mean())
    assert blurred.mean() == pytest.approx(PICTURE.mean(), rel=0.02) and blurred.std() < PICTURE.std() / 3


def test_equals_follow_the_other_order():
    attention = np.array([[0, 1], [0, 0.5]])
    assert by_attention(attention, np.array([[0.1, 0], [0.9, 0]])).tolist() == [1, 3, 2, 0]


def test_the_share_inside_the_head():
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[16:48, 16:48] = 120
    attention = np.zeros((SIZE, SIZE), np.float32)
    attention[16:32, 16:32] = 1
    attention[:16, :16] = 0.5
    figures = measure(lambda pictures: np.ones(len(pictures)), picture, attention, NOISE)
    assert list(figures) == COLUMNS
    assert (figures["inside_head"], figures["head_area"]) == pytest.approx((2 / 3, 1 / 4))
    nothing = measure(lambda pictures: np.ones(len(pictures)), picture, np.zeros_like(attention), NOISE)
    assert nothing["head_area"] == 1 / 4
    assert all(np.isnan(nothing[name]) for name in COLUMNS if name != "head_area")


def test_baselines_know_where_the_head_is_and_nothing_more():
    """A network that sees only the middle of the head depends on no attention to a corner of it, and on the middle."""
    picture = np.zeros((32, 32), np.uint8)
    picture[8:28, 4:24] = 200
    picture[16:20, 12:16] = 250

    def of_the_middle(pictures: np.ndarray) -> np.ndarray:
        return pictures[:, 16:20, 12:16].mean((1, 2)) / 250

    corner = np.zeros((32, 32))
    corner[8:12, 4:8] = 1
    found = measure(of_the_middle, picture, corner, np.random.default_rng(0).random((32, 32)))
    assert list(found) == COLUMNS
    assert found["deletion_centre"] < found["deletion_head"] < found["deletion_random"]
    assert found["insertion_centre"] > found["insertion_head"] and found["deletion"] > found["deletion_centre"]
    assert found["inside_head"] == 1 and found["head_area"] == 400 / 32**2

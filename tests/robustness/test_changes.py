import numpy as np
import pytest

from stages.robustness.changes import CHANGES, apply

HEAD = np.zeros((64, 64), np.uint8)
HEAD[12:52, 16:48] = np.random.default_rng(0).integers(60, 200, (10, 8)).repeat(4, 0).repeat(4, 1)
NAMES = sorted({name for name, _ in CHANGES})


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_a_changed_picture_is_another_of_the_same_kind(change):
    changed = apply(CHANGES[change], HEAD[None], [1])
    assert changed.shape == (1, 64, 64) and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255 and np.abs(changed[0] - HEAD).mean() > 0.5
    assert np.corrcoef(changed[0].ravel(), HEAD.ravel())[0, 1] > 0.6, "still that head"
    assert np.array_equal(changed, apply(CHANGES[change], HEAD[None], [1])), "the same again"


@pytest.mark.parametrize("name", NAMES)
def test_the_stronger_change_changes_more(name):
    mild, strong = (np.abs(apply(change, HEAD[None], [1])[0] - HEAD).mean() for key, change in CHANGES.items() if key[0] == name)
    assert strong > mild


def test_noise_and_bias_are_each_pictures_own():
    for key in (("noise", "10 % of the range"), ("bias field", "coefficients to 0.3")):
        one, two = apply(CHANGES[key], np.stack([HEAD, HEAD]), [1, 2])
        assert np.abs(one - two).mean() > 0.5


def test_black_stays_black_where_nothing_is_added():
    for (name, strength), change in CHANGES.items():
        if name not in ("noise", "blur", "Gibbs ringing", "JPEG"):
            assert apply(change, HEAD[None], [1])[0, :4].max() < 1, (name, strength)


def test_a_black_picture_breaks_nothing():
    for change in CHANGES.values():
        assert np.isfinite(apply(change, np.zeros((1, 64, 64), np.uint8), [1])).all()

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stages.copies import ORIENTATIONS, turn
from stages.dedupe.describe import SIDE, find_head, thumbnail
from stages.dedupe.descriptors import SIZE, TURNS, WINDOWS, describe, describe_parts
from stages.dedupe.search import nearest
from stages.dedupe.stars import find_stars
from stages.dedupe.views import Views

RNG = np.random.default_rng(0)


def descriptors(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE), dtype=np.uint8)


def find(entries: np.ndarray, likeness: float = 0.9, exhaustively: bool = True, most: int = 4, patient: np.ndarray | None = None) -> set:
    rows = np.arange(len(entries))
    views = Views(rows, entries[:, None], np.zeros((len(rows), 1, 4)), (0,))
    pairs = nearest(views, np.zeros(len(rows), int) if patient is None else patient, most, likeness, exhaustively, "test")
    return {(*sorted(pair), orientation) for *pair, orientation in pairs[["first", "second", "orientation"]].itertuples(index=False)}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_descriptor_of_a_turned_picture_is_a_permutation(name):
    picture = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    assert (describe(np.ascontiguousarray(turn(picture, name))) == describe(picture)[TURNS[list(ORIENTATIONS).index(name)]]).all()


def test_contrast_and_a_negative_leave_the_descriptor_nearly_as_it_is():
    y, x = np.mgrid[:64, :64]
    picture = 120 + 50 * np.sin(x / 5) * np.cos(y / 7) + RNG.normal(0, 5, (64, 64))
    for other in (picture * 0.6 + 40, 255 - picture):
        one, changed = (describe(some.clip(0, 255).astype(np.uint8)).astype(float) for some in (picture, other))
        assert np.corrcoef(one, changed)[0, 1] > 0.99


def test_parts_are_what_they_would_be_alone():
    picture = gaussian_filter(RNG.normal(size=(SIDE, SIDE)), 4)
    picture = np.interp(picture, (picture.min(), picture.max()), (0, 255)).astype(np.uint8)
    whole = np.array([0.0, 0.0, 1.0, 1.0])
    parts = describe_parts(thumbnail(picture, whole))
    assert parts.shape == (len(WINDOWS), SIZE) and (parts[0] == describe(thumbnail(picture, whole))).all()
    for number in (1, 9, 24, 48):
        alone = describe(thumbnail(picture, np.array(WINDOWS[number])))
        alike = [np.corrcoef(alone, part)[0, 1] for part in parts]
        assert np.argmax(alike) == number and alike[number] > 0.9


def test_a_head_is_found_whatever_the_border_and_the_contrast():
    y, x = np.mgrid[:SIDE, :SIDE]
    head = (((y - 80) / 50) ** 2 + ((x - 70) / 40) ** 2 < 1) * (90 + RNG.normal(0, 10, (SIDE, SIDE)))
    expected = np.array([30, 30, 110, 130]) / SIDE
    lines = head.copy()
    lines[:, -1], lines[5:9, 5:20] = 255, 255  # a white line at the edge, a caption in the corner
    for picture in (head, head * 2, head + 8, lines):
        assert find_head(picture.clip(0, 255).astype(np.uint8)) == pytest.approx(expected, abs=0.03)
    assert find_head(np.zeros((SIDE, SIDE), np.uint8)).tolist() == [0, 0, 1, 1]


def test_a_negative_has_the_head_of_its_positive_and_a_white_frame_is_none():
    y, x = np.mgrid[:SIDE, :SIDE]
    head = ((((y - 80) / 50) ** 2 + ((x - 70) / 40) ** 2 < 1) * (90 + RNG.normal(0, 10, (SIDE, SIDE)))).clip(0, 255).astype(np.uint8)
    assert find_head(255 - head) == pytest.approx(find_head(head), abs=0.02)
    framed = head.copy()
    framed[:12], framed[:, -9:], framed[-15:], framed[:, :10] = 255, 255, 255, 255
    assert find_head(framed) == pytest.approx(np.array([10, 12, 151, 145]) / SIDE, abs=0.02)


def test_the_best_of_several_views_is_told():
    several = np.random.default_rng(2).integers(0, 256, (50, 3, SIZE), dtype=np.uint8)
    several[7, 2] = several[3, 0][TURNS[5]]
    pairs = nearest(Views(np.arange(50), several, np.zeros((50, 3, 4)), (0,)), np.zeros(50, int), 4, 0.9, True, "test")
    assert pairs[["first", "second", "view", "other", "orientation"]].to_numpy().tolist() == [[3, 7, 0, 2, 5]]


@pytest.mark.parametrize("exhaustively", [True, False])
def test_all_that_is_alike_in_some_orientation_is_found_and_nothing_else(exhaustively):
    entries = descriptors(600)
    entries[100:108] = entries[np.arange(8)[:, None], TURNS]  # each of eight, turned another way
    found = find(entries, exhaustively=exhaustively)
    # either of the two may be the first, and some turns are another one back.
    assert {pair[:2] for pair in found} == {(k, 100 + k) for k in range(8)}
    assert {pair[2] for pair in found} <= set(range(8))


def test_no_more_than_so_many_are_found_of_a_patient_and_of_others():
    entries = np.repeat(descriptors(40)[:1], 40, 0)
    entries[:, :20] = RNG.integers(0, 256, (40, 20))
    patient = np.repeat([1, 2], 20)
    alike = {pair[:2] for pair in find(entries, likeness=-1, most=2, patient=patient)}
    own = {pair for pair in alike if patient[pair[0]] == patient[pair[1]]}
    assert own and alike - own and len(own) <= 80 and len(alike - own) <= 80


def stars(pairs: dict[tuple[int, int], bool], count: int, **options) -> tuple[list[int], list]:
    later, earlier = (np.array([pair[k] for pair in pairs]) for k in (0, 1))
    asked = []

    def compare(some: np.ndarray) -> np.ndarray:
        asked.extend((int(later[k]), int(earlier[k])) for k in some)
        return np.array([pairs[int(later[k]), int(earlier[k])] for k in some])

    return find_stars(later, earlier, np.full(count, -1), compare, **options).tolist(), asked


def test_a_copy_of_a_copy_alone_is_none():
    assert stars({(1, 0): True, (2, 1): True}, 3)[0] == [-1, 0, -1]
    assert stars({(1, 0): True, (2, 1): True, (2, 0): True}, 3)[0] == [-1, 0, 0]
    assert stars({(1, 0): False, (2, 1): True, (2, 0): False}, 3)[0] == [-1, -1, 1]


def test_stars_are_those_of_going_through_one_after_another():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        later, earlier = np.nonzero(np.tril(rng.random((25, 25)) < 0.3, -1))
        pairs = {(int(a), int(b)): bool(rng.random() < 0.4) for a, b in zip(later, earlier, strict=True)}
        expected = [-1] * 25
        for picture in range(25):
            candidates = [b for b in range(picture) if pairs.get((picture, b)) and expected[b] < 0]
            expected[picture] = candidates[0] if candidates else -1
        found, asked = stars(pairs, 25)
        assert found == expected and len(set(asked)) == len(asked) <= len(pairs)


def test_copies_are_compared_with_little_else():
    pairs = {(later, earlier): True for later in range(30) for earlier in range(later)}
    found, asked = stars(pairs, 30)
    assert found == [-1] + [0] * 29 and len(asked) == 29

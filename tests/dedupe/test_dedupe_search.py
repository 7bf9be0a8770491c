from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from stages.copies import ORIENTATIONS, correlate
from stages.dedupe import search
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.search import similar_pairs

EXACT, ROOM = 10**6, 2**30


def thumbnails(count: int, copies: int, noise: float, seed: int = 0) -> np.ndarray:
    """uint8 [count + copies, 64, 64]: smooth random pictures, then turned and more or less noisy copies of some of them."""
    rng = np.random.default_rng(seed)
    pictures = gaussian_filter(rng.normal(size=(count, 64, 64)).astype(np.float32), (0, 6, 6), mode="wrap")
    pictures /= pictures.std((1, 2), keepdims=True)
    turned = pictures[rng.integers(0, count, copies)].copy()
    y, x = rng.integers(0, 2, (2, copies)).astype(bool)
    turned[y] = turned[y, ::-1]
    turned[x] = turned[x, :, ::-1]
    turned += rng.uniform(0, noise, (copies, 1, 1)) * rng.normal(size=turned.shape)
    return (128 + 30 * np.concatenate([pictures, turned])).clip(0, 255).astype(np.uint8)


def brute_force(pictures: np.ndarray) -> np.ndarray:
    """float [4, N, N]: Pearson correlations in the four orientations, 0 for a picture of one grey level."""
    values = pictures.astype(float).reshape(len(pictures), -1)
    values -= values.mean(1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    square = values.reshape(pictures.shape)
    return np.stack([square[:, ::y, ::x].reshape(len(values), -1) @ values.T for y, x in ORIENTATIONS.values()])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.975])
def test_pairs_are_those_of_brute_force(seed, threshold):
    pictures = thumbnails(60, 60, 0.8, seed)
    pictures[[3, 4]] = [[[0]], [[77]]]  # two of one grey level
    pictures[5] = np.maximum(pictures[5], pictures[5][:, ::-1])  # one that is its own mirror image
    pictures[6] = pictures[5]
    correlation = brute_force(pictures)
    best = correlation.max(0)
    expected = {(a, b) for a, b in np.argwhere(np.triu(best >= threshold, 1)).tolist()}
    unsure = {(a, b) for a, b in np.argwhere(np.abs(best - threshold) < 1e-5).tolist()}

    pairs = similar_pairs(pictures, threshold, EXACT, ROOM, "test")
    found = set(zip(pairs["first"], pairs["second"], strict=True))
    assert len(found) == len(pairs) > 10
    assert found ^ expected <= unsure
    names = list(ORIENTATIONS)
    for row in pairs.itertuples():
        ways = correlation[:, row.first, row.second]
        assert row.correlation == pytest.approx(ways.max(), abs=1e-4)
        assert ways[names.index(row.orientation)] == pytest.approx(ways.max(), abs=1e-4)
    symmetric = pairs[(pairs["first"] == 5) & (pairs["second"] == 6)]
    assert symmetric.orientation.tolist() == [""], "the plainest of equals"
    assert not {3, 4} & {row for pair in found for row in pair}


def test_black_pictures_do_not_resemble_everything():
    pictures = np.concatenate([np.zeros((10, 64, 64), np.uint8), np.full((10, 64, 64), 255, np.uint8), thumbnails(20, 20, 0)])
    pairs = similar_pairs(pictures, 0.5, EXACT, ROOM, "test")
    assert len(pairs) >= 20 and pairs["first"].min() >= 20


def test_pictures_of_one_grey_level_cost_nothing(monkeypatch):
    compared = []
    monkeypatch.setattr(search, "correlate", lambda *arguments: compared.append(len(arguments[1])) or correlate(*arguments))
    black = np.zeros((3000, 64, 64), np.uint8)
    assert similar_pairs(black, 0.9, EXACT, ROOM, "test").empty and not compared
    pairs = similar_pairs(np.concatenate([black, thumbnails(20, 20, 0)]), 0.9, EXACT, ROOM, "test")
    assert len(pairs) >= 20 and pairs["first"].min() >= 3000 and sum(compared) < 40**2


def test_no_copies_no_pairs():
    assert similar_pairs(thumbnails(30, 0, 0), 0.95, EXACT, ROOM, "test").empty


def test_the_inverted_index_finds_what_the_exhaustive_search_finds():
    pictures = thumbnails(6000, 2000, 0.35)
    exact, fast = (similar_pairs(pictures, 0.95, limit, ROOM, "test") for limit in (EXACT, 1000))
    assert len(exact) > 1000 and set(exact.orientation) == set(ORIENTATIONS)
    pd.testing.assert_frame_equal(fast, exact, check_exact=False, atol=1e-5)


@pytest.mark.parametrize("limit", [EXACT, 1000])
def test_what_does_not_fit_the_memory_lies_in_a_scratch_file(limit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = thumbnails(1500, 600, 0.35)
    expected = similar_pairs(pictures, 0.95, limit, ROOM, "test")
    assert not Path(".scratch").exists()
    pd.testing.assert_frame_equal(similar_pairs(pictures, 0.95, limit, 1e-9, "test"), expected)
    assert Path(".scratch").exists() and not search.SCRATCH.exists()


def test_pictures_on_the_disk_are_those_in_memory(tmp_path):
    pictures = thumbnails(60, 60, 0.35)
    np.save(tmp_path / "thumbnails.npy", pictures)
    on_disk, rows = OnDisk(tmp_path / "thumbnails.npy"), np.arange(0, 120, 2)
    assert on_disk.shape == pictures.shape and on_disk.only(rows).shape == (60, 64, 64)
    assert (on_disk.only(rows)[[3, 4]] == pictures[[6, 8]]).all() and (on_disk[5:8] == pictures[5:8]).all()
    found = (similar_pairs(some, 0.9, EXACT, ROOM, "test") for some in (on_disk.only(rows), pictures[rows]))
    pd.testing.assert_frame_equal(*found)


def test_a_limit_below_a_handful_of_pictures_is_no_error():
    pictures = thumbnails(5, 5, 0)
    exact, fast = (similar_pairs(pictures, 0.9, limit, ROOM, "test") for limit in (EXACT, 1))
    assert len(exact) == len(fast) >= 5

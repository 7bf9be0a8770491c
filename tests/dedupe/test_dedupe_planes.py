import os
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from synthetic import ROOT

from stages.dedupe.planes import find_planes
from stages.gradients import gradients

PLANES = ("axial", "coronal", "sagittal")


def pictures(planes: list[str], noise: float = 20) -> np.ndarray:
    """uint8 [N, 64, 64]: stripes whose direction tells the plane."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    angle = {plane: number * np.pi / 3 for number, plane in enumerate(PLANES)}
    waves = [np.sin((x * np.cos(angle[plane]) + y * np.sin(angle[plane])) / 3 + rng.uniform(0, 6)) for plane in planes]
    return (128 + 60 * np.array(waves) + rng.normal(0, noise, (len(planes), 64, 64))).clip(0, 255).astype(np.uint8)


def table(planes, cluster=None, group=None) -> pd.DataFrame:
    count = len(planes)
    columns = {"plane": pd.array(planes, dtype="string"), "cluster": cluster or range(count), "group": group or range(count), "kept": True}
    return pd.DataFrame(columns)


@pytest.mark.parametrize("annotated", [15, 30, 150])
def test_planes_are_learnt_from_few_and_from_many_annotations(annotated):
    truth = [PLANES[number % 3] for number in range(annotated + 30)]
    known = [plane if number < annotated else "" for number, plane in enumerate(truth)]
    result, accuracy = find_planes(table(known), pictures(truth))
    assert accuracy > 0.95
    assert result.plane.tolist() == truth
    assert result.plane_source.tolist() == ["annotated"] * annotated + ["predicted"] * 30
    assert result.plane_confidence[:annotated].eq(1).all() and result.plane_confidence[annotated:].between(1 / 3, 1).all()


def test_of_many_annotations_some_are_enough(monkeypatch):
    monkeypatch.setattr("stages.dedupe.planes.LEARNT", 60)
    monkeypatch.setattr("stages.dedupe.planes.gradients", counted := Mock(wraps=gradients))
    truth = [PLANES[number % 3] for number in range(200)]
    result, accuracy = find_planes(table([*truth[:150], *[""] * 50]), pictures(truth))
    assert accuracy > 0.95 and result.plane.tolist() == truth
    assert [len(call.args[0]) for call in counted.call_args_list] == [60, 50]


@pytest.mark.parametrize(
    "known",
    [[""] * 20, ["axial"] * 20, ["axial"] * 10 + ["coronal"] * 4 + [""] * 6],
    ids=["no annotation", "one plane", "too few of one plane"],
)
def test_too_few_annotations_leave_the_planes_empty(known):
    result, accuracy = find_planes(table(known), pictures(["axial"] * 20))
    assert accuracy is None
    assert result.plane.tolist() == known
    assert result.plane_source.tolist() == ["annotated" if plane else "" for plane in known]


def test_pictures_of_few_groups_are_too_few():
    known = list(PLANES) * 10
    assert find_planes(table(known, group=[0, 1, 2] * 10), pictures(known))[1] is None


def test_copies_get_the_plane_of_most_annotations():
    known = ["axial", "axial", "coronal", "", "sagittal", ""]
    result, _ = find_planes(table(known, cluster=[0, 0, 0, 0, 1, 2]), pictures(["axial"] * 6))
    assert result.plane.tolist() == ["axial", "axial", "coronal", "axial", "sagittal", ""]
    assert result.plane_source.tolist() == ["annotated"] * 3 + ["propagated", "annotated", ""]
    assert result.plane_confidence[3] == pytest.approx(2 / 3)


def test_the_accuracy_is_that_of_unseen_groups():
    # Noise that a model can only know by heart, two pictures a group: alike within a group, at random between groups.
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 64, 64), dtype=np.uint8).repeat(2, 0)
    known = np.array(PLANES)[rng.integers(0, 3, 60)].repeat(2).tolist()
    _, by_group = find_planes(table(known, group=np.arange(60).repeat(2).tolist()), noise)
    _, by_picture = find_planes(table(known), noise)
    assert by_picture > 0.9 and by_group < 0.6


VECTOR_UNITS = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


@pytest.mark.skipif(not VECTOR_UNITS, reason="numpy has nothing faster for this CPU than for any")
def test_another_kind_of_cpu_finds_the_same_planes_and_confidences(tmp_path):
    known = [PLANES[number % 3] if number < 150 else "" for number in range(400)]
    np.save(tmp_path / "thumbnails.npy", pictures([PLANES[number % 3] for number in range(400)], noise=60))
    table(known).to_pickle(tmp_path / "table.pkl")
    code = (
        "import numpy, pandas; from stages.dedupe.planes import find_planes;"
        "print(find_planes(pandas.read_pickle('table.pkl'), numpy.load('thumbnails.npy'))[0].to_csv())"
    )
    plain = {"NPY_DISABLE_CPU_FEATURES": " ".join(VECTOR_UNITS), "OPENBLAS_CORETYPE": "Nehalem"}
    mine, other = (
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)} | more, check=True, capture_output=True
        )
        for more in ({}, plain)
    )
    assert b"predicted" in mine.stdout and other.stdout == mine.stdout


def test_gradients_tell_directions():
    features = gradients(pictures(list(PLANES), noise=0))
    assert features.shape == (3, 64 * 9) and np.isfinite(features).all()
    peaks = features.reshape(3, 64, 9).mean(1).argmax(1)
    assert len(set(peaks)) == 3
    assert not gradients(np.zeros((1, 64, 64), np.uint8)).any()

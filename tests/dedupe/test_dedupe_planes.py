import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from synthetic import ROOT

from stages.dedupe.descriptors import describe
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


def table(planes, cluster=None, group=None, patient="") -> pd.DataFrame:
    count = len(planes)
    columns = {
        "plane": pd.array(planes, dtype="string"),
        "cluster": cluster or range(count),
        "group": group or range(count),
        "patient": patient,
    }
    return pd.DataFrame(columns)


def find(table: pd.DataFrame, pictures: np.ndarray) -> tuple[pd.DataFrame, dict]:
    return find_planes(table, np.arange(len(table)), np.stack([describe(picture) for picture in pictures]))


@pytest.mark.parametrize("annotated", [15, 30, 150])
def test_planes_are_learnt_from_few_and_from_many_annotations(annotated):
    truth = [PLANES[number % 3] for number in range(annotated + 30)]
    known = [plane if number < annotated else "" for number, plane in enumerate(truth)]
    result, metrics = find(table(known), pictures(truth))
    assert metrics["accuracy_by_group"]["unknown_patients"]["of_filled_in"] > 0.95
    assert result.plane.tolist() == truth
    assert result.plane_source.tolist() == ["annotated"] * annotated + ["predicted"] * 30
    assert result.plane_confidence[:annotated].eq(1).all() and result.plane_confidence[annotated:].between(0.8, 1).all()
    assert (metrics["annotated"], metrics["predicted"], metrics["unknown"]) == (annotated, 30, 0)


def test_of_many_annotations_some_are_enough(monkeypatch):
    monkeypatch.setattr("stages.dedupe.planes.LEARNT", 60)
    truth = [PLANES[number % 3] for number in range(200)]
    result, metrics = find(table([*truth[:150], *[""] * 50]), pictures(truth))
    assert metrics["accuracy_by_group"]["unknown_patients"]["pictures"] == 60 and result.plane.tolist() == truth


def test_what_is_unsure_is_empty():
    rng = np.random.default_rng(1)
    known = [PLANES[number % 3] for number in range(60)]
    unlike = rng.integers(0, 256, (20, 64, 64), dtype=np.uint8)
    result, metrics = find(table([*known, *[""] * 20]), np.concatenate([pictures(known), unlike]))
    assert (result.plane[60:] == "").mean() > 0.5 and metrics["unknown"] == (result.plane == "").sum()
    assert result.plane_source[result.plane == ""].eq("").all() and result.plane_confidence[result.plane == ""].isna().all()


def test_accuracy_is_told_apart_for_pictures_of_unknown_patients():
    known = [PLANES[number % 3] for number in range(120)]
    odd = [PLANES[(number // 3) % 3] for number in range(60)]  # whose planes do not show
    _, metrics = find(table(known + odd, patient=["P"] * 120 + [""] * 60), np.concatenate([pictures(known), pictures(["axial"] * 60)]))
    accuracy = metrics["accuracy_by_group"]
    assert accuracy["known_patients"]["pictures"] == 120 and accuracy["unknown_patients"]["pictures"] == 60
    assert accuracy["known_patients"]["all"] > accuracy["unknown_patients"]["all"]


@pytest.mark.parametrize(
    "known",
    [[""] * 20, ["axial"] * 20, ["axial"] * 10 + ["coronal"] * 4 + [""] * 6],
    ids=["no annotation", "one plane", "too few of one plane"],
)
def test_too_few_annotations_leave_the_planes_empty(known):
    result, metrics = find(table(known), pictures(["axial"] * 20))
    assert metrics["accuracy_by_group"] is None
    assert result.plane.tolist() == known
    assert result.plane_source.tolist() == ["annotated" if plane else "" for plane in known]


def test_pictures_of_few_groups_are_too_few():
    known = list(PLANES) * 10
    assert find(table(known, group=[0, 1, 2] * 10), pictures(known))[1]["accuracy_by_group"] is None


def test_copies_get_the_plane_of_most_annotations():
    known = ["axial", "axial", "coronal", "", "sagittal", ""]
    result, _ = find(table(known, cluster=[0, 0, 0, 0, 1, 2]), pictures(["axial"] * 6))
    assert result.plane.tolist() == ["axial", "axial", "coronal", "axial", "sagittal", ""]
    assert result.plane_source.tolist() == ["annotated"] * 3 + ["propagated", "annotated", ""]
    assert result.plane_confidence[3] == pytest.approx(2 / 3)


def test_the_accuracy_is_that_of_unseen_groups():
    # Noise that a model can only know by heart, two pictures a group: alike within a group, at random between groups.
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 64, 64), dtype=np.uint8).repeat(2, 0)
    known = np.array(PLANES)[rng.integers(0, 3, 60)].repeat(2).tolist()
    by_group, by_picture = (
        find(table(known, group=group), noise)[1]["accuracy_by_group"]["unknown_patients"]["all"]
        for group in (np.arange(60).repeat(2).tolist(), None)
    )
    assert by_picture > 0.9 and by_group < 0.6


VECTOR_UNITS = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


@pytest.mark.skipif(not VECTOR_UNITS, reason="numpy has nothing faster for this CPU than for any")
def test_another_kind_of_cpu_finds_the_same_planes_and_confidences(tmp_path):
    known = [PLANES[number % 3] if number < 150 else "" for number in range(400)]
    np.save(tmp_path / "thumbnails.npy", pictures([PLANES[number % 3] for number in range(400)], noise=40))
    table(known).to_pickle(tmp_path / "table.pkl")
    code = (
        "import numpy, pandas; from stages.dedupe.planes import find_planes; from stages.dedupe.descriptors import describe;"
        "looks = numpy.stack([describe(picture) for picture in numpy.load('thumbnails.npy')]); print(looks.sum());"
        "print(find_planes(pandas.read_pickle('table.pkl'), numpy.arange(400), looks)[0].to_csv())"
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

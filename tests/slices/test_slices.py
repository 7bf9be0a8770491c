"""Slices of predictions that are known by construction."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score
from synthetic import call_demonstration, copy_params, set_params

from stages.catalog import CATALOG, CLUSTERS, PREDICTIONS, read_table, write_table
from stages.slices import __main__ as slices
from stages.slices.dimensions import area_bins, dimensions, size_bins
from stages.slices.errors import by_group, confusions

CLASSES = ["glioma", "meningioma", "notumor"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """300 pictures of 60 groups; sagittal ones are predicted by chance, the others rightly but for every tenth."""
    monkeypatch.chdir(tmp_path)
    copy_params()
    set_params(aggregate__resamples=300)
    n = np.arange(300)
    random = np.random.default_rng(0)
    label = n // 5 % 3
    plane = np.array(["axial", "coronal", "sagittal"])[n % 3]
    guess = np.where(plane == "sagittal", random.integers(0, 3, 300), np.where(n % 10 == 0, (label + 1) % 3, label))
    probabilities = np.full((300, 3), 0.1)
    probabilities[n, guess] = 0.8
    ids, names = [f"set/{k:03}.jpg" for k in n], np.array(CLASSES)
    predictions = pd.DataFrame({"image_id": ids, "fold": n % 2, "label": names[label], "predicted": names[guess]})
    write_table(predictions.assign(**{f"p_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)}), PREDICTIONS)
    patients = np.where(n // 5 < 30, np.char.add("P", (n // 5).astype(str)), "")
    write_table(pd.DataFrame({"image_id": ids, "cluster": n, "group": n // 5, "patient": patients, "plane": plane}), CLUSTERS)
    sizes = np.where(n % 2, 512, 200)
    catalog = {"image_id": ids, "source": "set", "member": ids, "width": 512, "height": sizes, "tumour_area": ""}
    write_table(pd.DataFrame(catalog), CATALOG)


def outputs():
    return json.loads(Path("metrics/slices.json").read_text()), pd.read_csv("metrics/slices.csv")


def test_the_bad_plane_is_found_first_with_its_figures(project):
    slices.main()
    found, table = outputs()
    worst = found["slices"][0]
    assert (worst["by"], worst["slice"], worst["pictures"]) == ("plane", "sagittal", 100)
    assert {one["by"] for one in found["slices"]} == {"plane", "size", "patient"}, "one source for all is no slice"
    assert [one["macro_f1"]["value"] for one in found["slices"]] == sorted(one["macro_f1"]["value"] for one in found["slices"])

    predictions, clusters = read_table(PREDICTIONS), read_table(CLUSTERS)
    mine = predictions[predictions.image_id.isin(clusters.image_id[clusters.plane == "sagittal"])]
    assert worst["accuracy"]["value"] == pytest.approx((mine.label == mine.predicted).mean(), abs=1e-6)
    assert worst["macro_f1"]["value"] == pytest.approx(f1_score(mine.label, mine.predicted, average="macro"), abs=1e-6)
    assert worst["groups"] == clusters[clusters.plane == "sagittal"].group.nunique()
    for one in found["slices"]:
        for figure in (one["accuracy"], one["macro_f1"]):
            assert figure["low"] < figure["value"] < figure["high"]
    first = table.iloc[0]
    assert (first.by, first.slice, first.macro_f1_high) == ("plane", "sagittal", worst["macro_f1"]["high"])


def test_every_group_is_in_the_table_and_those_with_errors_in_the_json(project):
    slices.main()
    found, table = outputs()
    groups = table[table.by == "group"]
    assert len(groups) == 60 and "P7" in set(groups.slice) and "group 47" in set(groups.slice)
    assert len(found["groups"]) == (groups.wrong > 0).sum() < 60
    wrong = [one["wrong"] for one in found["groups"]]
    assert wrong == sorted(wrong, reverse=True) and wrong[-1] > 0


def test_synthetic_pictures_are_called_a_demonstration(project):
    slices.main()
    before = outputs()[0]
    assert before["demonstration"] is False
    call_demonstration(True)
    slices.main()
    assert outputs()[0] == before | {"demonstration": True}


def test_the_same_bytes_again(project):
    slices.main()
    first = Path("metrics/slices.json").read_text(), Path("metrics/slices.csv").read_text()
    slices.main()
    assert (Path("metrics/slices.json").read_text(), Path("metrics/slices.csv").read_text()) == first


def test_a_slice_of_one_group_has_no_interval(project):
    clusters = read_table(CLUSTERS)
    clusters["plane"] = np.where(clusters.group == 3, "sagittal", "axial")
    write_table(clusters, CLUSTERS)
    slices.main()
    found, _ = outputs()
    (one,) = [one for one in found["slices"] if one["slice"] == "sagittal"]
    assert one["groups"] == 1 and one["accuracy"]["low"] is None and one["macro_f1"]["high"] is None


def test_a_class_that_does_not_occur_in_a_slice_does_not_count_in_its_macro_f1(project):
    predictions, clusters = read_table(PREDICTIONS), read_table(CLUSTERS)
    clusters["plane"] = np.where(predictions.label == "glioma", "sagittal", "axial")
    write_table(clusters, CLUSTERS)
    slices.main()
    found, _ = outputs()
    (one,) = [one for one in found["slices"] if one["slice"] == "sagittal"]
    gliomas = predictions[predictions.label == "glioma"]
    assert one["macro_f1"]["value"] == pytest.approx(
        f1_score(gliomas.label, gliomas.predicted, average=None, labels=["glioma"])[0], abs=1e-6
    )


def test_pictures_that_the_clusters_do_not_know_stop_with_what_to_do(project):
    write_table(read_table(CLUSTERS).iloc[:-1], CLUSTERS)
    with pytest.raises(SystemExit, match="dvc repro"):
        slices.main()


def test_pictures_of_unknown_patients_are_a_slice_of_their_own(project):
    slices.main()
    found, _ = outputs()
    sizes = {one["slice"]: (one["pictures"], one["groups"]) for one in found["slices"] if one["by"] == "patient"}
    assert sizes == {"known": (150, 30), "unknown": (150, 30)}


def test_contrast_is_a_dimension_where_the_folders_name_it():
    members = ["Meningioma T1C+/1.jpg", "Meningioma T1/2.jpg", "glioma T2/3.jpg", "MT1/4.jpg", "T1C+/x/5.jpg"]
    table = pd.DataFrame({"member": members, "plane": "axial", "source": "set", "width": 224, "height": 224, "patient": ""})
    table["tumour_area"] = np.nan
    assert list(dimensions(table)) == ["contrast"]
    assert dimensions(table)["contrast"].tolist() == ["T1C+", "T1", "T2", "unnamed", "unnamed"]
    table["member"] = "Training/glioma_tumor/gg (1).jpg"
    assert dimensions(table) == {}


def test_tumours_are_sliced_by_the_area_of_their_mask_whichever_copy_has_it(project):
    catalog, clusters, predictions = read_table(CATALOG), read_table(CLUSTERS), read_table(PREDICTIONS)
    small, large = (predictions.index[predictions.label == label][:20] for label in ("glioma", "meningioma"))
    catalog.loc[small, "tumour_area"] = "0.004"
    masked = catalog.loc[large].assign(image_id="masked/" + catalog.image_id[large], tumour_area="0.015")  # copies that nobody predicts
    write_table(pd.concat([catalog, masked]), CATALOG)
    write_table(pd.concat([clusters, clusters.loc[large].assign(image_id=masked.image_id)]), CLUSTERS)
    slices.main()
    found = {one["slice"]: one for one in outputs()[0]["slices"] if one["by"] == "tumour area"}
    assert {name: one["pictures"] for name, one in found.items()} == {"up to 0.5%": 20, "over 1.0% to 2.0%": 20, "no mask": 260}
    right = predictions.predicted == predictions.label
    assert found["up to 0.5%"]["accuracy"]["value"] == pytest.approx(right[small].mean(), abs=1e-6)
    assert found["over 1.0% to 2.0%"]["accuracy"]["value"] == pytest.approx(right[large].mean(), abs=1e-6)


def test_areas_fall_into_the_bin_that_holds_them():
    shares = np.array([0, 0.005, 0.006, 0.01, 0.02, 0.03, 1, np.nan])
    assert area_bins(shares).tolist() == [
        "up to 0.5%", "up to 0.5%", "over 0.5% to 1.0%", "over 0.5% to 1.0%", "over 1.0% to 2.0%", "over 2.0%", "over 2.0%", "no mask",
    ]  # fmt: skip


def test_sizes_fall_into_the_bin_that_holds_them():
    sides = np.array([1, 224, 225, 256, 257, 511, 512, 513, 4000])
    assert size_bins(sides).tolist() == [
        "up to 224 px", "up to 224 px", "225 to 256 px", "225 to 256 px", "257 to 511 px", "257 to 511 px", "512 px", "over 512 px", "over 512 px",
    ]  # fmt: skip


def test_confusions_and_groups_of_a_table_done_by_hand():
    rows = [
        (0, "P1", "glioma", "glioma"), (0, "P1", "glioma", "meningioma"), (0, "P2", "glioma", "meningioma"),
        (1, "", "glioma", "meningioma"), (2, "P3", "meningioma", "notumor"), (2, "P3", "meningioma", "glioma"), (3, "", "notumor", "notumor"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "patient", "label", "predicted"]).assign(image_id=range(7))
    assert confusions(table) == [
        {"actual": "glioma", "predicted": "meningioma", "pictures": 3, "share": 0.75, "groups": 2},
        {"actual": "meningioma", "predicted": "glioma", "pictures": 1, "share": 0.5, "groups": 1},
        {"actual": "meningioma", "predicted": "notumor", "pictures": 1, "share": 0.5, "groups": 1},
    ]
    groups = by_group(table)
    assert [one["name"] for one in groups] == ["P3", "P1 + P2", "group 1", "group 3"]
    assert groups[0] == {
        "name": "P3", "labels": ["meningioma"], "pictures": 2, "wrong": 2, "accuracy": 0.0, "taken_for": ["glioma", "notumor"],
    }  # fmt: skip

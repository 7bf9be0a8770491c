import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import call_demonstration, set_params

from stages.catalog import CATALOG, CLUSTERS, FOLDS, read_table, write_table
from stages.shortcuts.__main__ import METRICS, main
from stages.shortcuts.features import FEATURES, describe

CLASSES = ["glioma", "meningioma", "notumor"]


@pytest.fixture
def project(small_project) -> Path:
    """300 pictures of 100 patients in two folds whose width tells their class; their pixels are noise."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(100), 3)
    label = np.array(CLASSES)[np.where(patient // 5 % 5 < 3, 0, np.where(patient // 5 % 5 < 4, 1, 2))]
    table = pd.DataFrame({"image_id": [f"set/{k:03}.png" for k in range(300)], "source": "set", "label": label})
    table = table.assign(width=200 + 50 * table.label.map(CLASSES.index), height=rng.integers(200, 300, 300), mode="L", format="PNG")
    write_table(table, CATALOG)
    np.save(CATALOG.with_name("thumbnails.npy"), rng.integers(0, 256, (300, 64, 64), dtype=np.uint8))
    CLUSTERS.parent.mkdir(parents=True)
    write_table(table[["image_id"]].assign(group=patient), CLUSTERS)
    folds = [
        table[["image_id"]].assign(fold=k, role=np.where(patient % 2 == k, "test", np.where(patient % 10 == k + 1, "validation", "train")))
        for k in range(2)
    ]
    write_table(pd.concat(folds), FOLDS)
    set_params(aggregate__resamples=50)
    call_demonstration(False)
    return small_project


def report() -> dict:
    main()
    return json.loads(Path("metrics/shortcuts.json").read_text())


def test_a_class_that_the_width_tells_is_told_by_the_width_only(project):
    found = report()
    probes = found["probes"]
    assert found["demonstration"] is False
    assert (found["pictures"], found["groups"], found["folds"]) == (300, 100, 2)
    assert probes["nothing"]["accuracy"]["mean"] == pytest.approx(0.6) and probes["nothing"]["macro_auroc"]["mean"] == 0.5
    assert probes["file"]["accuracy"]["mean"] == probes["file"]["macro_f1"]["mean"] == 1
    assert probes["all"]["accuracy"]["mean"] > 0.95
    for name in ("intensity", "border", "intensity_and_border"):
        assert probes[name]["accuracy"]["low"] < 0.62 and probes[name]["macro_auroc"]["mean"] < 0.65
    drops = found["importance"]
    assert list(drops)[0] == "width" and drops["width"] > 0.2
    assert set(drops) == set(probes["all"]["features"]) == {name for names in FEATURES.values() for name in names}
    assert all(abs(drops[name]) < 0.05 for name in drops if name != "width")


def test_every_figure_has_its_interval(project):
    for probe in report()["probes"].values():
        for name in METRICS:
            assert list(probe[name]) == ["mean", "std", "low", "high"] and probe[name]["low"] <= probe[name]["mean"] <= probe[name]["high"]


def test_a_class_and_a_word_that_the_training_lacks(project):
    folds, catalog = read_table(FOLDS), read_table(CATALOG)
    rare = catalog.image_id[catalog.label == "notumor"]
    folds = folds[(folds.fold == 0) & ~(folds.image_id.isin(rare) & (folds.role != "test"))]
    write_table(folds, FOLDS)
    write_table(catalog.assign(mode=catalog["mode"].where(~catalog.image_id.isin(rare), "RGB")), CATALOG)
    found = report()
    tested = catalog.set_index("image_id").label[folds.image_id[folds.role == "test"]]
    assert found["folds"] == 1 and 0 < (tested == "notumor").mean() < 0.5
    assert found["probes"]["file"]["accuracy"]["mean"] == pytest.approx((tested != "notumor").mean())


def test_the_same_bytes_again(project):
    report()
    first = Path("metrics/shortcuts.json").read_bytes()
    report()
    assert Path("metrics/shortcuts.json").read_bytes() == first


def test_features_by_hand():
    thumbnails = np.zeros((3, 64, 64), np.uint8)
    thumbnails[0, 8:48, 16:] = 200  # bars: 8 above, 16 below, 16 on the left, none on the right
    thumbnails[2] = 100
    catalog = pd.DataFrame(
        {"image_id": list("abc"), "source": "set", "width": [10, 20, 30], "height": 5, "mode": ["L", "P", "L"], "format": "PNG"}
    )
    table = describe(catalog, thumbnails)
    bright = 40 * 48 / 64**2
    assert table.loc["a", ["bar_top", "bar_bottom", "bar_left", "bar_right"]].tolist() == [8 / 64, 16 / 64, 16 / 64, 0]
    assert table.loc["a", ["mean", "black"]].tolist() == pytest.approx([200 * bright, 1 - bright])
    assert table.loc["a", "border_mean"] == pytest.approx(200 * 40 * 2 / (64**2 - 60**2))
    assert table.loc["b", ["mean", "sd", "black", "border_black", "bar_top", "bar_right"]].tolist() == [0, 0, 1, 1, 1, 1]
    assert table.loc["c", ["mean", "sd", "black", "border_mean", "border_sd", "bar_left"]].tolist() == [100, 0, 0, 100, 0, 0]
    assert table["mode"].tolist() == ["L", "P", "L"] and table.width.tolist() == [10, 20, 30]


def test_the_synthetic_set_gives_its_no_tumour_pictures_away(phantom_project):
    found = json.loads((phantom_project.folder / "metrics/shortcuts.json").read_text())
    assert found["demonstration"] is True
    probes = found["probes"]
    assert probes["file"]["accuracy"]["mean"] > probes["nothing"]["accuracy"]["mean"] + 0.05
    assert probes["all"]["accuracy"]["mean"] < 0.95

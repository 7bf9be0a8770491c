"""A filled audit table, taken in and merged."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic import encode, set_params, smooth, write_archive

from stages.catalog import CATALOG, CLUSTERS, read_table, write_table
from stages.merge import __main__ as merge
from stages.merge.corrections import CORRECTIONS
from tools import corrections


@pytest.fixture
def merged(small_project):
    """Four pictures, the first of them twice, merged and clustered."""
    files = {f"glioma/{n}.png": encode(smooth(n)) for n in range(3)} | {"notumor/3.png": encode(smooth(3))}
    write_archive("set", files | {"glioma/copy.png": encode(smooth(0), "BMP")})
    merge.main()
    ids = read_table(CATALOG).image_id
    write_table(pd.DataFrame({"image_id": ids, "cluster": [0 if "copy" in name else int(name[-5]) for name in ids]}), CLUSTERS)


def take_in(monkeypatch, rows: dict[str, str]) -> None:
    table = pd.DataFrame({"image_id": list(rows), "label": "glioma", "correct_label": list(rows.values())})
    table.to_csv("filled.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["corrections", "filled.csv"])
    corrections.main()


def labels() -> dict[str, str]:
    merge.main()
    catalog = read_table(CATALOG)
    return dict(zip(catalog.image_id, catalog.label, strict=True))


def test_a_corrected_picture_and_its_copies_change_label_and_nothing_else_does(merged, monkeypatch, capsys):
    before = labels()
    take_in(monkeypatch, {"set/glioma/0.png": "notumor", "set/glioma/1.png": "exclude", "set/glioma/2.png": ""})
    assert "2 pictures corrected, 3 files with their copies" in capsys.readouterr().out
    after = labels()
    assert after == {
        "set/glioma/0.png": "notumor",
        "set/glioma/copy.png": "notumor",
        "set/glioma/2.png": before["set/glioma/2.png"],
        "set/notumor/3.png": before["set/notumor/3.png"],
    }


def test_later_corrections_replace_earlier_ones(merged, monkeypatch):
    take_in(monkeypatch, {"set/glioma/0.png": "notumor", "set/glioma/2.png": "notumor"})
    take_in(monkeypatch, {"set/glioma/copy.png": "glioma"})
    assert labels()["set/glioma/0.png"] == "glioma"
    assert labels()["set/glioma/2.png"] == "notumor"
    assert len(read_table(CORRECTIONS)) == 3


def joined(labels: dict[str, str]) -> None:
    """The catalog as data.labels makes it, of a registry with a third label."""
    registry = yaml.safe_load(Path("data/sources.yaml").read_text())
    registry["set"]["folders"]["labels"]["meningioma"] = ["meningioma"]
    Path("data/sources.yaml").write_text(yaml.safe_dump(registry))
    set_params(data__labels=labels)
    merge.main()


def test_under_data_labels_a_correction_is_a_label_of_the_registry(merged, monkeypatch):
    joined({"glioma": "tumor", "meningioma": "tumor", "notumor": "healthy"})
    take_in(monkeypatch, {"set/glioma/0.png": "healthy", "set/glioma/1.png": "meningioma", "set/notumor/3.png": "glioma"})
    assert sorted(read_table(CORRECTIONS).label) == ["glioma", "meningioma", "notumor", "notumor"]
    after = labels()
    assert after["set/glioma/0.png"] == after["set/glioma/copy.png"] == "healthy"
    assert after["set/glioma/1.png"] == after["set/notumor/3.png"] == "tumor"


def test_a_label_that_joins_several_is_answered_with_those(merged, monkeypatch):
    joined({"glioma": "tumor", "meningioma": "tumor"})
    with pytest.raises(SystemExit, match="^correct_label 'tumor' stands for glioma, meningioma in data.labels; write which of them$"):
        take_in(monkeypatch, {"set/notumor/3.png": "tumor"})
    assert not len(read_table(CORRECTIONS))


def test_a_joined_label_that_is_one_of_the_registry_s_too_is_taken_as_that(merged, monkeypatch):
    joined({"meningioma": "glioma"})
    take_in(monkeypatch, {"set/notumor/3.png": "glioma"})
    assert read_table(CORRECTIONS).label.tolist() == ["glioma"]


def test_unknown_pictures_and_labels_are_refused_and_change_nothing(merged, monkeypatch):
    before = Path(CORRECTIONS).read_bytes()
    with pytest.raises(SystemExit, match="set/nowhere.png is not in"):
        take_in(monkeypatch, {"set/nowhere.png": "glioma"})
    with pytest.raises(SystemExit, match="correct_label 'gliom': use one of exclude, glioma, notumor"):
        take_in(monkeypatch, {"set/glioma/0.png": "gliom"})
    assert Path(CORRECTIONS).read_bytes() == before
    Path(CORRECTIONS).write_text(f"sha256,label\n{'0' * 64},gliom\n")
    with pytest.raises(SystemExit, match="gliom is no label"):
        merge.main()

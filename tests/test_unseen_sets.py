"""The documents' sets of which no copy was at hand: archives of the same layout, from a mirror folder to the folds.

And tasks with other labels: tumour against none, over sets that name their classes differently.
"""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from synthetic import ROOT, encode, lay_out_project, set_params, smooth, write_archive

from stages.catalog import CATALOG, FOLDS, read_table
from stages.dedupe.__main__ import main as dedupe
from stages.download.__main__ import main as download
from stages.merge.__main__ import main as merge
from stages.sources import load_source
from stages.split.__main__ import main as split

FORMS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with the real registry."""
    lay_out_project(tmp_path, {})
    shutil.copy(ROOT / "data/sources.yaml", tmp_path / "data/sources.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_MRI_MIRROR", str(tmp_path / "mirror"))


def pictures(members: list[str], seed: int = 0) -> dict[str, bytes]:
    """A picture of its own for each member, encoded as its extension says."""
    return {member: encode(smooth(seed + n, 96, 96), FORMS[Path(member).suffix.lower()]) for n, member in enumerate(members)}


def put_into_mirror(name: str, files: dict[str, bytes]) -> None:
    folder = Path("mirror") / load_source(name).archive.slug
    for member, data in files.items():
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(data)


def folds():
    table = read_table(FOLDS).merge(read_table(CATALOG), on="image_id")
    assert json.loads(Path("metrics/split.json").read_text())["leaks"]["test_pictures"] == 0
    return table


def navoneel(count: int = 12) -> dict[str, bytes]:
    yes = [f"yes/Y{n}.jpg" for n in range(1, count)] + ["yes/Y90.JPG", "yes/Y91.jpeg"]
    no = [f"no/{n} no.jpeg" for n in range(1, count)] + ["no/N90.jpg", "no/no 91.png"]
    return pictures(yes + no, seed=1000)


def test_44_classes_named_by_folder(project):
    classes = list(load_source("fernando44c").folders.labels)
    assert len(classes) == 44 and {"Astrocitoma T1", "Astrocitoma T1C+", "_NORMAL T2"} <= set(classes)
    names = [f"{label}/{n:03}.{'jpeg' if n % 2 else 'jpg'}" for label in classes for n in range(6)]
    put_into_mirror("fernando44c", pictures([*names, "Papiloma T1C+/last.webp"]))
    set_params(
        data__sources=["fernando44c"], split__protocol="holdout", split__group_by="none", split__distinct=False,
        split__test_fraction=0.15, split__validation_fraction=0.15 / 0.85,
    )  # fmt: skip
    download("fernando44c")
    merge()
    catalog = read_table(CATALOG)
    assert (catalog.label == catalog.member.str.split("/").str[0]).all(), "the folder is the class, contrast included"
    assert Counter(catalog.label) == dict.fromkeys(classes, 6) | {"Papiloma T1C+": 7}
    assert set(catalog.format) == {"JPEG", "WEBP"}
    dedupe()
    split()
    table = folds()
    assert len(table) == len(catalog)
    for role, share in (("test", 0.15), ("validation", 0.15), ("train", 0.7)):
        part = table[table.role == role]
        assert set(part.label) == set(classes) and abs(len(part) / len(table) - share) < 0.05, role


@pytest.mark.parametrize("distinct", [True, False], ids=["each picture once", "as published"])
@pytest.mark.parametrize("copies", [False, True], ids=["", "whole set a second time in a folder"])
def test_yes_and_no(project, copies, distinct):
    files = navoneel()
    put_into_mirror("navoneel", files | ({f"brain_tumor_dataset/{name}": data for name, data in files.items()} if copies else {}))
    set_params(data__sources=["navoneel"], split__folds=3, split__distinct=distinct, split__group_by="patient" if distinct else "none")
    download("navoneel")
    merge()
    catalog = read_table(CATALOG).set_index("member")
    assert len(catalog) == len(files) * (1 + copies)
    assert {catalog.label[name] for name in files if name.startswith("yes/")} == {"tumor"}
    assert {catalog.label[name] for name in files if name.startswith("no/")} == {"notumor"}
    dedupe()
    split()
    table = folds()
    assert table.image_id.nunique() == table.sha256.nunique() == len(files)
    assert not table.image_id.str.contains("brain_tumor_dataset").any()
    for _, part in table.groupby(["fold", "role"]):
        assert set(part.label) == {"notumor", "tumor"}


def test_yes_and_no_in_that_folder_only(project):
    files = {f"brain_tumor_dataset/{name}": data for name, data in navoneel().items()}
    put_into_mirror("navoneel", files)
    set_params(data__sources=["navoneel"], split__folds=3)
    download("navoneel")
    merge()
    dedupe()
    split()
    assert folds().image_id.nunique() == len(files)


def test_trained_on_one_set_and_tested_on_another_that_only_knows_tumour_or_none(project):
    four = {"glioma_tumor": "tumor", "meningioma_tumor": "tumor", "no_tumor": "notumor", "pituitary_tumor": "tumor"}
    sartaj = pictures([f"{part}/{folder}/{n}.jpg" for part in ("Training", "Testing") for folder in four for n in range(5)])
    write_archive("sartaj", sartaj)
    put_into_mirror("navoneel", navoneel())
    download("navoneel")
    set_params(
        data__sources=["sartaj", "navoneel"], data__labels={"glioma": "tumor", "meningioma": "tumor", "pituitary": "tumor"},
        split__protocol="source", split__train_sources=["sartaj"], split__test_sources=["navoneel"],
    )  # fmt: skip
    merge()
    catalog = read_table(CATALOG)
    own = catalog[catalog.source == "sartaj"]
    assert own.label.tolist() == [four[member.split("/")[1]] for member in own.member]
    assert json.loads(Path("metrics/merge.json").read_text())["labels"] == {"notumor": 10 + 13, "tumor": 30 + 13}
    dedupe()
    split()
    table = folds()
    assert set(table.source[table.role == "test"]) == {"navoneel"} and set(table.source[table.role != "test"]) == {"sartaj"}
    assert set(table.label[table.role == "train"]) == {"notumor", "tumor"}


def test_a_label_that_no_source_has_is_not_renamed(project):
    write_archive("navoneel", navoneel(2))
    set_params(data__sources=["navoneel"], data__labels={"glioma": "tumor"})
    with pytest.raises(SystemExit, match="data.labels: glioma is no label; there are notumor, tumor"):
        merge()

from pathlib import Path

import pytest
import yaml
from synthetic import ROOT

from stages.sources import load_source, load_sources


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """The project's registry, to change: a function that stores it."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()

    def store(change):
        content = yaml.safe_load((ROOT / "data/sources.yaml").read_text())
        change(content)
        Path("data/sources.yaml").write_text(yaml.safe_dump(content))

    return store


def test_the_project_s_registry_is_valid_and_its_sources_know_the_classes_of_their_task():
    sources = load_sources(ROOT / "data/sources.yaml")
    classes = {name: set(source.folders.labels) for name, source in sources.items()}
    assert classes.keys() == {"sartaj", "nickparvar", "crystal-clean", "navoneel", "fernando44c", "phantom"}
    for name in ("sartaj", "nickparvar", "crystal-clean", "phantom"):
        assert classes[name] == {"glioma", "meningioma", "notumor", "pituitary"}
    assert classes["navoneel"] == {"notumor", "tumor"} and len(classes["fernando44c"]) == 44
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(params["data"]["sources"]) <= set(sources)


def test_an_unknown_name_is_one_line_with_the_known_ones(registry):
    registry(lambda content: None)
    with pytest.raises(SystemExit) as exit:
        load_source("sartja")
    assert "'sartja'" in exit.value.code and "nickparvar" in exit.value.code and "\n" not in exit.value.code
    assert load_source("sartaj").archive.slug == "sartajbhuvaji/brain-tumor-classification-mri"


@pytest.mark.parametrize(
    "key, value",
    [
        ("archive.slug", "no-owner"), ("archive.version", "1"), ("archive.url", "http://x"),
        ("folders.labels", ["glioma"]), ("folders.published", {"trian": ["training"]}), ("folders.label", {}),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_key(registry, key, value):
    section, name = key.split(".")
    registry(lambda content: content["sartaj"][section].update({name: value}))
    with pytest.raises(SystemExit) as exit:
        load_sources()
    assert exit.value.code.startswith(f"data/sources.yaml: sartaj.{key}") and "\n" not in exit.value.code


@pytest.mark.parametrize("key", ["licence", "attribution"])
def test_a_source_has_a_licence_and_an_attribution_apart_from_what_its_download_depends_on(registry, key):
    registry(lambda content: content["sartaj"].pop(key))
    with pytest.raises(SystemExit, match=rf"^data/sources.yaml: sartaj.{key}[^\n]+$"):
        load_sources()
    registry(lambda content: content["sartaj"].update({key: "CC0"}) or content["sartaj"]["archive"].update({key: "MIT"}))
    with pytest.raises(SystemExit, match=rf"^data/sources.yaml: sartaj.archive.{key}[^\n]+$"):
        load_sources()


def test_an_entry_of_before_has_them_in_its_archive(registry):
    registry(lambda content: None)
    now = load_sources()["sartaj"]
    registry(lambda content: content["sartaj"]["archive"].update({key: content["sartaj"].pop(key) for key in ("licence", "attribution")}))
    assert load_sources()["sartaj"] == now


@pytest.mark.parametrize("content", ["", "- sartaj", "sartaj: [", "sartaj: 3"])
def test_a_file_that_is_no_registry_is_one_line(registry, content):
    Path("data/sources.yaml").write_text(content)
    with pytest.raises(SystemExit, match="data/sources.yaml: ") as exit:
        load_sources()
    assert "\n" not in exit.value.code


def test_a_missing_registry_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="No such file"):
        load_sources(tmp_path / "sources.yaml")


@pytest.mark.parametrize("alias", ["Tumor", " tumor", "t\u0075mor"])
def test_a_folder_that_means_two_classes_is_one_line(registry, alias):
    labels = {"glioma": ["glioma", "tumor"], "meningioma": [alias]}
    registry(lambda content: content["sartaj"]["folders"].update({"labels": labels}))
    with pytest.raises(SystemExit, match="sartaj.folders: .*means both glioma and meningioma; leave it under one") as exit:
        load_sources()
    assert "\n" not in exit.value.code


@pytest.mark.parametrize("name", ["my set", "a/b", "-m", "", "a;b"])
def test_a_source_s_name_that_no_command_takes_is_one_line(registry, name):
    registry(lambda content: content.update({name: content["sartaj"]}))
    with pytest.raises(SystemExit, match=f"{name!r} is no name for a source") as exit:
        load_sources()
    assert "\n" not in exit.value.code

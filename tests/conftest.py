import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from synthetic import ROOT, lay_out_project, set_params

from stages.download.phantom import phantom_truth
from stages.sources import Phantom

pytest_plugins = ["browser", "exported"]

SPEC = Phantom(patients_per_class=6, seed=0)
# What dedupe calls the planted copies that it has another name for: it tells the first change of several, and all that one cuts alike.
CALLED = {
    "twin": "reencoded",
    "trimmed": "cropped",
    "lopsided": "cropped",
    "trimmed_dimmed": "cropped",
    "lopsided_mirrored": "mirrored",
    "transposed": "turned",
}
STAGES = ("download", "merge", "dedupe", "split", "balance", "preprocess", "leaks", "shortcuts")


@pytest.fixture
def small_project(tmp_path, monkeypatch):
    """An empty project in the working directory, with one source, `set`."""
    folders = {
        "labels": {"glioma": ["glioma"], "notumor": ["notumor", "normal"]},
        "published": {"train": ["training"], "test": ["testing"]},
        "augmented": r"^(.*)_(?:BR|HF)_(\.[A-Za-z]+)$",
    }
    lay_out_project(tmp_path, {"set": folders})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def phantom_project(tmp_path_factory):
    """The synthetic set, small, from download to shortcuts: folder, truth by image_id, and which files of data/ each stage opened to read.

    The truth has a column called: dedupe's name for the kind. The folder is for reading only.
    """
    folder = tmp_path_factory.mktemp("phantom")
    sources = yaml.safe_load((ROOT / "data/sources.yaml").read_text())
    lay_out_project(folder, {"phantom": sources["phantom"]["folders"]})
    sources["phantom"]["archive"]["phantom"] = SPEC.model_dump()
    (folder / "data/sources.yaml").write_text(yaml.safe_dump(sources))

    opened = {stage: set() for stage in STAGES}
    current = []

    def note(event, arguments):
        if current and event == "open" and isinstance(arguments[0], (str, Path)) and str(arguments[1] or "").startswith("r"):
            opened[current[0]].add(str(arguments[0]))

    sys.addaudithook(note)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        set_params(model__image_size=64)
        for stage in STAGES:
            main = importlib.import_module(f"stages.{stage}.__main__").main
            current.append(stage)
            main(*(["phantom"] if stage == "download" else []))
            current.clear()

    truth = phantom_truth(SPEC)
    truth["called"] = truth.kind.replace(CALLED)
    truth["image_id"], truth["original"] = "phantom/" + truth.member, ("phantom/" + truth.original).where(truth.original != "", "")
    return SimpleNamespace(
        folder=folder,
        truth=truth.set_index("image_id"),
        opened={stage: {path for path in paths if path.startswith("data/")} for stage, paths in opened.items()},
    )

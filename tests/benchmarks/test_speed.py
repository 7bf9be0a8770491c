"""The benchmark of speed: a few steps of ours and of the plain loop on phantom pictures, and the tables."""

import importlib
import json
import subprocess
import sys
import zipfile

import pytest
from synthetic import ROOT

from benchmarks.speed import table
from benchmarks.speed.pictures import distinct_pictures
from benchmarks.speed.task import Stopwatch
from harness.markers import with_part

pytestmark = pytest.mark.slow

speed = importlib.import_module("benchmarks.speed.__main__")

ABSENT = "no_such_package"
EPOCHS = 4


@pytest.fixture
def quick(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(speed, "SCRATCH", tmp_path / "speed")
    monkeypatch.setattr(speed, "RECIPE", EPOCHS)


def results_of(training: list[dict], dedupe: list[dict]) -> dict:
    about = {"command": "command", "clock": "wall", "threads": 1, "size": 32, "batch_size": 32, "recipe_epochs": EPOCHS}
    about |= {"pictures": "synthetic pictures", "versions": speed.versions()}
    rows = ([row | {"round": 0} for row in some] for some in (training, dedupe))
    return json.loads(json.dumps(about | dict(zip(("training", "dedupe"), rows, strict=True))))


def test_training_is_measured_and_what_is_not_installed_says_so(quick, phantom_project, monkeypatch):
    monkeypatch.chdir(phantom_project.folder)
    pictures = distinct_pictures()
    assert len(pictures) == (phantom_project.truth.kind == "original").sum() - (phantom_project.truth.kind == "twin").sum()
    monkeypatch.chdir(ROOT)

    cells = [speed.Cell("small", "mobilenetv3_small_050", frozen, 32) for frozen in (True, False)]
    loops = {"ours": "", "random_tensors": "", "plain": "", "fastai_loop": ABSENT}
    rows = list(speed.measure_training(cells, loops, pictures, 32, 1))
    expected = {("ours", True): EPOCHS, ("plain", True): 2, ("ours", False): 2, ("random_tensors", False): 2, ("plain", False): 2}
    assert {(row["loop"], row["frozen"]): len(row["epochs"]) for row in rows if "missing" not in row} == expected
    assert all(0 < lap[0] < 600 and 0 < lap[1] < 600 for row in rows if "missing" not in row for lap in [row["setup"], *row["epochs"]])

    lines = table.training(results_of(rows, [])).splitlines()
    assert len(lines) == 2 + len(rows) == 9
    assert sum(f"| fastai | {ABSENT} is not installed |" in line for line in lines) == 2
    assert "| small: mobilenetv3_small_050 | classifier | ours |" in lines[2] and "| measured |" in lines[2]
    assert f"start + seconds of an epoch x {EPOCHS}" in lines[3]


def test_our_dedupe_finds_all_planted_pairs_and_no_others(quick, phantom_project):
    truth = phantom_project.truth.rename(lambda image_id: image_id.removeprefix("phantom/"))
    truth["original"] = truth.original.str.removeprefix("phantom/")
    truth = truth[truth.kind != "corrupt"]
    with zipfile.ZipFile(phantom_project.folder / "data/raw/phantom.zip") as archive:
        members = {name: archive.read(name) for name in truth.index}
    rows = list(speed.measure_dedupe({"ours": "", "imagededup": ABSENT}, members, truth, 1))

    copies = (truth.kind != "original").sum()
    assert rows[0]["true"] == rows[0]["found"] == rows[0]["both"] == copies > 10
    assert rows[0]["turned"] == rows[0]["turned_found"] == truth.kind.isin(["mirrored", "flipped"]).sum() > 2
    assert rows[1]["missing"] == ABSENT
    mine, other = table.dedupe(results_of([], rows)).splitlines()[2:]
    assert mine.startswith(f"| ours | 1.000 ({copies} of {copies}) |")
    assert other == f"| imagededup | {ABSENT} is not installed | | | | |"


def test_ratios_are_medians_over_rounds_of_what_follows_the_first_epoch():
    def row(loop, number, setup, *epochs):
        laps = {"setup": [setup, 0.5 * setup], "epochs": [[epoch, 0.5 * epoch] for epoch in epochs]}
        return {"name": "light", "backbone": "net", "frozen": False, "pictures": 100, "loop": loop, "round": number} | laps

    rounds = [[row("ours", 0, 1, 9, 2), row("plain", 0, 3, 9, 4)], [row("ours", 1, 1, 9, 2), row("plain", 1, 3, 9, 10)]]
    rounds.append([row("ours", 2, 1, 9, 4), row("plain", 2, 3, 9, 12)])
    results = results_of([], []) | {"training": [row for some in rounds for row in some]}
    mine, plain = table.training(results).splitlines()[2:]
    how = f"start + seconds of an epoch x {EPOCHS}"
    assert mine == f"| light: net | whole | ours | 50.0 |  | 16.0 | {how} |  |"  # 1 + 9 + 2 + 2 x 2
    # speed: 100 / 10; ratios 2, 5 and 3; a recipe of 24, 42 and 48 s
    assert plain == f"| light: net | whole | ImageFolder, Pillow, DataLoader | 10.0 | 3.00 x | 42.0 | {how} | 2.18 x |"
    assert "| 20.0 |" in table.training(results | {"clock": "cpu"}).splitlines()[3]


def test_a_stopwatch_counts_its_workers():
    watch = Stopwatch()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    watch.lap()
    ((passed, used),) = watch.laps()
    assert passed > 0.3 and used > 0.3


def test_the_document_shows_the_committed_measurements(monkeypatch):
    monkeypatch.chdir(ROOT)
    document = table.DOCUMENT.read_text()
    for name, text in table.tables(json.loads(table.RESULTS.read_text())).items():
        assert with_part(document, name, text) == document, "run `python -m benchmarks.speed.table`"

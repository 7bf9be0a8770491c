"""The page against the files it is made from."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from page import Page
from phantom_run import CLASSES, write_history, write_predictions
from PIL import Image
from synthetic import ROOT

from stages.catalog import CLUSTERS, INDEX, PIXELS, PREDICTIONS, read_table
from stages.params import Params, load_params
from stages.report.__main__ import REPORT, SECTIONS
from stages.report.__main__ import main as report
from stages.report.sections import errors, pairs
from stages.report.sections.run import knobs


def read(folder: Path = Path()) -> tuple[str, Page]:
    html = (folder / REPORT).read_text(encoding="utf-8")
    return html, Page(html)


def test_the_figures_are_those_of_the_summary(reported):
    _, page = read(reported)
    summary = json.loads((reported / "metrics/summary.json").read_text())
    f1 = summary["macro_f1"]
    assert f"Macro-F1 {f1['mean']:.3f}" in page.text[""] and f"{f1['low']:.3f} to {f1['high']:.3f}" in page.text[""]
    (row,) = [row for row in page.rows["summary"] if row[0] == "Macro-F1"]
    assert row[1:4] == [f"{f1['mean']:.3f}", f"{f1['std']:.3f}", f"{f1['low']:.3f} to {f1['high']:.3f}"]
    for name, scores in summary["classes"].items():
        (row,) = [row for row in page.rows["classes"] if row[0] == name]
        assert [cell[:5] for cell in row[2:]] == [f"{scores[m]['mean']:.3f}" for m in ("precision", "recall", "f1", "specificity")]
    assert len(page.rows["folds"]) == 1 + summary["folds"]


def test_the_confusion_matrix_counts_the_predictions(reported):
    _, page = read(reported)
    table = read_table(reported / PREDICTIONS)
    for actual, row in zip(CLASSES, page.rows["confusion"][1:], strict=True):
        assert row[0] == actual
        for predicted, cell in zip(CLASSES, row[1:], strict=True):
            count = int(((table.label == actual) & (table.predicted == predicted)).sum())
            share = f"{count / (table.label == actual).sum():.1%}".replace("%", "\u00a0%")
            assert cell == (f"{count}{share}" if count else "0")


def test_slices_and_groups_are_shown_worst_first(reported):
    _, page = read(reported)
    found = json.loads((reported / "metrics/slices.json").read_text())
    assert [row[:2] for row in page.rows["slices"][1:]] == [[one["slice"], one["by"]] for one in found["slices"]]
    assert [row[0] for row in page.rows["groups"][1:]] == [one["name"] for one in found["groups"]][:25]


def cards(html: str, section: str) -> list[tuple[str, str, str]]:
    """alt text, image and caption of each card of a section."""
    part = html.split(f'<section id="{section}"')[1].split("</section>")[0]
    return re.findall(r'<img src="([^"]+)" alt="([^"]+)".*?class="note file">([^<]+)<', part, re.DOTALL)


def test_the_gallery_shows_what_was_misclassified_with_most_confidence(reported):
    html, _ = read(reported)
    table = read_table(reported / PREDICTIONS)
    table["probability"] = table[[f"p_{name}" for name in CLASSES]].max(axis=1)
    wrong = table[table.label != table.predicted].sort_values(["probability", "image_id"], ascending=[False, True]).head(errors.SHOWN)
    shown = cards(html, "errors")
    assert [image_id for _, _, image_id in shown] == wrong.image_id.tolist() and len(shown) > 5
    for (_, alt, _), row in zip(shown, wrong.itertuples(), strict=True):
        assert f"{row.label}, taken for {row.predicted}" in alt


def test_a_card_shows_the_picture_that_the_network_got(reported):
    html, _ = read(reported)
    uri, _, image_id = cards(html, "errors")[0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,")))).convert("L"), dtype=float)
    row = read_table(reported / INDEX).image_id.tolist().index(image_id)
    assert np.abs(shown - np.load(reported / PIXELS, mmap_mode="r")[row]).mean() < 6


def test_examples_of_a_pair_come_from_as_many_groups_as_there_are(reported):
    html, _ = read(reported)
    group = read_table(reported / CLUSTERS).set_index("image_id").group
    found = json.loads((reported / "metrics/slices.json").read_text())["confusions"][: pairs.PAIRS]
    shown = [image_id for _, _, image_id in cards(html, "pairs")]
    for pair in found:
        mine, shown = shown[: min(pair["pictures"], pairs.EXAMPLES)], shown[min(pair["pictures"], pairs.EXAMPLES) :]
        assert group[mine].nunique() == min(pair["groups"], pairs.EXAMPLES)
    assert shown == []


def test_it_needs_no_other_file_and_no_network(reported):
    html, page = read(reported)
    for attributes in page.of("img", "script", "link", "iframe", "source", "video", "use", "image"):
        for name in ("src", "href", "srcset", "xlink:href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"@import|url\(", html)
    (policy,) = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy


def test_it_has_the_structure_that_a_screen_reader_walks(reported):
    _, page = read(reported)
    names = [name for name, _ in page.tags]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert names.count("h1") == names.count("main") == names.count("header") == names.count("nav") == 1
    assert len(ids) == len(set(ids))
    assert page.of("html") == [{"lang": "en"}]
    for attributes in page.of("a"):
        assert attributes["href"].removeprefix("#") in ids
    for attributes in page.of("section", "svg"):
        if "aria-labelledby" in attributes:
            assert set(attributes["aria-labelledby"].split()) <= set(ids)
    assert len(page.of("section")) == len(SECTIONS)
    images = page.of("img")
    assert images and all(len(image["alt"]) > 20 and image["width"] and image["height"] for image in images)
    charts = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(charts) == 7 == names.count("desc")
    assert names.count("table") == names.count("caption")


def test_it_says_what_was_run(reported):
    _, page = read(reported)
    told = page.text["run"]
    for key, value, _ in knobs(load_params(reported / "params.yaml")):
        assert [key, value] in [row[:2] for row in page.rows["run"]]
    assert hashlib.md5((reported / PREDICTIONS).read_bytes()).hexdigest() in told
    record = json.loads((reported / "data/raw/phantom.json").read_text())
    assert record["sha256"] in told and record["attribution"] in told
    weights = json.loads((reported / "data/weights/weights.json").read_text())
    assert weights["sha256"] in told and str(reported) not in "".join(page.text.values())


def test_it_is_tracked_with_every_param_that_it_shows():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert stages["report"]["params"] == [*Params.model_fields, {"data/sources.yaml": None}]


def test_the_same_bytes_in_another_process(run):
    before = REPORT.read_bytes()
    REPORT.unlink()
    subprocess.run(
        [sys.executable, "-m", "stages.report"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    assert REPORT.read_bytes() == before


def test_synthetic_pictures_are_called_a_demonstration_and_others_are_not(run):
    assert "not a result" in read()[1].text[""] and "<title>Demonstration: " in read()[0]
    path = Path("metrics/summary.json")
    path.write_text(path.read_text().replace('"demonstration": true', '"demonstration": false'))
    report()
    assert "not a result" not in read()[1].text[""] and "Demonstration" not in read()[0]


def test_what_the_files_say_is_text_and_never_markup(run):
    path = Path("data/raw")
    records = {name.name: name.read_text() for name in path.iterdir() if name.suffix == ".json"}
    path.unlink()
    path.mkdir()
    for name, text in records.items():
        (path / name).write_text(json.dumps(json.loads(text) | {"title": "<script>alert(1)</script> & Sons"}))
    report()
    html, page = read()
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in html
    assert len(page.of("script")) == 1


def test_a_model_without_errors_has_a_page_too(run):
    write_predictions(right=1)
    report()
    html, page = read()
    assert [image.get("class") for image in page.of("img")] == ["sheet", *[None] * 8], (
        "the examples of leaks, and two right ones of each class"
    )
    for section in ("groups", "pairs", "errors"):
        assert "No test picture is misclassified" in page.text[section]


def test_one_epoch_one_fold_and_figures_without_a_definition(run):
    write_history(epochs=1, folds=1)
    summary = json.loads(Path("metrics/summary.json").read_text())
    summary["classes"]["glioma"]["precision"] = dict.fromkeys(("mean", "std", "low", "high"))
    Path("metrics/summary.json").write_text(json.dumps(summary))
    report()
    html, page = read()
    (row,) = [row for row in page.rows["classes"] if row[0] == "glioma"]
    assert row[2].startswith("undefined")
    assert "nan" not in "".join(re.findall(r'(?:points|cx|cy|x|y|d)="([^"]*)"', html))


def test_several_seeds_are_shown_together_and_alone(run):
    write_history(epochs=2, folds=2, seeds=3)
    write_predictions(right=0.8, seeds=3)
    report()
    _, page = read()
    figure = json.loads(Path("metrics/summary.json").read_text())["macro_f1"]
    (row,) = [row for row in page.rows["summary"] if row[0] == "Macro-F1"]
    assert row[4:6] == [f"{figure['seed_mean']:.3f}", f"{figure['seed_std']:.3f}"] == ["0.790", "0.010"]
    assert [row[:2] for row in page.rows["folds"][-3:]] == [["seed 0", "0.800"], ["seed 1", "0.790"], ["seed 2", "0.780"]]
    assert "fold 1, seed 2 epoch 2" in page.text["learning"]


def test_it_says_which_temperature_was_taken_and_why(run):
    path = Path("metrics/calibration.json")
    calibration = json.loads(path.read_text())
    for temperature, after, said in (
        (1.378, 0.1, "One temperature for all folds, 1.38, fitted on validation pictures alone: cross-validated by group it takes their cross-entropy from 0.2000 to 0.1000 (standard error of the difference 0.0100)."),
        (1.0, 0.3, "No temperature: that takes a gain of two standard errors, and one that is fitted on validation pictures, cross-validated by group, takes their cross-entropy from 0.2000 to 0.3000 (standard error of the difference 0.0100)."),
        (1.0, None, "No temperature: there are too few groups of validation pictures to check one."),
    ):  # fmt: skip
        found = {"temperature": temperature, "validation_cross_entropy": {"before": 0.2, "after": after, "standard_error": 0.01}}
        path.write_text(json.dumps(calibration | found))
        report()
        assert said in read()[1].text["calibration"]

"""Predictions as a user asks for them, from an exported package."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from synthetic import ROOT, encode

from stages.calibrate import temperature
from stages.catalog import PREDICTIONS, read_table
from stages.predict import __main__ as command
from stages.predict import package, predictor
from stages.predict.inputs import read_all
from stages.predict.likeness import is_coloured
from stages.predict.predictor import predict


def run(monkeypatch, capsys, *arguments) -> tuple[str, int]:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        command.main()
    return capsys.readouterr().out, end.value.code


def picture(row: int = 0) -> tuple[str, bytes]:
    """image_id and bytes of a test picture of the synthetic set."""
    image_id = read_table(PREDICTIONS).image_id[row]
    with zipfile.ZipFile("data/raw/phantom.zip") as archive:
        return image_id, archive.read(image_id.removeprefix("phantom/"))


def test_the_ensemble_is_the_mean_of_the_calibrated_folds(project, tmp_path):
    table = read_table(PREDICTIONS)
    image_id, content = picture()
    # Random networks get no temperature: this package has one.
    folder = shutil.copytree(package.PACKAGE, tmp_path / "export")
    about = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps(about | {"temperature": 0.2}))
    loaded = package.load(folder)
    row = next(predict(loaded, [(image_id, content)]))
    own = table[table.image_id == image_id].iloc[0]
    names = [f"p_{name}" for name in project.classes]
    # One fold's share is what evaluate predicted, its seeds together, and calibrate scaled; the other one follows from the networks of
    # that fold alone.
    first = temperature.apply(own[names].to_numpy(float)[None], 0.2)[0]
    network = loaded.network
    other = 1 - int(own.fold)
    network.models, network.folds = network.models[2 * other : 2 * other + 2], 1
    second = next(predict(loaded, [(image_id, content)]))
    expected = (first + [second[name] for name in names]) / 2
    assert [row[name] for name in names] == pytest.approx(expected, abs=2e-4)
    assert row["class"] == project.classes[int(np.argmax(expected))]


def test_planes_are_those_of_the_truth(project):
    loaded = package.load(package.PACKAGE)
    table = project.truth[(project.truth.original == "") & (project.truth.plane != "")].head(60)
    with zipfile.ZipFile("data/raw/phantom.zip") as archive:
        rows = list(predict(loaded, ((name, archive.read(name.removeprefix("phantom/"))) for name in table.index)))
    good = pd.DataFrame(rows).set_index("name")
    good = good[good.error == ""]
    assert (good.plane == table.plane.reindex(good.index)).mean() > 0.9
    assert (good.warning == predictor.SYNTHETIC).mean() > 0.9


def test_what_is_no_brain_picture_is_warned_of(project):
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 255, (200, 200), dtype=np.uint8))
    colours = Image.fromarray(random.integers(0, 255, (20, 20, 3), dtype=np.uint8)).resize((200, 200))
    tiny = Image.open(io.BytesIO(picture()[1])).convert("L").resize((40, 40))
    rows = list(predict(package.load(package.PACKAGE), [("a", encode(noise)), ("b", encode(colours)), ("c", encode(tiny))]))
    assert rows[0]["warning"] == f"{predictor.SYNTHETIC}; unlike the training pictures"
    assert "colour picture" in rows[1]["warning"]
    assert "smaller than 64 pixels" in rows[2]["warning"]


def test_networks_that_saw_real_images_are_no_demonstration(project, tmp_path):
    folder = shutil.copytree(package.PACKAGE, tmp_path / "export")
    about = json.loads((folder / "package.json").read_text())
    said = about.pop("demonstration")
    assert said is True
    for facts in (about | {"demonstration": False}, about):  # packages of before do not say
        (folder / "package.json").write_text(json.dumps(facts))
        (row,) = predict(package.load(folder), [picture()])
        assert "demonstration" not in row["warning"]


def test_sets_hold_what_reaches_the_threshold(project, capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(package.PACKAGE, tmp_path / "export")
    about = json.loads((folder / "package.json").read_text())
    name, content = picture()
    (tmp_path / "picture.png").write_bytes(content)
    for thresholds, size in (({"0.95": 0.0}, len(project.classes)), ({"0.95": 1.0}, 1), ({}, None)):
        (folder / "package.json").write_text(json.dumps(about | {"thresholds": thresholds}))
        (row,) = predict(package.load(folder), [(name, content)])
        assert ("set_95" in row) == bool(thresholds)
        assert size is None or len(row["set_95"].split("|")) == size and row["class"] in row["set_95"].split("|")
        printed, _ = run(monkeypatch, capsys, tmp_path / "picture.png", "--package", folder)
        assert ("; 95 % set: " in printed) == (size == len(project.classes))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "I;16"])
def test_grey_pictures_in_any_mode_are_not_coloured(mode):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8))
    assert not is_coloured(grey.convert(mode))


def test_a_file_is_reduced_before_the_next_is_read(monkeypatch):
    """A file may take a quarter of a gigabyte, and so may each of a small zip."""
    happened = []

    def files():
        for name in "abc":
            happened.append(f"{name} read")
            yield name, b"no image"

    monkeypatch.setattr(predictor, "_open", lambda name, *_: happened.append(f"{name} reduced") or {"name": name, "error": "no image"})
    assert len(list(predictor.predict(None, files()))) == 3
    assert happened == [f"{name} {what}" for name in "abc" for what in ("read", "reduced")]


def test_folders_zips_and_damaged_files_are_lines_of_their_own(project, monkeypatch, capsys, tmp_path):
    _, content = picture()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/good.png").write_bytes(content)
    (tmp_path / "folder/cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "folder/.hidden").write_bytes(b"x")
    (tmp_path / "folder/.ipynb_checkpoints").mkdir()
    (tmp_path / "folder/.ipynb_checkpoints/good-checkpoint.png").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("in/good.png", content)
        archive.writestr("in/text.jpg", "no image")
        archive.writestr("__MACOSX/in/good.png", "x")
    nowhere = tmp_path / "nowhere.png"
    out, code = run(monkeypatch, capsys, tmp_path / "folder", tmp_path / "set.zip", nowhere, "--format", "csv")
    rows = {row["name"].removeprefix(str(tmp_path)): row for row in csv.DictReader(io.StringIO(out))}
    assert code == 0
    assert list(rows) == ["/folder/cut.png", "/folder/good.png", "/set.zip/in/good.png", "/set.zip/in/text.jpg", "/nowhere.png"]
    assert rows["/folder/cut.png"]["error"].startswith("damaged") and rows["/folder/cut.png"]["class"] == ""
    assert rows["/set.zip/in/text.jpg"]["error"] == "not an image"
    assert rows["/nowhere.png"]["error"] == "No such file or directory"
    assert rows["/folder/good.png"]["class"] in project.classes and rows["/folder/good.png"]["error"] == ""


def test_nothing_but_errors_is_a_failure(project, monkeypatch, capsys, tmp_path):
    out, code = run(monkeypatch, capsys, tmp_path / "nowhere.png", "--format", "json")
    assert code == 1
    assert json.loads(out) == {"name": str(tmp_path / "nowhere.png"), "error": "No such file or directory"}


def test_a_table_for_the_eye(project, monkeypatch, capsys, tmp_path):
    (tmp_path / "a.png").write_bytes(picture()[1])
    out, code = run(monkeypatch, capsys, tmp_path / "a.png")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'a.png'}: ") and out.count("\n") == 1
    assert "WARNING: demonstration: these networks were trained on synthetic images" in out
    assert any(name in out for name in project.classes)


def test_gradcam_shows_where_each_picture_was_looked_at(project, monkeypatch, capsys, tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(2):
        (tmp_path / f"in/a b&{n}.png").write_bytes(picture(n)[1])
    (tmp_path / "in/broken.png").write_bytes(b"x")
    out, code = run(monkeypatch, capsys, tmp_path / "in", "--gradcam", tmp_path / "seen", "--format", "json")
    rows = [json.loads(line) for line in out.splitlines()]
    files = [row["gradcam"] for row in rows if not row["error"]]
    assert [Path(file).name for file in files] == ["00001-a_b_0.webp", "00002-a_b_1.webp"]
    for file in files:
        with Image.open(file) as image:
            seen = np.asarray(image.convert("RGB"), int)
        assert seen.shape == (64, 64, 3)
        assert (seen.max(-1) - seen.min(-1)).max() > 60, "the attention is in colour"


def test_order_is_kept_over_batches(project):
    _, content = picture()
    pictures = [(str(n), content if n % 7 else "broken") for n in range(70)]
    rows = list(predict(package.load(package.PACKAGE), iter(pictures)))
    assert [row["name"] for row in rows] == [name for name, _ in pictures]
    assert [row["error"] for row in rows] == ["" if n % 7 else "broken" for n in range(70)]


def test_a_missing_package_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="make export"):
        package.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"folds": [0], "temperature": 1, "seeds": [0]}'], ids=repr)
def test_a_damaged_package_is_one_line(tmp_path, content):
    (tmp_path / "package.json").write_bytes(content)
    save_file({"a": torch.zeros(1)}, tmp_path / "likeness.safetensors")
    with pytest.raises(SystemExit, match="no model package, or damaged") as exit:
        package.load(tmp_path)
    assert "\n" not in exit.value.code


@pytest.mark.parametrize(
    ("local", "central", "value", "reason"),
    [(6, 8, 1, "encrypted"), (8, 10, 9, r"compressed in a way that is not read \(method 9\)")],
)
def test_zips_that_are_not_read_say_why(tmp_path, local, central, value, reason):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    data = bytearray((tmp_path / "set.zip").read_bytes())
    data[local] = data[data.index(b"PK\1\2") + central] = value
    (tmp_path / "set.zip").write_bytes(data)
    [(_, content)] = read_all([tmp_path / "set.zip"])
    assert re.match(reason, content)


def test_links_to_folders_are_followed_unless_they_run_in_a_circle(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").write_bytes(b"x")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    assert list(read_all([tmp_path / "in"])) == [(str(tmp_path / "in/link/a.png"), b"x")]


def predict_in(folder: Path, *arguments, shell: str = "", **environment) -> subprocess.CompletedProcess:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "stages.predict", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    command = ["sh", "-c", f"{shlex.join(command)} {shell}"] if shell else command
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "utf-8:strict"}, {"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
)
def test_names_that_the_output_has_no_letters_for(project, tmp_path, form, environment):
    for name in (b"glio\xe9.png", "\u8133.png".encode(), b"zz.png"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(picture()[1])
    ended = predict_in(project.folder, tmp_path, "--format", form, **environment)
    assert ended.returncode == 0 and b"Traceback" not in ended.stderr
    assert ended.stdout.count(b".png") == 3 and b"zz.png" in ended.stdout


def test_a_reader_that_goes_ends_it_quietly(project, tmp_path):
    (tmp_path / "a.png").write_bytes(picture()[1])
    ended = predict_in(project.folder, *[tmp_path / "a.png"] * 2, shell="| head -c 0")
    assert ended.stderr == b""


def test_a_folder_without_files_and_a_file_for_a_folder_are_said(project, monkeypatch, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, capsys, tmp_path / "empty") == ("", f"no files in {tmp_path / 'empty'}")
    (tmp_path / "a.png").write_bytes(b"x")
    for taken in (tmp_path / "a.png", tmp_path / "a.png/seen"):
        out, code = run(monkeypatch, capsys, tmp_path / "a.png", "--gradcam", taken)
        assert (out, code) == ("", f"--gradcam: {taken} is a file, and has to be a folder")


def test_a_blank_picture_is_warned_of(project):
    rows = list(predict(package.load(package.PACKAGE), [("a", encode(Image.new("L", (90, 90), 7)))]))
    assert "blank" in rows[0]["warning"]


def test_a_damaged_zip_member_is_an_error(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"x" * 10000)
    data = bytearray(path.read_bytes())
    data[data.index(b"a.png") + 8] ^= 0xFF  # within the compressed data
    Path(path).write_bytes(data)
    [(name, content)] = read_all([path])
    assert name.endswith("set.zip/a.png") and isinstance(content, str)

"""The audit of any folder: what it finds, what it writes, what it refuses, and what it moves."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image, ImageOps
from synthetic import ROOT, encode, smooth

from stages.download.phantom import phantom_members, phantom_truth
from stages.sources import Phantom
from tools.audit.__main__ import main

SPEC = Phantom(patients_per_class=6, seed=0)


def audit(*arguments: str | Path) -> int:
    """Run the command; its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["audit", *map(str, arguments)])
        main()
    return int(end.value.code or 0)


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def state(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def read(output: Path) -> tuple[dict, pd.DataFrame]:
    found = json.loads((output / "audit.json").read_text(encoding="utf-8"))
    return found, pd.read_csv(output / "images.csv", keep_default_na=False).set_index("path")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """The audit of the synthetic set, a folder of Training and Testing with all kinds of copies."""
    members = phantom_members(SPEC)
    del members["annotations.csv"]
    folder, output = put(tmp_path_factory.mktemp("set"), members), tmp_path_factory.mktemp("output")
    before = state(folder)
    status = audit(folder, "--output", output)
    found, images = read(output)
    truth = phantom_truth(SPEC).set_index("member")
    truth["slice"] = truth.original.where(truth.original != "", truth.index.to_series())
    return SimpleNamespace(folder=folder, before=before, output=output, status=status, found=found, images=images, truth=truth)


def test_copies_of_every_kind_are_found_and_nothing_else(phantom):
    good = phantom.truth[phantom.truth.kind != "corrupt"]
    assert set(phantom.images.index) == set(good.index)
    assert phantom.found["distinct"] == phantom.images.cluster.nunique() == good.slice.nunique()
    assert (phantom.images.cluster.groupby(good.slice).nunique() == 1).all()
    assert phantom.images.kept.sum() == good.slice.nunique()
    for kind in ("mirrored", "flipped", "resized", "squashed", "exact"):
        assert phantom.found["copies"][kind] >= 1, kind
    copies = phantom.images[~phantom.images.kept]
    assert (good.slice[copies.copy_of].array == good.slice[copies.index].array).all()


def test_test_images_that_are_in_training_too(phantom):
    good = phantom.truth[phantom.truth.kind != "corrupt"]
    test = good[good.index.str.startswith("Testing/")]
    leaked = test.slice.isin(good.slice[good.index.str.startswith("Training/")]).sum()
    (leak,) = phantom.found["leaks"]
    assert (leak["side"], leak["other"], leak["images"], leak["copies"]) == ("test", "train", len(test), leaked) and leaked
    assert sum(leak["kinds"].values()) == leaked
    assert phantom.status == 1


def test_one_image_under_two_classes(phantom):
    twins = phantom.truth[phantom.truth.kind == "twin"]
    assert phantom.found["conflicts"] == len(twins) > 0
    assert phantom.images.conflict[twins.index].all() and phantom.images.conflict[twins.original].all()


def test_a_damaged_file_is_named_with_its_reason(phantom):
    (damaged,) = phantom.found["unreadable"]
    assert damaged["path"] == phantom.truth.index[phantom.truth.kind == "corrupt"].item()
    assert "truncated" in damaged["reason"]


def test_the_folder_is_only_read_and_no_scratch_is_left(phantom):
    assert state(phantom.folder) == phantom.before
    assert {path.name for path in phantom.output.iterdir()} == {"audit.html", "audit.json", "images.csv"}


def test_the_page_needs_no_other_file(phantom):
    page = (phantom.output / "audit.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/webp;base64,') == page.count("<img ") > 10
    assert "http" not in page.replace("http-equiv", "")
    twin = phantom.truth.index[phantom.truth.kind == "twin"][0]
    assert twin in page


def test_clean_images_have_status_0(tmp_path, capsys):
    images = {f"{label}/{n}.png": encode(smooth(10 * n + len(label), 96, 96)) for label in ("cat", "horse") for n in range(3)}
    assert audit(put(tmp_path / "set", images), "--output", tmp_path / "out") == 0
    found, table = read(tmp_path / "out")
    assert found["images"] == found["distinct"] == 6 and set(table["class"]) == {"cat", "horse"} and not found["leaks"]
    assert "images: 6, distinct: 6; copies: none" in capsys.readouterr().out


def test_two_folders_are_two_sides(tmp_path):
    image = smooth(1, 96, 96)
    train = put(tmp_path / "a/train", {"x/1.png": encode(image), "y/2.png": encode(smooth(2, 96, 96))})
    test = put(tmp_path / "b/test", {"x/3.png": encode(ImageOps.mirror(image)), "y/4.png": encode(smooth(3, 96, 96))})
    assert audit(test, train, "--output", tmp_path / "out") == 1
    found, table = read(tmp_path / "out")
    (leak,) = found["leaks"]
    assert (leak["side"], leak["other"], leak["copies"], leak["share"]) == ("b/test", "a/train", 1, 0.5)
    assert leak["kinds"] == {"mirrored": 1} and leak["exact"] == 0
    assert table.side["a/train/x/1.png"] == "a/train"


def test_sets_that_name_a_class_differently_do_not_contradict_each_other(tmp_path):
    one, two = encode(smooth(1, 96, 96)), encode(smooth(2, 96, 96))
    a = put(tmp_path / "a", {"glioma/1.png": one, "none/2.png": two})
    b = put(tmp_path / "b", {"glioma_tumor/1.png": one, "none/2.png": two})
    audit(a, b, "--output", tmp_path / "out")
    assert read(tmp_path / "out")[0]["conflicts"] == 0
    put(b, {"glioma/3.png": two})
    audit(a, b, "--output", tmp_path / "out")
    assert read(tmp_path / "out")[0]["conflicts"] == 1


def test_sizes_that_tell_the_class(tmp_path):
    images = {f"big/{n}.png": encode(smooth(n, 120, 120)) for n in range(12)}
    images |= {f"small/{n}.png": encode(smooth(100 + n, 90, 90).convert("RGB")) for n in range(12)}
    audit(put(tmp_path / "set", images), "--output", tmp_path / "out")
    sizes = read(tmp_path / "out")[0]["sizes"]
    assert sizes["trees"]["accuracy"] == 1 and sizes["trees"]["most_frequent"] == 0.5
    assert {(row["size"], row["mode"], row["label"]) for row in sizes["telling"]} == {
        ("120 x 120", "L", "big"),
        ("90 x 90", "RGB", "small"),
    }


def test_names_that_are_odd_and_files_that_are_no_images(tmp_path):
    folder = put(tmp_path / "mein Satz", {"größe 1/a b.png": encode(smooth(1, 96, 96)), 'x"<b>,/1.png': encode(smooth(2, 96, 96))})
    name = os.fsencode(folder) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(encode(smooth(1, 96, 96)))
    put(folder, dict.fromkeys((".DS_Store", "._a b.png", "Thumbs.db", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "notes.txt"), b"x"))
    put(folder, {"photo": encode(smooth(3, 96, 96)), "empty.jpg": b"", "page.jpg": b"<html>404</html>", "volume.png": b"\x1f\x8bx"})
    (folder / "gone.png").symlink_to("nowhere.png")
    assert audit(folder, "--output", tmp_path / "out") == 1
    found, table = read(tmp_path / "out")
    assert set(table.index) == {"größe 1/a b.png", 'x"<b>,/1.png', r"caf\xe9.png", "photo"}
    assert table.cluster[r"caf\xe9.png"] == table.cluster["größe 1/a b.png"]
    assert {row["path"]: row["reason"] for row in found["unreadable"]} == {
        "empty.jpg": "not an image: empty",
        "gone.png": "broken link",
        "page.jpg": "not an image: a web page",
        "volume.png": "not an image: gzip-compressed, perhaps NIfTI",
    }
    surplus = {row["path"] for row in found["surplus"]}
    assert surplus == {".DS_Store", "._a b.png", "Thumbs.db", ".ipynb_checkpoints", "__MACOSX", "notes.txt"}
    page = (tmp_path / "out/audit.html").read_text(encoding="utf-8")
    assert r"caf\xe9.png" in page and "x&#34;&lt;b&gt;" in page


def test_moving_lists_first_then_moves_and_overwrites_nothing(tmp_path, capsys):
    image, other = smooth(1, 96, 96), smooth(2, 96, 96)
    images = {"a/1.png": encode(image), "a/copy.png": encode(image.resize((80, 80))), "a/2.png": encode(other), "b/2.png": encode(other)}
    folder, moved = put(tmp_path / "set", images), tmp_path / "moved"
    before = state(folder)
    command = (folder, "--output", tmp_path / "out", "--move", moved)
    audit(*command)
    assert f"{folder / 'a/copy.png'} -> {moved / 'a/copy.png'}" in capsys.readouterr().out
    assert state(folder) == before and not moved.exists()

    put(moved, {"a/copy.png": b"mine"})
    assert audit(*command, "--yes") == 2
    assert f"{moved / 'a/copy.png'} is there already" in capsys.readouterr().err
    assert state(folder) == before and (moved / "a/copy.png").read_bytes() == b"mine"

    (moved / "a/copy.png").unlink()
    audit(*command, "--yes")
    assert (moved / "a/copy.png").read_bytes() == images["a/copy.png"]
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert left == {"a/1.png", "a/2.png", "b/2.png"}, "which label of 2.png is right only a person can tell"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent: no such folder"),
        (["set/1.png"], "set/1.png: not a folder"),
        (["set", "./set/"], "set is given twice"),
        (["set", "set/sub"], "is inside"),
        (["set", "--output", "set/out"], "--output set/out is inside"),
        (["set", "--move", "set/copies"], "--move set/copies is inside"),
        (["bare"], "bare: no images in it; there are: 1 x no image (.txt)"),
        (["bad"], "none of the 1 images can be read, such as 1.png: not an image"),
    ],
)
def test_what_cannot_be_audited_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    put(tmp_path, {"set/1.png": encode(Image.new("L", (9, 9))), "set/sub/2.png": b"", "bare/notes.txt": b"x", "bad/1.png": b"x"})
    monkeypatch.chdir(tmp_path)
    assert audit(*arguments) == 2
    told = capsys.readouterr().err.strip()
    assert message in told and "\n" not in told


def test_the_command_says_what_it_does():
    told = subprocess.run([sys.executable, "-m", "tools.audit", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "images.csv, a row per image" in told and "--move DIR" in told

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import encode, set_params, smooth, write_archive

from stages.catalog import CATALOG, CLUSTERS, INDEX, PIXELS, SAMPLES, read_table, write_table
from stages.pixels import to_square
from stages.preprocess.__main__ import main
from stages.preprocess.giveaway import giveaway
from stages.preprocess.render import _render_chunk, apply_change

pytestmark = pytest.mark.usefixtures("small_project")


def lay_out(pictures: dict[str, Image.Image], changes: tuple[str, ...] = (), groups: int = 1) -> None:
    """An archive, and the tables of two folds that use its pictures, in one of them also changed; label is the folder."""
    write_archive("set", {member: encode(image) for member, image in pictures.items()})
    table = pd.DataFrame({"member": sorted(pictures), "source": "set", "group": np.arange(len(pictures)) % groups})
    table["image_id"], table["label"] = "set/" + table.member, table.member.str.split("/").str[0]
    write_table(table[["image_id", "source", "member"]], CATALOG)
    write_table(table[["image_id", "group"]], CLUSTERS)
    samples = [table.assign(fold=fold, origin=table.image_id, change="") for fold in (1, 0)]
    for change in changes:
        samples.append(samples[0].assign(change=change, image_id=table.image_id + "#" + change))
    write_table(pd.concat(samples)[["fold", "image_id", "label", "origin", "change"]], SAMPLES)


@pytest.mark.parametrize("geometry", ["squash", "pad", "head"])
def test_rows_are_the_index_in_the_geometry_and_size_asked_for(geometry):
    pictures = {f"{'glioma' if n % 2 else 'notumor'}/{n}.png": smooth(n, 90 + n, 100) for n in range(70)}  # more than a chunk
    lay_out(pictures, ("rotate+45",))
    set_params(preprocess__geometry=geometry, model__image_size=32)
    main()
    pixels, index = np.load(PIXELS), read_table(INDEX).image_id
    assert pixels.shape == (140, 32, 32) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert index.is_monotonic_increasing and index.is_unique and len(index) == 140
    for row, image_id in enumerate(index):
        member, _, change = image_id.removeprefix("set/").partition("#")
        assert (pixels[row] == to_square(apply_change(pictures[member], change), 32, geometry)).all(), image_id
    metrics = json.loads(Path("metrics/preprocess.json").read_text())
    assert (metrics["pictures"], metrics["image_size"], metrics["geometry"]) == (140, 32, geometry)


def test_only_what_a_fold_uses_is_there():
    lay_out({f"{label}/{n}.png": smooth(n) for label in ("glioma", "notumor") for n in range(6)}, groups=12)
    samples = read_table(SAMPLES)
    write_table(samples[samples.image_id != "set/glioma/3.png"], SAMPLES)
    set_params(model__image_size=16)
    main()
    assert len(np.load(PIXELS)) == len(read_table(INDEX)) == 11
    assert json.loads(Path("metrics/preprocess.json").read_text())["geometry_alone"]["balanced_accuracy"] is not None


def test_few_pictures_give_no_figure_instead_of_an_error():
    lay_out({"glioma/0.png": smooth(0), "normal/1.png": smooth(1)})
    set_params(model__image_size=16)
    main()
    assert json.loads(Path("metrics/preprocess.json").read_text())["geometry_alone"] == {
        "accuracy": None, "balanced_accuracy": None, "majority": 0.5, "chance": 0.5,
    }  # fmt: skip


def test_same_input_gives_the_same_bytes(monkeypatch):
    lay_out({f"{'glioma' if n % 2 else 'notumor'}/{n}.png": smooth(n) for n in range(70)})
    set_params(model__image_size=24)
    main()
    first = [path.read_bytes() for path in (PIXELS, INDEX, Path("metrics/preprocess.json"))]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    main()
    assert [path.read_bytes() for path in (PIXELS, INDEX, Path("metrics/preprocess.json"))] == first


def test_shifts_are_pixels_of_the_stored_picture():
    image = np.asarray(smooth(0, 200, 160, 0))
    right = np.asarray(apply_change(Image.fromarray(image), "shift_x+30"))
    assert (right[:, 30:] == image[:, :-30]).all() and not right[:, :30].any()
    left = np.asarray(apply_change(Image.fromarray(image), "shift_x-30"))
    assert (left[:, :-30] == image[:, 30:]).all() and not left[:, -30:].any()
    up = np.asarray(apply_change(Image.fromarray(image), "shift_y-30"))
    assert (up[:-30] == image[30:]).all() and not up[-30:].any()
    down = np.asarray(apply_change(Image.fromarray(image), "shift_y+7"))
    assert (down[7:] == image[:-7]).all() and not down[:7].any()
    assert (np.asarray(apply_change(Image.fromarray(image), "")) == image).all()


def test_rotations_turn_about_the_middle_counterclockwise_on_black():
    image = np.zeros((101, 101), np.uint8)
    image[48:53, 70:90] = 200  # a bar to the right of the middle
    turned = {angle: np.asarray(apply_change(Image.fromarray(image), f"rotate{angle:+g}")) for angle in (90, 45, 225)}
    for angle, picture in turned.items():
        y, x = (axis.mean() - 50 for axis in np.nonzero(picture > 100))
        assert np.hypot(y, x) == pytest.approx(29.5, abs=0.7)
        assert np.degrees(np.arctan2(-y, x)) % 360 == pytest.approx(angle, abs=1.5)
    full = apply_change(Image.new("L", (101, 101), 255), "rotate+45")
    assert full.size == (101, 101) and full.getpixel((0, 0)) == 0 and full.getpixel((50, 50)) == 255


def test_a_change_counts_in_full_resolution_even_if_the_input_is_small():
    image = smooth(0, 100, 100, 0).resize((1200, 1200))
    write_archive("set", {"a.jpg": encode(image, "JPEG", quality=95)})
    plain, shifted = _render_chunk(([["set", "a.jpg", ""], ["set", "a.jpg", "shift_x+300"]], 40, "squash"))
    assert not shifted[:, :9].any()
    assert np.abs(shifted[:, 12:].astype(int) - plain[:, 2:-8][:, : shifted[:, 12:].shape[1]].astype(int)).mean() < 3


def barred(widths: np.ndarray) -> np.ndarray:
    pixels = np.random.default_rng(1).integers(50, 255, (len(widths), 64, 64), dtype=np.uint8)
    for picture, width in zip(pixels, widths, strict=True):
        picture[:, :width] = picture[:, 64 - width :] = 0
    return pixels


def test_the_giveaway_is_high_when_bars_tell_the_class_and_chance_when_not():
    rng = np.random.default_rng(0)
    labels = np.array(["glioma", "meningioma", "notumor", "pituitary"])[rng.integers(0, 4, 300)]
    telling = giveaway(barred(2 + 3 * np.unique(labels, return_inverse=True)[1] + rng.integers(0, 3, 300)), labels, np.arange(300))
    assert telling["balanced_accuracy"] > 0.95 and telling["accuracy"] > 0.95
    silent = giveaway(barred(rng.integers(0, 12, 300)), labels, np.arange(300))
    assert abs(silent["balanced_accuracy"] - silent["chance"]) < 0.1
    assert silent["majority"] == pytest.approx(np.unique(labels, return_counts=True)[1].max() / 300)


def test_the_giveaway_does_not_count_what_copies_of_a_group_tell():
    rng = np.random.default_rng(0)
    labels = np.array(["glioma", "notumor"])[rng.integers(0, 2, 60)].repeat(5)
    pixels = barred(rng.integers(0, 30, 60)).repeat(5, 0)
    by_group = giveaway(pixels, labels, np.arange(60).repeat(5))["balanced_accuracy"]
    assert giveaway(pixels, labels, np.arange(300))["balanced_accuracy"] > by_group + 0.1
    assert by_group < 0.65


def test_the_phantom_s_preprocessed_pictures(phantom_project):
    pixels, index = (np.load(phantom_project.folder / PIXELS), read_table(phantom_project.folder / INDEX).image_id)
    clusters = read_table(phantom_project.folder / CLUSTERS)
    assert pixels.shape == (len(index), 64, 64) and index.tolist() == clusters.image_id[clusters.kept].tolist()
    assert (pixels.reshape(len(pixels), -1).std(1) > 20).all(), "every one shows something"

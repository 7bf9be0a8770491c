import hashlib
import io
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from stages.download import phantom_anatomy as anatomy
from stages.download.phantom import CLASSES, PLANES, SERIES, TRUTH, draw, examine, phantom_members, phantom_truth
from stages.download.phantom_copies import COPIES
from stages.pixels import Undecodable, decode, head_box, open_image, squash
from stages.sources import Phantom

SMALL, DEFAULT = Phantom(patients_per_class=5, seed=0), Phantom(patients_per_class=24, seed=0)


@pytest.fixture(scope="module")
def members():
    return phantom_members(SMALL)


@pytest.fixture(scope="module")
def truth():
    return phantom_truth(SMALL).set_index("member")


@pytest.fixture(scope="module")
def template():
    return anatomy.load_template()


def in_series(originals, spec):
    """Which originals are of a thin-slice series."""
    return originals.patient.isin([f"phantom{spec.seed}-{label}-{number:03d}" for label, number in SERIES])


def grey(data):
    return decode(open_image(data, 1))


def thumbnail(image, head=False):
    values = squash(image, 64, head_box(image) if head else None).astype(float).ravel()
    return (values - values.mean()) / np.linalg.norm(values - values.mean())


def pairs(truth, kind):
    copies = truth[truth.kind == kind]
    assert len(copies)
    return list(zip(copies.index, copies.original, strict=True))


def test_same_spec_gives_same_bytes_and_another_seed_others(members):
    assert phantom_members(SMALL) == members
    other = phantom_members(Phantom(patients_per_class=5, seed=1))
    assert not set(other.values()) & set(members.values())


@pytest.mark.parametrize("spec", [SMALL, DEFAULT])
def test_truth_is_consistent(spec):
    truth = phantom_truth(spec)
    assert truth.columns.tolist() == TRUTH
    assert truth.member.is_unique and truth.member.is_monotonic_increasing
    assert truth.member.str.fullmatch(r"(Training|Testing)/(glioma|meningioma|notumor|pituitary)/[\w-]+\.jpg").all()
    assert (truth.member.str.split("/").str[1] == truth.folder_label).all()
    assert ((truth.label != truth.folder_label) == (truth.kind == "twin")).all()

    originals, copies = truth[truth.kind == "original"], truth[truth.kind != "original"]
    assert set(originals.label) == set(CLASSES) and set(originals.plane) == set(PLANES)
    assert (originals.original == "").all()
    assert originals.slice.is_unique
    series = in_series(originals, spec)
    assert originals[~series].groupby("patient").size().isin([2, 3, 4]).all()
    assert series.any() and originals[series].groupby("patient").size().between(6, 12).all()
    assert (originals[series].groupby("patient").plane.nunique() == 1).all()
    assert originals.groupby("label").patient.nunique().eq(spec.patients_per_class).all()
    source = originals.set_index("member").loc[copies.original]
    for column in ("label", "patient", "plane", "slice"):
        assert (source[column].to_numpy() == copies[column].to_numpy()).all()
    planted = copies.kind.value_counts()
    assert set(planted.index) == set(COPIES)
    assert planted.drop(["twin", "corrupt"]).between(2, 8).all() and planted["twin"] in (1, 2) and planted["corrupt"] == 1


def test_default_set_has_the_planes_and_the_leakage_of_real_ones():
    truth = phantom_truth(DEFAULT)
    originals = truth[truth.kind == "original"]
    shares = pd.crosstab(originals.label, originals.plane, normalize="index")
    assert 0.75 < shares.axial["notumor"] < 0.9
    assert shares.drop("notumor").stack().between(0.3, 0.37).all()
    assert (originals.groupby("patient").member.apply(lambda members: members.str.split("/").str[0].nunique()) == 2).sum() > 10
    copies = truth[(truth.original != "") & (truth.label == truth.folder_label)]
    leaked = copies.original.str.startswith("Training") & copies.member.str.startswith("Testing")
    assert 3 <= leaked.sum() < len(copies)


def test_members_are_the_pictures_of_the_truth_and_the_annotations(members, truth):
    assert list(members) == sorted(members)
    assert set(members) == set(truth.index) | {"annotations.csv"}
    for member in truth.index[truth.kind == "original"]:
        image = Image.open(io.BytesIO(members[member]))
        left, top, right, bottom = head_box(grey(members[member]))
        assert left > 0 and top > 0 and right < image.width, "the head touches the border"
        assert truth.label[member] == "notumor" or (image.format, image.mode) == ("JPEG", "L")
    odd = [Image.open(io.BytesIO(members[member])) for member in truth.index[truth.label == "notumor"] if truth.kind[member] == "original"]
    assert {image.format for image in odd} == {"JPEG", "PNG"} and {image.mode for image in odd} == {"L", "RGB"}


def test_default_set_has_a_series_with_and_one_without_a_tumour():
    truth = phantom_truth(DEFAULT)
    labels = truth[in_series(truth, DEFAULT) & (truth.kind == "original")].groupby("patient").label.first()
    assert 2 <= len(labels) <= 4 and "notumor" in labels.tolist() and set(labels) - {"notumor"}


UNDONE = {
    "exact": lambda image: image, "reencoded": lambda image: image, "twin": lambda image: image, "resized": lambda image: image,
    "squashed": lambda image: image, "brightened": lambda image: image, "cropped": lambda image: image,
    "mirrored": ImageOps.mirror, "flipped": ImageOps.flip, "inverted": ImageOps.invert,
    "rotated": lambda image: image.rotate(180), "turned": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNDONE)
def test_copy_is_its_original_when_undone(members, truth, kind):
    for copy, original in pairs(truth, kind):
        undone = thumbnail(UNDONE[kind](grey(members[copy])), kind == "cropped")
        assert undone @ thumbnail(grey(members[original]), kind == "cropped") > 0.98
        assert (members[copy] == members[original]) == (kind == "exact")
        images = UNDONE[kind](grey(members[copy])), grey(members[original])
        assert (images[0].size == images[1].size) == (kind not in ("resized", "squashed", "cropped"))


def test_copies_show_what_their_kind_says(members, truth):
    def means(kind, measure):
        return [measure(grey(members[copy])) / measure(grey(members[original])) for copy, original in pairs(truth, kind)]

    assert means("brightened", np.mean) == pytest.approx([1.15, 1.15], abs=0.03)
    assert means("resized", lambda image: image.width) == pytest.approx([0.6, 0.6], abs=0.01)
    assert max(means("squashed", lambda image: image.height / image.width)) < 0.8
    assert max(means("cropped", lambda image: image.width * image.height)) < 0.9
    assert all(len(members[copy]) < 0.8 * len(members[original]) for copy, original in pairs(truth, "reencoded"))
    for kind in ("mirrored", "flipped", "rotated", "turned", "transposed"):
        for copy, original in pairs(truth, kind):
            assert thumbnail(grey(members[copy])) @ thumbnail(grey(members[original])) < 0.97


CUT = {  # what is missing of the head at the left, top, right and bottom; None where the border is left
    "trimmed": (0.08, 0.06, 0.1, 0.08), "trimmed_dimmed": (0.06, 0.08, 0.08, 0.1),
    "lopsided": (0.18, None, None, None), "lopsided_mirrored": (None, None, 0.16, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", CUT)
def test_cuts_go_through_the_head_and_show_the_rest(members, truth, kind):
    for copy, original in pairs(truth, kind):
        whole, cut = grey(members[original]), grey(members[copy])
        cut = ImageOps.mirror(cut) if kind == "lopsided_mirrored" else cut
        _, likeness, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(np.asarray(whole), np.asarray(cut), cv2.TM_CCOEFF_NORMED))
        assert likeness > 0.99
        brightness = np.mean(cut) / np.mean(whole.crop((x, y, x + cut.width, y + cut.height)))
        assert brightness == pytest.approx(0.8 if kind == "trimmed_dimmed" else 1, abs=0.02)
        left, top, right, bottom = head_box(whole)
        missing = (x - left) / (right - left), (y - top) / (bottom - top)
        missing += (right - x - cut.width) / (right - left), (bottom - y - cut.height) / (bottom - top)
        for share, expected in zip(missing, CUT[kind], strict=True):
            assert share <= 0 if expected is None else share == pytest.approx(expected, abs=0.03)


def test_corrupt_file_is_recognised_but_does_not_decode(members, truth):
    [(corrupt, original)] = pairs(truth, "corrupt")
    assert members[original].startswith(members[corrupt])
    with pytest.raises(Undecodable):
        decode(open_image(members[corrupt], 1))


def test_originals_are_distinct_pictures(members, truth):
    originals = truth[truth.kind == "original"]
    images = [grey(members[member]) for member in originals.index]
    plain = np.stack([thumbnail(image) for image in images])
    edits = (lambda image: image, ImageOps.mirror, ImageOps.flip, lambda image: ImageOps.flip(ImageOps.mirror(image)))
    similar = np.max([plain @ np.stack([thumbnail(edit(image)) for image in images]).T for edit in edits], axis=0)
    same_patient = originals.patient.to_numpy()[:, None] == originals.patient.to_numpy()
    assert similar[~same_patient].max() < 0.95
    series = same_patient & in_series(originals, SMALL).to_numpy()
    assert similar[~series & ~np.eye(len(images), dtype=bool)].max() < 0.975
    same_plane = (
        same_patient & ~series & (originals.plane.to_numpy()[:, None] == originals.plane.to_numpy()) & ~np.eye(len(images), dtype=bool)
    )
    assert np.median(similar[same_plane]) > np.quantile(similar[~same_patient], 0.99)


@pytest.mark.parametrize(("label", "plane"), [("notumor", "axial"), ("glioma", "coronal"), ("meningioma", "sagittal")])
def test_slices_of_a_series_are_a_millimetre_apart_and_more_than_noise_tells_them_apart(template, label, plane):
    for seed in range(2):
        case = examine(template, label, plane, np.random.default_rng(seed), series=6)
        assert np.diff(case.offsets) == pytest.approx(np.ones(5)) and case.offsets.mean() == pytest.approx(0)
        first, second = ([draw(template, case, plane, k, np.random.default_rng([noise, k])) for k in range(6)] for noise in (0, 1))
        same, neighbours = (
            [np.std(one.pixels.astype(float) - other.pixels) for one, other in pairs]
            for pairs in (zip(first, second, strict=True), pairwise(first))
        )
        assert min(neighbours) > 1.5 * max(same)


def test_no_thumbnail_tells_neighbours_in_a_series_apart(members, truth):
    originals = truth[truth.kind == "original"]
    for _, slices in originals[in_series(originals, SMALL)].groupby("patient"):
        order = slices.slice.str.rsplit("-").str[-1].astype(int).sort_values().index
        likeness = [thumbnail(grey(members[a])) @ thumbnail(grey(members[b])) for a, b in pairwise(order)]
        assert min(likeness) > 0.975


def test_annotations_name_most_tumour_pictures_and_most_slices(members, truth):
    table = pd.read_csv(io.BytesIO(members["annotations.csv"]), keep_default_na=False)
    assert table.columns.tolist() == ["sha256", "patient", "plane", "tumour_area", "slice"]
    assert table.sha256.is_unique and table.sha256.is_monotonic_increasing
    table = table.set_index("sha256")
    files = truth[truth.kind != "corrupt"].sort_values("original", kind="stable")  # originals first
    files = files.set_index(pd.Index([hashlib.sha256(members[member]).hexdigest() for member in files.index]))
    originals = files[files.kind == "original"]
    tumours = originals[originals.label != "notumor"]
    for sha256, row in table.iterrows():
        known = files.loc[[sha256]].iloc[0]
        if sha256 in tumours.index:
            assert row.patient in ("", known.patient) and row.plane in ("", known.plane)
        else:
            assert row.patient == row.plane == row.tumour_area == "", "copies, and who has no tumour, are not known"
    for column in ("patient", "plane", "tumour_area"):
        assert 0.6 * len(tumours) < (table[column] != "").sum() < len(tumours)

    unknown = files.patient.isin(set(tumours.patient) - set(table.patient))
    assert 0 < unknown.sum() < 0.25 * len(files)
    assert (table.slice.reindex(files.index).fillna("") == files.slice.where(~unknown, "")).all()


@pytest.mark.parametrize("label", ["glioma", "meningioma", "pituitary"])
@pytest.mark.parametrize("seed", range(2))
def test_every_slice_shows_its_lesion_where_it_sits_and_nothing_else_changes(template, label, seed):
    ill = examine(template, label, "axial", np.random.default_rng(seed))
    for plane, axes in (("axial", [0, 1]), ("coronal", [0, 2]), ("sagittal", [1, 2])):
        for index in range(2):
            without, picture = (draw(template, case, plane, index, np.random.default_rng(7)) for case in (replace(ill, lesion=None), ill))
            position = ill.centre.copy()
            position[PLANES.index(plane)] += ill.offsets[index]
            off = anatomy.slice_points(plane, position, ill.shape, ill.pixel) - ill.centre[:, None]
            distance = np.linalg.norm(off, axis=0).reshape(ill.shape)
            changed = np.abs(picture.pixels.astype(int) - without.pixels) > 20
            assert not without.mass.any()
            assert picture.mass.sum() * ill.pixel**2 > 60, "mm² of lesion"
            assert distance[picture.mass].max() < 2 * ill.lesion.radius
            assert changed[picture.mass].mean() > max(0.3, 5 * changed[~picture.mass].mean()), "dead cores are as dark as fluid"
            middle = off.reshape(3, *ill.shape)[:, changed].mean(1)
            assert changed.sum() * ill.pixel**2 > 60, "mm² of lesion"
            assert np.linalg.norm(middle[axes]) < ill.lesion.radius
            assert not changed[distance > 4 * ill.lesion.radius].any()


def test_lesions_sit_where_their_kind_grows(template):
    def lesion(label, seed):
        return examine(template, label, "axial", np.random.default_rng(seed)).lesion

    for seed in range(10):
        white, dura, sella = (lesion(label, seed) for label in ("glioma", "meningioma", "pituitary"))
        depth = [anatomy.skull_distance(template, tumour.centre[:, None])[0] for tumour in (white, dura)]
        assert depth[0] < -4 and white.centre[2] > 0
        assert -1 <= depth[1] / dura.radius <= -0.4
        assert np.abs(sella.centre - [0, 5, -33]).max() < 7


def test_scanner_and_template_positions_are_inverse(template):
    patient = anatomy.random_patient(np.random.default_rng(0), "T1")
    for position in ([0, 5, -35], [40, -30, 30], [-50, 20, 10]):
        point = anatomy.to_scanner(patient, np.array(position))
        assert anatomy.to_template(patient, point[:, None])[:, 0] == pytest.approx(position, abs=0.01)
        assert point != pytest.approx(position, abs=0.5)

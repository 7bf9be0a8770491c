import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from synthetic import encode, set_params, write_archive

from stages.catalog import CLUSTERS, read_table
from stages.dedupe.__main__ import main
from stages.dedupe.clusters import join, same_value
from stages.dedupe.figure import kinds_of_pairs
from stages.merge.__main__ import main as merge

pytestmark = pytest.mark.usefixtures("small_project")


def textured(seed: int, width: int = 120, height: int = 140, border: int = 12) -> Image.Image:
    """A random grey picture with coarse and fine structure, as heads have, unlike any of another seed, in a black border."""
    rng = np.random.default_rng(seed)
    coarse, fine = (gaussian_filter(rng.normal(size=(height, width)), sigma) for sigma in (8, 1.5))
    noise = coarse / coarse.std() + 0.6 * fine / fine.std()
    grey = np.interp(noise, (noise.min(), noise.max()), (30, 220)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    ellipse = ((x - width / 2) / (width / 2 - border)) ** 2 + ((y - height / 2) / (height / 2 - border)) ** 2 < 1
    return Image.fromarray(np.where(ellipse, grey, 0).astype(np.uint8))


def clusters(members: dict[str, bytes], annotations: str = "", **params) -> pd.DataFrame:
    """The result of dedupe, by member, for an archive of these members."""
    set_params(**params)
    if annotations:
        members = members | {"annotations.csv": ("sha256,patient,plane\n" + annotations).encode()}
    write_archive("set", members)
    merge()
    main()
    table = read_table(CLUSTERS)
    return table.assign(member=table.image_id.str.removeprefix("set/")).set_index("member")


def metrics() -> dict:
    return json.loads(Path("metrics/dedupe.json").read_text())


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return encode(image, "JPEG", quality=quality)


def sha(table: str) -> str:
    return read_table("data/merged/catalog.csv").set_index("member").sha256[table]


COPIES = {
    "exact": lambda image: jpeg(image),
    "reencoded": lambda image: jpeg(image, 60),
    "resized": lambda image: jpeg(image.resize((84, 98), Image.Resampling.BICUBIC)),
    "squashed": lambda image: jpeg(image.resize((110, 90), Image.Resampling.BICUBIC)),
    "cropped": lambda image: jpeg(image.crop((12, 12, 108, 128))),
    "brightened": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.15)),
    "mirrored": lambda image: jpeg(ImageOps.mirror(image)),
    "flipped": lambda image: jpeg(ImageOps.flip(image)),
    "rotated": lambda image: jpeg(image.rotate(180)),
    "turned": lambda image: jpeg(image.transpose(Image.Transpose.ROTATE_90)),
    "inverted": lambda image: jpeg(ImageOps.invert(image)),
}
TURNS = {"mirrored": "mirrored", "flipped": "flipped", "rotated": "rotated", "turned": "left"}


def test_every_kind_of_copy_is_found_named_and_nothing_else():
    members = {f"glioma/{number:02}.jpg": jpeg(textured(number)) for number in range(40)}
    for number, (kind, edit) in enumerate(COPIES.items()):
        for label in ("", "2"):
            members[f"glioma/{number + (20 if label else 0):02}_{kind}.jpg"] = edit(textured(number + (20 if label else 0)))
    table = clusters(members)
    for number, kind in enumerate(COPIES):
        for n in (number, number + 20):
            original, copy = table.loc[f"glioma/{n:02}.jpg"], table.loc[f"glioma/{n:02}_{kind}.jpg"]
            assert original.cluster == copy.cluster == original.cluster, kind
            assert original.kept and not copy.kept
            assert (original["copy"], copy["copy"]) == ("original", kind)
            assert copy.orientation == TURNS.get(kind, "")
    assert table.cluster.nunique() == table.group.nunique() == table.kept.sum() == 40
    result = metrics()
    assert (result["pictures"], result["distinct"], result["kept"], result["groups"], result["largest_group"]) == (62, 40, 40, 40, 1)
    assert result["copies"] == dict.fromkeys(result["copies"], 2) and set(result["copies"]) == set(COPIES)
    assert result["kept_labels"] == {"glioma": 40} and result["conflicting_clusters"] == 0


def test_a_cut_that_takes_a_little_more_or_less_than_the_head_is_a_copy():
    members = {}
    for number in range(7):
        image = textured(number).resize((240, 280), Image.Resampling.BICUBIC)  # whose border is 24 wide
        left, top, right, bottom = np.random.default_rng(number).integers(-1, 3, 4)
        cut = image.crop((24 + left, 24 + top, 216 - right, 256 - bottom))
        members |= {f"glioma/{number:02}.jpg": jpeg(image), f"glioma/{number:02}_cut.jpg": jpeg(cut)}
    table = clusters(members)
    assert table.cluster.nunique() == table.group.nunique() == 7
    assert table["copy"].tolist() == ["original", "cropped"] * 7


def test_black_pictures_are_pictures_of_their_own():
    members = {f"glioma/{number}.png": encode(textured(number)) for number in range(10)}
    members |= {f"normal/black{side}.png": encode(Image.new("L", (side, side))) for side in (50, 60, 70)}
    members |= {"normal/white.png": encode(Image.new("L", (50, 50), 255)), "normal/black50again.png": encode(Image.new("L", (50, 50)))}
    table = clusters(members)
    assert table.cluster.nunique() == 14
    assert table.cluster["normal/black50.png"] == table.cluster["normal/black50again.png"], "the same bytes"
    assert table["copy"]["normal/black50again.png"] == "exact"


def test_the_largest_is_kept_and_the_first_among_equals():
    image = textured(0)
    table = clusters({
        "glioma/a.png": encode(image.resize((90, 105))), "glioma/b.png": encode(image), "glioma/c.jpg": jpeg(image),
        "glioma/d_HF_.png": encode(ImageOps.mirror(image.resize((240, 280)))), "glioma/d.png": encode(image.resize((60, 70))),
    })  # fmt: skip
    assert table.index[table.kept].tolist() == ["glioma/b.png"]
    assert table.cluster.nunique() == 1
    assert table["copy"]["glioma/d_HF_.png"] == "augmented"


def conflicting() -> dict[str, bytes]:
    """Picture 0 under two labels, twice under one of them; picture 1 once under each; 2 under one."""
    return {
        "glioma/0.png": encode(textured(0).resize((90, 105))), "glioma/0b.jpg": jpeg(ImageOps.mirror(textured(0).resize((60, 70)))),
        "normal/0.png": encode(textured(0)), "glioma/1.png": encode(textured(1)), "normal/1.jpg": jpeg(textured(1)),
        "glioma/2.png": encode(textured(2)), "glioma/2b.jpg": jpeg(textured(2)),
    }  # fmt: skip


@pytest.mark.parametrize("choice, kept", [("drop", ["glioma/2.png"]), ("majority", ["glioma/0.png", "glioma/2.png"])])
def test_what_occurs_under_several_labels(choice, kept):
    table = clusters(conflicting(), dedupe__on_conflict=choice)
    assert table.index[table.kept].tolist() == kept
    conflicts = read_table("data/dedupe/conflicts.csv")
    assert conflicts.image_id.str.removeprefix("set/").tolist() == [
        "glioma/0.png",
        "glioma/0b.jpg",
        "normal/0.png",
        "glioma/1.png",
        "normal/1.jpg",
    ]
    assert conflicts.label.tolist() == ["glioma", "glioma", "notumor", "glioma", "notumor"]
    assert metrics()["conflicting_clusters"] == 2 and metrics()["distinct"] == 3


def test_a_set_of_conflicts_alone_keeps_nothing():
    table = clusters({"glioma/0.png": encode(textured(0)), "normal/0.png": encode(textured(0))})
    assert not table.kept.any()
    assert metrics()["kept"] == metrics()["largest_group"] == 0 and metrics()["distinct"] == 1


def test_a_conflict_can_stop_the_pipeline():
    with pytest.raises(SystemExit) as exit:
        clusters(conflicting(), dedupe__on_conflict="error")
    assert "several labels" in exit.value.code and "dedupe.on_conflict" in exit.value.code
    assert "notumor      set/normal/1.jpg" in exit.value.code and "2.png" not in exit.value.code


def test_augmented_copies_follow_their_original_and_are_not_counted_as_copies():
    image = textured(0)
    table = clusters({
        "glioma/a.png": encode(image), "glioma/a_BR_.png": encode(ImageEnhance.Brightness(image).enhance(2.5)),
        "glioma/a_HF_.png": encode(textured(7)),  # whatever it shows
        "glioma/b.png": encode(textured(1)), "normal/c.png": encode(textured(7)),
    })  # fmt: skip
    members = table[table["copy"] == "augmented"].index
    assert members.tolist() == ["glioma/a_BR_.png", "glioma/a_HF_.png"]
    assert (table.cluster[members] == table.cluster["glioma/a.png"]).all() and not table.kept[members].any()
    result = metrics()
    assert result["pictures"] == 3 and result["augmented"] == 2 and result["conflicting_clusters"] == 1


def test_a_picture_whose_bytes_an_augmented_copy_has_is_still_compared():
    image = textured(0)
    table = clusters({
        "glioma/a.png": encode(textured(1)), "glioma/a_HF_.png": encode(image),
        "normal/b.png": encode(image), "normal/c.jpg": jpeg(ImageOps.mirror(image)),
    })  # fmt: skip
    assert table.cluster["normal/b.png"] == table.cluster["normal/c.jpg"]


def annotated(members: dict[str, bytes], known: dict[str, str]) -> str:
    write_archive("set", members)
    merge()
    return "".join(f"{sha(member)},{patient},\n" for member, patient in known.items())


def test_a_patient_joins_groups_but_not_clusters():
    members = {f"glioma/{number}.png": encode(textured(number)) for number in range(4)} | {
        "glioma/0m.jpg": jpeg(ImageOps.mirror(textured(0)))
    }
    table = clusters(members, annotated(members, {"glioma/0m.jpg": "P1", "glioma/1.png": "P1", "glioma/2.png": "P2"}))
    group, cluster = table.group, table.cluster
    assert group["glioma/0.png"] == group["glioma/0m.jpg"] == group["glioma/1.png"]
    assert group.nunique() == 3 and cluster.nunique() == 4
    assert table.patient["glioma/0.png"] == "P1", "known by its copy"
    assert metrics()["groups"] == 3 and metrics()["largest_group"] == 2 and metrics()["clusters_of_several_patients"] == 0


def test_a_picture_of_two_patients_joins_both():
    members = {f"glioma/{number}.png": encode(textured(number)) for number in range(3)} | {
        "glioma/0m.jpg": jpeg(ImageOps.mirror(textured(0)))
    }
    known = {"glioma/0.png": "P1", "glioma/0m.jpg": "P2", "glioma/1.png": "P1", "glioma/2.png": "P2"}
    table = clusters(members, annotated(members, known))
    assert table.group.nunique() == 1 and table.cluster.nunique() == 3
    assert metrics()["clusters_of_several_patients"] == 1


def displaced(image: Image.Image, pixels: float) -> Image.Image:
    """The picture, bent by about so many pixels: what a slice nearby looks like."""
    y, x = np.mgrid[: image.height, : image.width].astype(float)
    bend = pixels * np.sin(np.stack([x / 9, y / 11]))
    return Image.fromarray(map_coordinates(np.asarray(image, float), np.stack([y, x]) + bend).clip(0, 255).astype(np.uint8))


def test_close_neighbours_are_grouped_but_distinct():
    near = {"glioma/a.png": encode(textured(0)), "glioma/b.png": encode(displaced(textured(0), 0.7))}
    table = clusters(near | {"glioma/c.png": encode(textured(2))})
    assert table.cluster.nunique() == 3 and table.group.nunique() == 2
    assert clusters(near, dedupe__same=0.99, dedupe__neighbour=0.985).group.nunique() == 2


def test_a_series_of_neighbours_is_no_chain_of_copies():
    series = {f"glioma/{n:02}.png": encode(displaced(textured(0), 0.5 * n)) for n in range(8)}
    copies = {
        "glioma/03m.jpg": jpeg(ImageOps.mirror(displaced(textured(0), 1.5))),
        "glioma/05c.jpg": COPIES["cropped"](displaced(textured(0), 2.5)),
    }
    table = clusters(series | copies)
    assert table.cluster.nunique() == 8 and table.group.nunique() == 1 and table.kept.sum() == 8
    assert (
        table.cluster["glioma/03m.jpg"] == table.cluster["glioma/03.png"]
        and table.cluster["glioma/05c.jpg"] == table.cluster["glioma/05.png"]
    )


def test_a_picture_turned_by_some_degrees_is_a_neighbour():
    table = clusters({"glioma/a.png": encode(textured(0)), "glioma/b.png": encode(textured(0).rotate(4, Image.Resampling.BICUBIC))})
    assert table.cluster.nunique() == 2 and table.group.nunique() == 1


@pytest.mark.parametrize("cut", [(0.15, 0, 0, 0), (0, 0, 0, 0.2), (0.1, 0.05, 0.08, 0.1)])
def test_a_cut_through_the_head_is_a_copy(cut):
    members = {f"glioma/{number:02}.jpg": jpeg(textured(number, 240, 280, 24)) for number in range(12)}
    left, top, right, bottom = cut
    for number in range(3):
        image = textured(number, 240, 280, 24)
        box = (24 + left * 192, 24 + top * 232, 216 - right * 192, 256 - bottom * 232)
        members[f"glioma/{number:02}_cut.jpg"] = jpeg(ImageOps.mirror(image.crop([round(side) for side in box])))
    table = clusters(members)
    assert table.cluster.nunique() == 12
    assert all(table.cluster[f"glioma/{number:02}_cut.jpg"] == table.cluster[f"glioma/{number:02}.jpg"] for number in range(3))


def test_two_patients_alike_in_several_slices_are_one_person():
    members = {f"glioma/{name}{n}.png": encode(displaced(textured(n), 0.7 * (name == "b"))) for name in "ab" for n in range(3)}
    members |= {"glioma/c0.png": encode(displaced(textured(0), -0.7)), "glioma/c9.png": encode(textured(9))}
    patients = {"a": "P1", "b": "P2", "c": "P3"}
    table = clusters(members, annotated(members, {member: patients[member[7]] for member in members}))
    assert table.cluster.nunique() == 8
    assert table.group[table.patient != "P3"].nunique() == 1, "three slices of each"
    assert table.group[table.patient == "P3"].nunique() == 1 and table.group.nunique() == 2, "one slice may be a coincidence"
    assert metrics()["persons"] == {"patients": 2, "pairs": ["P1 P2"]}


def test_recall_and_precision_where_the_slices_are_known():
    members = {"glioma/a.png": encode(textured(0)), "glioma/b.jpg": jpeg(ImageOps.mirror(textured(0))), "glioma/c.png": encode(textured(1))}
    members |= {"glioma/d.png": encode(textured(2))}
    write_archive("set", members)
    merge()
    slices = {"a": "one", "b": "one", "c": "one", "d": "two"}  # c is said to be what it is not
    table = "sha256,patient,plane,slice\n" + "".join(f"{sha(member)},,,{slices[member[7]]}\n" for member in members)
    write_archive("set", members | {"annotations.csv": table.encode()})
    merge()
    main()
    truth = metrics()["truth"]
    assert (truth["pictures"], truth["slices"], truth["pairs"], truth["precision"], truth["wrong_pairs"]) == (4, 2, 3, 1, 0)
    assert truth["recall"] == pytest.approx(1 / 3, abs=1e-6) and truth["by_kind"]["mirrored"]["recall"] == 1
    with Image.open("metrics/plots/copies.png") as figure:
        assert figure.size == (800, 500)


def test_pairs_are_named_by_what_is_known_of_them():
    patient, slices = np.array([1, 1, 1, 2, 0]), np.array([1, 1, 2, 3, 0])
    kinds = kinds_of_pairs(np.array([0, 0, 0, 0, 2]), np.array([1, 2, 3, 4, 3]), patient, slices)
    assert kinds.tolist() == ["the same slice", "two slices of one patient", "two patients", "not known", "two patients"]


def test_published_leaks_are_counted_mirrors_too():
    a, b, c, d = (textured(number) for number in range(4))
    clusters({
        "training/glioma/a.png": encode(a), "testing/glioma/a.png": encode(a), "testing/glioma/a2.jpg": jpeg(ImageOps.mirror(a)),
        "training/glioma/b.png": encode(b), "testing/normal/c.png": encode(c), "testing/normal/d.png": encode(d), "glioma/e.png": encode(d),
    })  # fmt: skip
    assert metrics()["published_test_in_training"] == {
        "set": {"test": 4, "in_training": 2, "in_training_byte_identical": 1, "share": 0.5, "group_in_training": 2}
    }


def test_the_inverted_index_leads_to_the_same_clusters():
    members = {f"glioma/{number:02}.jpg": jpeg(textured(number)) for number in range(60)}
    members |= {f"normal/{number:02}.jpg": jpeg(ImageOps.mirror(textured(number))) for number in range(0, 60, 3)}
    exact = clusters(members)
    pd.testing.assert_frame_equal(clusters(members, dedupe__exact_search_up_to=20), exact)


def test_same_input_gives_the_same_bytes():
    members = conflicting() | {f"normal/{number}.png": encode(textured(number)) for number in range(10, 30)}
    clusters(members)
    first = [path.read_bytes() for path in (*sorted(Path("data/dedupe").iterdir()), Path("metrics/dedupe.json"))]
    main()
    assert [path.read_bytes() for path in (*sorted(Path("data/dedupe").iterdir()), Path("metrics/dedupe.json"))] == first


def test_the_result_does_not_depend_on_how_much_is_in_memory(monkeypatch):
    members = conflicting() | {f"glioma/{number}.png": encode(textured(number)) for number in range(10, 50)}
    members |= {f"normal/{number}m.jpg": jpeg(ImageOps.mirror(textured(number))) for number in range(10, 30)}
    members |= {"glioma/10_HF_.png": encode(ImageOps.mirror(textured(10))), "testing/glioma/11.png": encode(textured(11))}
    planes = ("axial", "coronal", "sagittal")
    known = {f"glioma/{number}.png": f"P{number // 3},{planes[number % 3]}" for number in range(10, 45)}
    write_archive("set", members)
    merge()
    members["annotations.csv"] = ("sha256,patient,plane\n" + "".join(f"{sha(member)},{what}\n" for member, what in known.items())).encode()
    write_archive("set", members)
    merge()

    def outputs() -> list[bytes]:
        main()
        return [path.read_bytes() for path in (*sorted(Path("data/dedupe").iterdir()), Path("metrics/dedupe.json"))]

    set_params(dedupe__exact_search_up_to=1)
    expected = outputs()
    assert metrics()["planes"]["accuracy_by_group"] and metrics()["conflicting_clusters"] and metrics()["augmented"]
    set_params(dedupe__exact_search_up_to=1, dedupe__memory=1e-9)
    for name in ("compact.ROWS", "clusters.BLOCK", "search.BLOCK", "pictures.CHUNK", "views.BLOCK"):
        monkeypatch.setattr(f"stages.dedupe.{name}", 3)
    assert outputs() == expected


def test_it_says_when_memory_is_not_enough(capsys):
    members = {f"glioma/{number}.png": encode(textured(number)) for number in range(10)}
    clusters(members)
    assert "dedupe.memory" not in capsys.readouterr().out
    clusters(members, dedupe__memory=0.1)
    assert "dedupe.memory: 0.1 GiB are less than the 0.29 that dedupe takes" in capsys.readouterr().out
    assert not list(Path(".scratch").iterdir())


def test_join_and_same_value():
    edges = same_value(np.array([-1, 8, 5, 8, -1, 5, 8]))
    assert join(7, edges).tolist() == [0, 1, 2, 1, 3, 2, 1], "numbered by first appearance; a negative number joins nothing"
    assert join(7, edges, (np.array([0]), np.array([2]))).tolist() == [0, 1, 0, 1, 2, 0, 1]
    assert join(3, same_value(np.array([-1, -1, -1]))).tolist() == [0, 1, 2]
    assert join(0, same_value(np.empty(0, int))).tolist() == []


@pytest.mark.parametrize("edges", [0, 40, 90, 150, 600])
def test_join_finds_what_scipy_finds_in_any_order_and_block(monkeypatch, edges):
    monkeypatch.setattr("stages.dedupe.clusters.BLOCK", 7)
    rng = np.random.default_rng(edges)
    first, second = rng.integers(0, 100, (2, edges))
    _, expected = connected_components(coo_array((np.ones(edges), (first, second)), shape=(100, 100)), directed=False)
    assert (join(100, (first[:50], second[:50]), (first[50:], second[50:])) == pd.factorize(expected)[0]).all()


def test_join_follows_a_long_chain():
    ends = np.random.default_rng(0).permutation(200_000)
    assert not join(200_000, (ends[:-1], ends[1:])).any()

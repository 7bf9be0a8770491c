import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from synthetic import encode, set_params, smooth, write_archive

from stages.dedupe.__main__ import main as dedupe
from stages.leaks.__main__ import main
from stages.leaks.classifier import predict, score_parts
from stages.leaks.counts import closest, shared, tally
from stages.leaks.sheet import _examples
from stages.leaks.sides import Side, look, published_side
from stages.merge.__main__ import main as merge
from stages.params import Aggregate


@pytest.fixture
def leaky() -> tuple[pd.DataFrame, Side, np.ndarray]:
    """400 training and 200 test pictures, half of the test copies of training pictures; features that tell nothing but which picture it is."""
    rng = np.random.default_rng(0)
    cluster = np.concatenate([np.arange(400), rng.permutation(400)[:100], np.arange(400, 500)])
    table = pd.DataFrame({"cluster": cluster, "group": cluster // 2, "patient": "", "sha256": [str(k) for k in range(600)]})
    table["label"] = np.array(["glioma", "notumor"])[rng.integers(0, 2, 500)][cluster]
    table["kept"] = ~table.cluster.duplicated()
    return table, Side(np.arange(400), np.arange(400, 600)), rng.normal(size=(500, 120))[cluster].astype(np.float32)


def accuracy(table: pd.DataFrame, side: Side, features: np.ndarray, found: pd.DataFrame) -> dict[str, float]:
    predicted = predict(features, table.label.to_numpy(str), [side])
    parts = score_parts(table, [side], predicted, found, ["glioma", "notumor"], Aggregate(resamples=50, seed=0))
    return {name: part["accuracy"]["mean"] for name, part in parts.items() if name != "training" and part}


def test_a_classifier_that_only_remembers_is_right_about_copies_only(leaky):
    table, side, features = leaky
    found = look(table, [side])
    scores = accuracy(table, side, features, found)
    assert list(scores) == ["all", "leaked", "clean", "new_group"]
    assert scores["leaked"] > 0.95 and 0.35 < scores["clean"] < 0.65
    assert scores["all"] == pytest.approx((scores["leaked"] + scores["clean"]) / 2)
    assert accuracy(table, side.without_copies(table), features, found)["leaked"] < 0.65
    assert accuracy(table, side.without_others(table, 0), features, found)["leaked"] > 0.95


def test_what_leaves_the_training_is_of_the_same_size_and_classes(leaky):
    table, side, _ = leaky
    table = pd.concat([table, table[:50].assign(kept=False)], ignore_index=True)  # 50 training pictures twice
    side = Side(np.concatenate([side.train, np.arange(600, 650)]), side.test)
    copies, others = side.without_copies(table), side.without_others(table, 0)
    assert (copies.test == side.test).all() and (others.test == side.test).all()
    assert not table.cluster[copies.train].isin(table.cluster[side.test]).any()

    def distinct(rows):
        return table.loc[rows].drop_duplicates("cluster").label.value_counts().to_dict()

    assert distinct(copies.train) == distinct(others.train) != distinct(side.train)
    assert set(table.cluster[side.train]) & set(table.cluster[side.test]) <= set(table.cluster[others.train])
    gone = set(side.train) - set(others.train)
    assert set(table.index[table.cluster.isin(table.cluster[list(gone)])]) <= gone | set(side.test)  # whole clusters
    assert (side.without_others(table, 0).train == others.train).all() and len(set(side.without_others(table, 1).train) - set(others.train))


def test_a_published_side_needs_both_folders(leaky):
    table, side, _ = leaky
    table["published_split"] = ["train"] * 400 + ["test"] * 200
    found = published_side(table)
    assert (found.train == side.train).all() and (found.test == side.test).all()
    assert published_side(table[:400]) is None and published_side(table[400:]) is None


def test_tally_counts_a_patient_once_a_fold():
    found = pd.DataFrame({
        "file": [True, False, False, False], "picture": [True, True, False, False], "group": [True, True, True, False],
        "patient": [True, True, False, False], "fold": [0, 0, 0, 1], "name": ["P1", "P1", "P2", ""],
    })  # fmt: skip
    assert tally(found) == {
        "test": 4,
        "in_training": {"file": 1, "picture": 2, "group": 3},
        "share": {"file": 0.25, "picture": 0.5, "group": 0.75},
        "patients": {"test": 2, "in_training": 1, "test_pictures": 3, "test_pictures_in_training": 2},
    }


def test_the_closest_of_several_copies_counts():
    pairs = pd.DataFrame({"test": [1, 1, 1, 2], "kind": ["mirrored", "reencoded", "rotated", "flipped"]}, index=[5, 6, 7, 8])
    assert {kind: count for kind, count in closest(pairs).items() if count} == {"reencoded": 1, "flipped": 1}
    assert set(closest(pairs[:0]).values()) == {0}


def test_what_a_set_shares_with_others():
    rows = pd.DataFrame({"cluster": [0, 0, 1, 2], "source": "a"})
    others = pd.DataFrame({"cluster": [0, 1, 1, 3], "source": ["b", "c", "c", "b"]})
    assert shared(rows, others) == {
        "b": {"pictures": 2, "share": 0.5, "distinct": 1},
        "c": {"pictures": 1, "share": 0.25, "distinct": 1},
    }


def test_examples_come_from_one_set_where_there_are_any():
    pairs = pd.DataFrame({"test": range(10), "train": range(10), "test_source": "a", "train_source": ["a", "b"] * 5})
    assert _examples(pairs).test.tolist() == [0, 4, 8]
    assert _examples(pairs[pairs.train_source == "b"]).test.tolist() == [1, 5, 9]
    assert _examples(pairs[:2]).test.tolist() == [0]


def run(members: dict[str, bytes]) -> dict:
    write_archive("set", members)
    set_params(aggregate__resamples=20)
    merge()
    dedupe()
    main()
    return json.loads(Path("metrics/leaks.json").read_text())


def test_a_set_without_published_folders(small_project):
    members = {
        f"{label}/{number}.png": encode(smooth(number + start)) for start, label in ((0, "glioma"), (50, "notumor")) for number in range(15)
    }
    report = run(members | {"glioma/copy.png": encode(ImageOps.mirror(smooth(0)))})
    assert report["demonstration"] is False
    assert "published" not in report["sets"]["set"] and report["simple_classifier"]["published"] == {}
    assert report["sets"]["set"]["copies"]["mirrored"] == 1
    with Image.open("metrics/plots/leaks.png") as image:
        assert image.height < 100


def test_augmented_copies_are_no_leak_and_in_no_fold(small_project):
    members = {}
    for number in range(40):
        side, label = ("training", "testing")[number % 4 == 0], ("glioma", "notumor")[number % 2]
        members[f"{side}/{label}/{number}.png"] = encode(smooth(number))
    members["training/glioma/0_HF_.png"] = encode(ImageOps.mirror(smooth(0)))
    members["training/glioma/0.png"] = encode(smooth(100))
    report = run(members)
    assert report["sets"]["set"]["pictures"] == 41 and report["sets"]["set"]["published"]["training"] == 31
    assert report["sets"]["set"]["published"]["in_training"]["picture"] == 0
    assert report["splits"]["naive"]["test"] == 41

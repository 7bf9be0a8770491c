import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import set_params

from stages.balance.__main__ import main
from stages.balance.planes import add_copies, plane_weights, shares, targets
from stages.catalog import CATALOG, CLUSTERS, FOLDS, SAMPLES, read_table, write_table

pytestmark = pytest.mark.usefixtures("small_project")

# The no-tumour class is nearly all axial, as in the published table; the others are even.
PAPER = {
    "glioma": {"axial": 49, "coronal": 43, "sagittal": 40}, "meningioma": {"axial": 46, "coronal": 43, "sagittal": 44, "": 7},
    "notumor": {"axial": 90, "coronal": 6, "sagittal": 4}, "pituitary": {"axial": 44, "coronal": 48, "sagittal": 46},
}  # fmt: skip
CHANGES = ["shift_x+30", "shift_y-30", "rotate+45", "rotate+225"]


def rows(cells: dict = PAPER) -> pd.DataFrame:
    """Training rows of one fold, so many a class and plane."""
    pairs = [(label, plane) for label, planes in cells.items() for plane, count in planes.items() for _ in range(count)]
    ids = [f"set/{number:04}.jpg" for number in np.random.default_rng(0).permutation(len(pairs))]
    table = pd.DataFrame(pairs, columns=["label", "plane"]).assign(image_id=ids, origin=ids, change="", weight=1.0, fold=0, role="train")
    return table.sort_values("image_id", ignore_index=True)


def balanced(method: str, **params) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Two folds of the table through the step: what went in, what came out and the metrics."""
    table = rows()
    number = np.arange(len(table))
    roles = [np.select([number % 3 == fold, number % 10 == 5], ["test", "validation"], "train") for fold in range(2)]
    folds = pd.concat([table[["image_id"]].assign(fold=fold, role=role) for fold, role in enumerate(roles)])
    write_table(folds[["image_id", "fold", "role"]], FOLDS)
    write_table(table[["image_id", "label"]], CATALOG)
    write_table(table[["image_id", "plane"]], CLUSTERS)
    set_params(balance__method=method, **{f"balance__{key}": value for key, value in params.items()})
    main()
    before = folds.merge(table[["image_id", "label", "plane"]], on="image_id")
    after = read_table(SAMPLES).merge(table[["image_id", "plane"]].rename(columns={"image_id": "origin"}), on="origin")
    return before, after, json.loads(Path("metrics/balance.json").read_text())


def test_none_hands_the_folds_on():
    before, after, metrics = balanced("none")
    keys = ["fold", "image_id", "role", "label"]
    assert after[keys].sort_values(keys).to_numpy().tolist() == before[keys].sort_values(keys).to_numpy().tolist()
    assert (after.weight == 1).all() and (after.change == "").all() and (after.origin == after.image_id).all()
    assert metrics["generated"] == 0 and metrics["shares_before"] == metrics["shares_after"]
    assert metrics["training_images"] == (before.role == "train").sum()


def test_planes_adds_changed_copies_to_the_training_of_each_fold_and_touches_nothing_else():
    before, after, metrics = balanced("planes")
    assert read_table(SAMPLES).columns.tolist() == ["fold", "role", "image_id", "label", "origin", "change", "weight"]
    keys = ["fold", "image_id", "role", "label"]
    old = after[after.change == ""]
    assert old[keys].sort_values(keys).to_numpy().tolist() == before[keys].sort_values(keys).to_numpy().tolist()
    new = after[after.change != ""]
    assert set(new.role) == {"train"} and set(new.fold) == {0, 1} and set(new.change) <= set(CHANGES)
    assert (new.image_id == new.origin + "#" + new.change).all() and not after.duplicated(["fold", "image_id"]).any()
    training = set(zip(before.fold[before.role == "train"], before.image_id[before.role == "train"], strict=True))
    assert set(zip(new.fold, new.origin, strict=True)) <= training
    assert after[["fold", "image_id"]].equals(after[["fold", "image_id"]].sort_values(["fold", "image_id"], ignore_index=True))

    assert metrics["generated"] == len(new) and sum(metrics["generated_cells"].values()) == len(new)
    assert metrics["generated_cells"]["notumor coronal"] > 10 and "notumor axial" not in metrics["generated_cells"]
    assert metrics["shares_before"]["notumor"]["axial"] == pytest.approx(0.9, abs=0.04)
    assert metrics["shares_after"]["notumor"]["axial"] < 0.7
    others = [metrics["shares_after"][label] for label in PAPER if label != "notumor"]
    assert all(0.27 < share < 0.4 for planes in others for share in planes.values())


def test_a_cell_grows_to_its_target_or_to_its_limit():
    after = add_copies(rows(), 30, [45, 225])
    counts = pd.crosstab(after.label, after.plane)
    # 90 axial pictures of a third ask for about 90 of each plane; 6 and 4 originals in 5 versions give 30 and 20.
    assert counts.loc["notumor"].to_dict() == {"": 0, "axial": 90, "coronal": 30, "sagittal": 20}
    assert set(after.change[(after.label == "notumor") & (after.plane == "coronal")]) == {"", *CHANGES}
    for label in ("glioma", "meningioma", "pituitary"):
        assert (after.change[after.label == label] == "").all(), "classes that are even but for chance do not chase each other"
    assert counts.loc["meningioma", ""] == 7, "unknown planes are left alone"


def test_every_original_is_changed_once_before_any_is_changed_twice():
    few = PAPER | {"notumor": {"axial": 90, "coronal": 40, "sagittal": 25}}
    added = add_copies(rows(few), 30, [45, 225]).query("label == 'notumor' and change != ''")
    for _, copies in added.groupby("plane"):
        times = copies.origin.value_counts()
        assert times.max() - (times.min() if len(times) == few["notumor"][copies.plane.iloc[0]] else 0) <= 1
        assert copies.change.value_counts().reindex(CHANGES, fill_value=0).is_monotonic_decreasing


def test_shift_and_rotations_are_the_given_ones():
    assert set(add_copies(rows(), 7, [22.5, -90]).change) == {"", "shift_x+7", "shift_y-7", "rotate+22.5", "rotate-90"}
    assert set(add_copies(rows(), 7, []).change) == {"", "shift_x+7", "shift_y-7"}


def test_weights_reach_the_targets_and_keep_every_class_s_total():
    table = rows()
    weight = plane_weights(table)
    weighted = table.assign(weight=weight)
    assert weighted.groupby("label").weight.sum().to_numpy() == pytest.approx(table.groupby("label").size().to_numpy(), abs=1e-3)
    pd.testing.assert_frame_equal(shares(weighted), targets(table), check_names=False, atol=1e-4)
    assert weighted.groupby(["label", "plane"]).weight.nunique().eq(1).all()
    assert (
        weight[(table.label == "notumor") & (table.plane == "sagittal")][0]
        > 5
        > 1
        > weight[(table.label == "notumor") & (table.plane == "axial")][0]
    )


def test_weights_through_the_step_weigh_training_only():
    before, after, metrics = balanced("weights")
    assert len(after) == len(before) and metrics["generated"] == 0
    assert (after.weight[after.role != "train"] == 1).all() and after.weight[after.role == "train"].nunique() > 6
    assert metrics["shares_after"]["notumor"]["axial"] == pytest.approx(1 / 3, abs=0.06)
    totals = after[after.role == "train"].groupby(["fold", "label"]).weight.agg(["sum", "size"])
    assert totals["sum"].to_numpy(float) == pytest.approx(totals["size"].to_numpy(float), abs=1e-3)


def test_one_odd_class_moves_no_other_s_target():
    wanted = targets(rows())
    assert wanted.loc["notumor"].between(0.28, 0.38).all() and wanted.drop("notumor").stack().between(0.27, 0.4).all()
    assert wanted.sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.parametrize(
    "cells",
    [
        {"a": {"": 5}, "b": {"": 5}},
        {"a": {"axial": 5}},
        {"a": {"axial": 5}, "b": {"coronal": 5}},
        {"a": {"axial": 5}, "b": {"coronal": 5}, "c": {"sagittal": 5}, "d": {"axial": 5}},
        {"a": {"axial": 5, "coronal": 5}, "b": {"": 4}},
    ],
    ids=["no plane known", "one class", "nothing in common", "no common plane to go by", "a class without planes"],
)
def test_what_cannot_be_balanced_stays_as_it_is(cells):
    table = rows(cells)
    assert len(add_copies(table, 30, [45, 225])) == len(table)
    assert plane_weights(table).tolist() == [1.0] * len(table)


@pytest.mark.parametrize("method", ["none", "planes", "weights"])
def test_same_input_gives_the_same_bytes(method):
    balanced(method)
    first = SAMPLES.read_bytes(), Path("metrics/balance.json").read_bytes()
    balanced(method)
    assert (SAMPLES.read_bytes(), Path("metrics/balance.json").read_bytes()) == first

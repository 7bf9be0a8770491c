import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import set_params

from stages.catalog import CATALOG, CLUSTERS, FOLDS, read_table, write_table
from stages.params import load_params
from stages.protocols import make_folds
from stages.split import __main__ as step
from stages.split.audit import audit, violations

pytestmark = pytest.mark.usefixtures("small_project")

LABELS = ("glioma", "meningioma", "notumor", "pituitary")
PROTOCOLS = ("kfold", "holdout", "published", "source")
GROUPINGS = ("patient", "cluster", "none")
UNIT = {"patient": "group", "cluster": "cluster"}


@pytest.fixture(scope="module")
def pictures() -> pd.DataFrame:
    """300 distinct pictures of 120 patients, copies of some in three sources, a few conflicts, augmented copies of source c."""
    rng = np.random.default_rng(0)
    rows = []
    for cluster in range(300):
        patient = cluster % 120 if cluster < 240 else cluster  # one to two slices a patient
        label = LABELS[patient % 7 % 4]
        places = rng.choice(["a", "a", "b", "c"], 1 + rng.integers(0, 3))
        for number, source in enumerate(places):
            other = cluster >= 290 and number
            published = ["train", "test"][int(rng.random() < 0.25)] if source == "a" else ""
            rows.append({
                "image_id": f"{source}/{rng.integers(10**9):09}-{cluster}-{number}.jpg", "source": source, "cluster": cluster,
                "group": patient, "patient": f"P{patient}" if patient % 3 else "", "label": LABELS[(patient + 1) % 4] if other else label,
                "plane": ["axial", "coronal", ""][cluster % 3], "orientation": "mirrored" if number == 1 else "",
                "published_split": published, "augmented_from": "", "kept": False,
            })  # fmt: skip
    rows += [
        row | {"image_id": row["image_id"].replace(".jpg", f"_{kind}_.jpg"), "augmented_from": row["image_id"], "orientation": ""}
        for row in rows if row["source"] == "c" for kind in ("BR", "HF")
    ]  # fmt: skip
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    own = table[table.augmented_from == ""]
    clean = own.groupby("cluster").filter(lambda rows: rows.label.nunique() == 1)
    table.loc[clean.drop_duplicates("cluster").index, "kept"] = True
    return table


@pytest.fixture(autouse=True)
def tables(small_project, pictures) -> pd.DataFrame:
    """The same, written where the step looks for it."""
    table = pictures.copy()
    write_table(table[["image_id", "source", "label", "published_split", "augmented_from", "patient", "plane"]], CATALOG)
    write_table(table[["image_id", "cluster", "group", "kept", "orientation", "patient", "plane"]], CLUSTERS)
    set_params(split__train_sources=["a", "b"], split__test_sources=["c"])
    return table


def split(tables: pd.DataFrame, **params) -> tuple[pd.DataFrame, dict]:
    """The folds, joined to the tables, and the metrics, of split.<key>=<value>."""
    set_params(**{f"split__{key}": value for key, value in params.items()})
    step.main()
    return read_table(FOLDS).merge(tables, on="image_id"), json.loads(Path("metrics/split.json").read_text())


def sides(folds: pd.DataFrame) -> pd.DataFrame:
    """The folds with validation counted in with the training that it was taken from."""
    return folds.assign(role=folds.role.replace("validation", "train"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("group_by", GROUPINGS)
@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("augmented", [True, False])
def test_no_unit_is_torn_and_no_picture_has_two_roles(tables, protocol, group_by, distinct, augmented):
    folds, metrics = split(tables, protocol=protocol, group_by=group_by, distinct=distinct, augmented=augmented)
    assert not folds.duplicated(["fold", "image_id"]).any()
    assert folds[["fold", "image_id"]].equals(folds[["fold", "image_id"]].sort_values(["fold", "image_id"]))
    assert (folds.groupby("fold").role.unique().map(set) == {"train", "validation", "test"}).all()
    if group_by != "none":
        assert (folds.groupby(["fold", UNIT[group_by]]).role.nunique() == 1).all()
        assert metrics["leaks"]["test_pictures"] == 0
    if group_by == "patient":
        assert metrics["leaks"]["patients"] == 0
    extra = folds[folds.augmented_from != ""]
    assert set(extra.role) == ({"train"} if augmented else set())
    training = set(zip(folds.fold, folds.cluster, folds.role, strict=True))
    assert all((row.fold, row.cluster, "train") in training for row in extra.itertuples())
    if distinct:
        assert not folds[folds.augmented_from == ""].duplicated(["fold", "role", "cluster"]).any()
        assert folds.groupby("cluster").label.nunique().max() == 1
    assert sum(metrics["excluded"].values()) + metrics["pictures"] == len(tables)


@pytest.mark.parametrize("group_by", GROUPINGS)
def test_kfold_tests_every_distinct_picture_once_in_even_stratified_folds(tables, group_by):
    folds, _ = split(tables, protocol="kfold", group_by=group_by, folds=5)
    test = folds[folds.role == "test"]
    assert sorted(test.image_id) == sorted(tables.image_id[tables.kept])
    sizes = test.groupby("fold").size()
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 4
    counts = pd.crosstab(test.fold, test.label)
    assert (counts.max() - counts.min()).max() <= 4
    for _, rows in folds.groupby("fold"):
        share = (rows.role == "validation").sum() / (rows.role != "test").sum()
        assert share == pytest.approx(0.1, abs=0.02)
        assert len(rows) == tables.kept.sum()


@pytest.mark.parametrize("group_by", GROUPINGS)
def test_the_folds_within_a_fold_are_made_of_what_it_does_not_test_on(tables, group_by):
    outer, _ = split(tables, protocol="kfold", group_by=group_by, folds=4)
    inner, metrics = split(tables, protocol="kfold", group_by=group_by, folds=4, within=1)
    tested = outer[(outer.fold == 1) & (outer.role == "test")]
    assert sorted(inner.image_id[inner.role == "test"]) == sorted(set(tables.image_id[tables.kept]) - set(tested.image_id))
    assert not inner.cluster.isin(tested.cluster).any()
    if group_by == "patient":
        assert not inner.group.isin(tested.group).any()
    counts = pd.crosstab(inner.fold[inner.role == "test"], inner.label)
    assert len(counts) == 4 and (counts.max() - counts.min()).max() <= 4
    assert sum(metrics["excluded"].values()) + metrics["pictures"] == len(tables)


@pytest.mark.parametrize("test_fraction, validation_fraction", [(0.2, 0.1), (0.5, 0.25), (0.1, 0.02)])
def test_holdout_respects_the_fractions_class_by_class(tables, test_fraction, validation_fraction):
    folds, _ = split(tables, protocol="holdout", test_fraction=test_fraction, validation_fraction=validation_fraction)
    counts = pd.crosstab(folds.label, folds.role).reindex(columns=["train", "validation", "test"], fill_value=0)
    total = counts.sum(axis=1)
    assert (abs(counts.test - test_fraction * total) <= 3).all()
    assert (abs(counts.validation - validation_fraction * (total - counts.test)) <= 3).all()


def test_large_groups_of_one_class_do_not_spoil_the_folds(tables):
    # 12 patients of 30 slices beside 300 of one slice.
    group = np.concatenate([np.repeat(np.arange(12), 30), np.arange(12, 312)])
    table = pd.DataFrame({
        "image_id": [f"a/{n:04}" for n in range(len(group))], "source": "a", "published_split": "", "augmented_from": "",
        "label": np.array(LABELS)[group % 4], "cluster": range(len(group)), "unit": group, "kept": True,
    })  # fmt: skip
    folds, _ = make_folds(table, load_params().split)
    counts = pd.crosstab(folds.fold[folds.role == "test"], folds.merge(table).label[folds.role == "test"])
    assert counts.to_numpy().min() > 0 and (counts.sum(axis=1) - len(group) / 5).abs().max() <= 8


def test_published_keeps_the_author_s_test_and_cleans_the_training(tables):
    folds, metrics = split(tables, protocol="published", group_by="none", distinct=False)
    folds, originals = sides(folds), tables[tables.augmented_from == ""]
    for role in ("train", "test"):
        assert sorted(folds.image_id[folds.role == role]) == sorted(originals.image_id[originals.published_split == role])
    leaked = set(folds.cluster[folds.role == "test"]) & set(folds.cluster[folds.role == "train"])
    assert metrics["leaks"]["test_pictures"] == (folds.cluster.isin(leaked) & (folds.role == "test")).sum() > 10

    clean, metrics = split(tables, protocol="published", group_by="cluster", distinct=False)
    clean = sides(clean)
    assert sorted(clean.image_id[clean.role == "test"]) == sorted(folds.image_id[folds.role == "test"])
    assert set(clean.image_id[clean.role == "train"]) == set(folds.image_id[(folds.role == "train") & ~folds.cluster.isin(leaked)])
    assert metrics["leaks"]["test_pictures"] == 0


def test_published_and_distinct_takes_a_copy_from_each_side(tables):
    folds = sides(split(tables, protocol="published", group_by="none")[0])
    originals = tables[(tables.augmented_from == "") & tables.cluster.isin(tables.cluster[tables.kept])]
    for role in ("train", "test"):
        rows = folds[folds.role == role]
        assert (rows.published_split == role).all()
        assert set(rows.cluster) == set(originals.cluster[originals.published_split == role]) and rows.cluster.is_unique


def test_source_tests_what_training_has_not_seen(tables):
    folds, _ = split(tables, protocol="source", group_by="patient")
    assert set(folds.source[folds.role == "test"]) == {"c"} and set(folds.source[folds.role != "test"]) == {"a", "b"}
    originals = tables[tables.augmented_from == ""]
    pool = originals[originals.cluster.isin(originals.cluster[originals.kept])]
    train = pool[pool.source != "c"]
    assert set(folds.cluster[folds.role != "test"]) == set(train.cluster), "training keeps all it has"
    assert set(folds.cluster[folds.role == "test"]) == set(pool.cluster[(pool.source == "c") & ~pool.group.isin(train.group)])


@pytest.mark.parametrize("protocol", ["kfold", "holdout", "source"])
@pytest.mark.parametrize("group_by", GROUPINGS)
def test_each_side_has_the_planes_that_are_named_for_it(tables, protocol, group_by):
    planes = {"train_planes": ["axial"], "test_planes": ["coronal"]}
    folds, metrics = split(tables, protocol=protocol, group_by=group_by, test_fraction=0.5, folds=3, **planes)
    assert set(folds.plane[folds.role == "test"]) == {"coronal"} and set(folds.plane[folds.role != "test"]) == {"axial"}
    assert set(folds.role) == {"train", "validation", "test"} and metrics["leaks"]["test_pictures"] == 0
    if protocol == "kfold":
        assert sorted(folds.image_id[folds.role == "test"]) == sorted(tables.image_id[tables.kept & (tables.plane == "coronal")])


def test_no_plane_named_is_every_picture_of_that_side(tables):
    everything, _ = split(tables)
    folds, _ = split(tables, train_planes=["axial"])
    assert everything[everything.role == "test"].reset_index(drop=True).equals(folds[folds.role == "test"].reset_index(drop=True))
    assert {"axial", "coronal", ""} == set(folds.plane[folds.role == "test"])


def test_the_same_sources_train_on_one_plane_and_are_tested_on_another(tables):
    """As franceschin did; patients with both planes then leave the honest test, and the training keeps all it has."""
    odd = tables.group % 2 == 1  # the second slice of an odd patient is coronal, as are the pictures of nobody's
    tables["plane"] = np.where((tables.cluster >= 240) | (tables.cluster >= 120) & odd, "coronal", "axial")
    write_table(read_table(CLUSTERS).assign(plane=tables.plane), CLUSTERS)
    planes = {"protocol": "source", "train_sources": ["a"], "test_sources": ["a"], "train_planes": ["axial"], "test_planes": ["coronal"]}
    own = tables[(tables.source == "a") & (tables.augmented_from == "")]

    folds, metrics = split(tables, **planes, group_by="none", distinct=False)
    assert sorted(folds.image_id[folds.role == "test"]) == sorted(own.image_id[own.plane == "coronal"])
    assert sorted(folds.image_id[folds.role != "test"]) == sorted(own.image_id[own.plane == "axial"])
    assert metrics["leaks"]["patients"] > 10

    honest, metrics = split(tables, **planes, group_by="patient", distinct=True)
    pool = own[own.cluster.isin(tables.cluster[tables.kept])]
    axial = pool[pool.plane == "axial"]
    assert set(honest.cluster[honest.role != "test"]) == set(axial.cluster)
    assert set(honest.cluster[honest.role == "test"]) == set(pool.cluster[(pool.plane == "coronal") & ~pool.group.isin(axial.group)])
    assert metrics["leaks"]["patients"] == 0


def conflict(tables: pd.DataFrame) -> pd.DataFrame:
    """The tables with a picture that is a glioma here and a meningioma there, on both sides; on_conflict=majority kept the latter."""
    rows = [
        ("a/1-train.jpg", "a", "glioma", "train", "", False), ("a/2-test.jpg", "a", "meningioma", "test", "", True),
        ("a/3-train.jpg", "a", "meningioma", "train", "", False), ("c/4.jpg", "c", "glioma", "", "", False),
        ("c/4_BR_.jpg", "c", "glioma", "", "c/4.jpg", False), ("c/5.jpg", "c", "meningioma", "", "", False),
        ("c/5_BR_.jpg", "c", "meningioma", "", "c/5.jpg", False),
    ]  # fmt: skip
    added = pd.DataFrame(rows, columns=["image_id", "source", "label", "published_split", "augmented_from", "kept"])
    return pd.concat([tables, added.assign(cluster=900, unit=range(5000, 5000 + len(rows)))], ignore_index=True)


def test_a_picture_under_several_labels_has_the_kept_one_s_everywhere(tables):
    set_params(split__protocol="published", split__augmented=True, split__group_by="none")
    folds = sides(make_folds(conflict(tables.assign(unit=range(len(tables)))), load_params().split)[0])
    chosen = folds[folds.image_id.isin(["a/1-train.jpg", "a/2-test.jpg", "a/3-train.jpg", "c/4_BR_.jpg", "c/5_BR_.jpg"])]
    assert dict(zip(chosen.image_id, chosen.role, strict=True)) == {
        "a/2-test.jpg": "test",
        "a/3-train.jpg": "train",
        "c/5_BR_.jpg": "train",
    }


def test_excluded_says_why(tables):
    _, metrics = split(tables, protocol="kfold")
    assert metrics["excluded"]["augmented"] == (tables.augmented_from != "").sum()
    conflicting = set(tables.cluster) - set(tables.cluster[tables.kept])
    assert conflicting
    assert metrics["excluded"]["other"] == (tables.cluster.isin(conflicting) & (tables.augmented_from == "")).sum()
    assert metrics["folds"] == 5 and metrics["protocol"] == "kfold" and metrics["group_by"] == "patient"


@pytest.mark.parametrize(
    "params, message",
    [
        ({"protocol": "source", "train_sources": []}, "split.train_sources is .*here a, b, c"),
        ({"protocol": "source", "test_sources": ["cc"]}, "split.test_sources is .'cc'.*here a, b, c"),
        ({"protocol": "source", "test_sources": ["a"]}, "fold 0 has .* and 0 test pictures"),
        ({"protocol": "holdout", "test_fraction": 0.0}, "split.protocol=holdout: fold 0 has .* 0 test"),
        ({"protocol": "holdout", "within": 0}, "within is the number of a fold of kfold"),
        ({"protocol": "kfold", "folds": 400}, "split.protocol=kfold: fold .* 0 test"),
        ({"test_planes": ["sagittal"]}, "split.protocol=kfold: fold 0 has .* and 0 test"),
        ({"train_planes": ["oblique"]}, "split.train_planes.0: Input should be 'axial', 'coronal' or 'sagittal' .got 'oblique'"),
    ],
)
def test_what_cannot_be_split_is_one_line(tables, params, message):
    with pytest.raises(SystemExit, match=message) as exit:
        split(tables, **params)
    assert "\n" not in exit.value.code and not FOLDS.exists()


def test_a_class_that_a_choice_of_planes_leaves_without_pictures_is_named(tables):
    write_table(read_table(CLUSTERS).assign(plane=np.where(tables.label == "notumor", "axial", tables.plane)), CLUSTERS)
    with pytest.raises(
        SystemExit, match=r"^split.train_planes is \[coronal\]: fold 0 has no picture of notumor there; name more planes or fewer folds$"
    ):
        split(tables, train_planes=["coronal"])
    with pytest.raises(SystemExit, match=r"^split.test_planes is \[coronal\]: fold 0 has no picture of notumor there"):
        split(tables, train_planes=[], test_planes=["coronal"])
    assert not FOLDS.exists()


def test_a_class_of_a_single_patient_is_named_where_it_is_all_tested(tables):
    rare = tables[(tables.label != "glioma") | (tables.group == tables.group[tables.label == "glioma"].iloc[0])].reset_index(drop=True)
    set_params(split__protocol="kfold", split__group_by="patient")
    with pytest.raises(SystemExit, match=r"^split.protocol=kfold: fold \d has no training picture of glioma; fewer folds"):
        make_folds(rare.assign(unit=rare.group), load_params().split)


def test_five_equal_patients_a_class_leave_nothing_to_validate_with(tables):
    """A fifth is tested, and a tenth of the others is less than a patient."""
    few = tables[tables.kept].groupby("label").head(5).reset_index(drop=True)
    few["unit"] = few.index
    few = pd.concat([few.assign(image_id=few.image_id + str(n), cluster=few.cluster * 20 + n) for n in range(20)], ignore_index=True)
    set_params(split__protocol="kfold")
    with pytest.raises(
        SystemExit, match=r"^split.validation_fraction=0.1: fold 0 has nothing to validate with, since its 16 units"
    ) as exit:
        make_folds(few, load_params().split)
    assert "\n" not in exit.value.code
    set_params(split__validation_fraction=0.3)
    folds, _ = make_folds(few, load_params().split)
    assert (folds[folds.role == "validation"].groupby("fold").size() > 0).all() and folds.fold.nunique() == 5


def test_a_single_class_is_nothing_to_tell_apart(tables):
    write_table(read_table(CATALOG).assign(label="tumor"), CATALOG)
    with pytest.raises(SystemExit, match="^all pictures are of one class, tumor, .*data.labels in params.yaml"):
        step.main()
    assert not FOLDS.exists()


def test_without_published_folders_published_says_so(tables):
    write_table(read_table(CATALOG).assign(published_split=""), CATALOG)
    with pytest.raises(SystemExit, match="split.protocol=published: fold 0 has 0 training and 0 test pictures"):
        split(tables, protocol="published")


@pytest.mark.parametrize("protocol", ["kfold", "holdout"])
def test_nothing_to_split_says_so(tables, protocol):
    write_table(read_table(CLUSTERS).assign(kept=False), CLUSTERS)
    with pytest.raises(SystemExit, match="fold 0 has 0 training and 0 test pictures"):
        split(tables, protocol=protocol)


def test_the_seed_and_nothing_else_decides(tables):
    split(tables, seed=1)
    first = FOLDS.read_bytes(), Path("metrics/split.json").read_bytes()
    split(tables, seed=2)
    assert FOLDS.read_bytes() != first[0]
    split(tables, seed=1)
    assert (FOLDS.read_bytes(), Path("metrics/split.json").read_bytes()) == first


def placed(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["fold", "role", "cluster", "orientation", "patient"]).assign(
        unit=lambda table: table.cluster, label="x", plane=""
    )


def test_audit_counts_planted_leaks():
    result = audit(placed([
        (0, "train", 1, "", "P1"), (0, "test", 1, "", "P1"),  # as it is
        (0, "train", 2, "", ""), (0, "test", 2, "mirrored", ""), (0, "test", 2, "flipped", ""),  # only turned, twice
        (0, "train", 3, "mirrored", ""), (0, "train", 3, "", ""), (0, "test", 3, "mirrored", ""),  # turned alike on both sides
        (0, "validation", 4, "", ""), (0, "test", 4, "", ""),  # validation is training
        (0, "train", 5, "", "P2"), (0, "test", 6, "", "P2"), (0, "test", 7, "", "P3"), (0, "train", 8, "", ""),
        (1, "train", 6, "", "P2"), (1, "test", 1, "", "P1"), (1, "test", 6, "", "P2"),  # another fold
    ]))  # fmt: skip
    assert result["leaks"] == {
        "test_pictures": 6, "test_pictures_mirrored": 2, "training_pictures": 6, "patients": 3, "test_pictures_of_these_patients": 3,
    }  # fmt: skip
    assert set(result["tables"]) == {"fold 0", "fold 1"}
    assert result["tables"]["fold 1"]["test"] == {"pictures": 2, "units": 2, "labels": {"x": 2}, "planes": {"unknown": 2}}


def test_the_audit_counts_what_an_ungrouped_split_of_all_copies_leaks(tables):
    folds, metrics = split(tables, protocol="holdout", group_by="none", distinct=False, test_fraction=0.3)
    test, train = folds[folds.role == "test"], folds[folds.role != "test"]
    seen = [row for row in test.itertuples() if (train.cluster == row.cluster).any()]
    turned = [row for row in seen if not ((train.cluster == row.cluster) & (train.orientation == row.orientation)).any()]
    patients = (set(test.patient) & set(train.patient)) - {""}
    assert metrics["leaks"] == {
        "test_pictures": len(seen), "test_pictures_mirrored": len(turned), "training_pictures": train.cluster.isin(test.cluster).sum(),
        "patients": len(patients), "test_pictures_of_these_patients": test.patient.isin(patients).sum(),
    }  # fmt: skip
    assert min(metrics["leaks"].values()) > 5


def test_violations_names_a_torn_unit():
    table = placed(
        [(0, "train", 1, "", ""), (0, "train", 1, "", ""), (1, "test", 1, "", ""), (1, "train", 2, "", ""), (1, "validation", 2, "", "")]
    )
    assert violations(table) == [(1, 2)]
    assert violations(table[table.fold == 0]) == []


def test_a_torn_unit_stops_the_pipeline(tables, monkeypatch):
    folds, _ = make_folds(tables.assign(unit=tables.group), load_params().split)
    row = folds.merge(tables, on="image_id").query("fold == 2 and role == 'train'").iloc[0]
    torn = folds.copy()
    torn.loc[(folds.fold == 2) & (folds.image_id == row.image_id), "role"] = "test"
    siblings = tables.image_id[(tables.group == row.group) & tables.kept]
    assert len(siblings) > 1, "the test's own premise"
    monkeypatch.setattr(step, "make_folds", lambda table, params: (torn, {}))
    with pytest.raises(SystemExit, match=rf"split.group_by=patient is violated: 1 units .* \(2, {row.group}\)"):
        step.main()

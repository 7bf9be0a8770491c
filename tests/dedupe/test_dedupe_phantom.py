"""dedupe and split against what is known of the synthetic set."""

import json

import pandas as pd
import pytest

from stages.catalog import read_table
from stages.copies import KINDS
from stages.download.phantom_copies import COPIES

TURNS = {
    "mirrored": "mirrored",
    "lopsided_mirrored": "mirrored",
    "flipped": "flipped",
    "rotated": "rotated",
    "turned": "left",
    "transposed": "transposed",
}
BACK = {"left": "right"}  # all others are undone by doing them again


@pytest.fixture(scope="module")
def found(phantom_project) -> pd.DataFrame:
    """Truth and result side by side, a row a picture that decoded, by image_id."""
    table = read_table(phantom_project.folder / "data/dedupe/clusters.csv").set_index("image_id").add_prefix("found_")
    return phantom_project.truth.join(table, how="inner")


def copies(found: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The planted copies of a kind beside their originals, original_ columns."""
    originals = found.add_prefix("original_")
    return found[found.kind == kind].join(originals, on="original")


def test_only_the_corrupt_file_is_rejected(phantom_project, found):
    rejected = read_table(phantom_project.folder / "data/merged/rejected.csv")
    assert rejected.image_id.tolist() == phantom_project.truth.index[phantom_project.truth.kind == "corrupt"].tolist()
    assert len(found) + len(rejected) == len(phantom_project.truth)


@pytest.fixture(scope="module")
def metrics(phantom_project) -> dict:
    return json.loads((phantom_project.folder / "metrics/dedupe.json").read_text())


@pytest.fixture(scope="module")
def series(found) -> pd.DataFrame:
    """The slices of the thin-slice series."""
    originals = found[found.kind == "original"]
    return originals[originals.groupby("patient").patient.transform("size") > 4]


@pytest.mark.parametrize("kind", [kind for kind in COPIES if kind != "corrupt"])
def test_every_planted_copy_is_found_and_named(found, kind):
    pairs = copies(found, kind)
    assert len(pairs)
    assert (pairs.found_cluster == pairs.original_found_cluster).all()
    turn = TURNS.get(kind, "")
    for row in pairs.itertuples():  # either of the two may be the one that counts as the original
        both = (row.found_copy, row.found_orientation), (row.original_found_copy, row.original_found_orientation)
        assert both in (((row.called, turn), ("original", "")), (("original", ""), (row.called, BACK.get(turn, turn))))


def test_no_two_different_pictures_are_one(found):
    originals = found[found.kind == "original"]
    assert originals.found_cluster.is_unique
    assert found.found_cluster.nunique() == len(originals)


def test_slices_a_millimetre_apart_are_no_copies_but_one_group(found, series, phantom_project):
    catalog = read_table(phantom_project.folder / "data/merged/catalog.csv").set_index("image_id")
    named = set(catalog.patient) - {""}
    assert series.patient.nunique() >= 2 and 0 < series.patient.isin(named).sum() < len(series), "one whose patient is known, one without"
    assert series.found_cluster.is_unique
    assert (series.groupby("patient").found_group.nunique() == 1).all()
    assert (found[(found.kind != "original") & (found.kind != "twin")].original.isin(series.index)).sum() > 2, (
        "copies of them are told apart too"
    )


def test_one_picture_a_cluster_is_kept_the_largest_and_no_twin(found, phantom_project):
    twins = found[found.kind == "twin"]
    kept = found[found.found_kept]
    assert kept.found_cluster.is_unique
    assert set(found.found_cluster) - set(kept.found_cluster) == set(twins.found_cluster)
    catalog = read_table(phantom_project.folder / "data/merged/catalog.csv").set_index("image_id")
    area = (catalog.width * catalog.height).reindex(found.index)
    assert (area[kept.index].to_numpy() == area.groupby(found.found_cluster).max()[kept.found_cluster].to_numpy()).all()
    conflicts = read_table(phantom_project.folder / "data/dedupe/conflicts.csv")
    assert set(conflicts.image_id) == set(twins.index) | set(twins.original)


def test_known_patients_are_one_group_and_groups_hold_one_patient(found, phantom_project):
    known = set(read_table(phantom_project.folder / "data/merged/catalog.csv").patient) - {""}
    assert len(known) > 10
    assert (found[found.patient.isin(known)].groupby("patient").found_group.nunique() == 1).all()
    assert (found.groupby("found_group").patient.nunique() == 1).all()


def test_planes(found, metrics):
    predicted = found[found.found_plane_source == "predicted"]
    assert len(predicted) > 10 and (predicted.found_plane == predicted.plane).mean() > 0.9
    empty = found[found.found_plane_source == ""]
    assert len(empty) < len(predicted) and (empty.found_plane == "").all(), "what is unsure"
    rest = found[found.found_plane_source.isin(["annotated", "propagated"])]
    assert set(rest.found_plane_source) == {"annotated", "propagated"} and (rest.found_plane == rest.plane).all()
    accuracy = metrics["planes"]["accuracy_by_group"]
    assert accuracy["known_patients"]["of_filled_in"] > 0.85


def test_metrics_count_what_was_planted(found, metrics):
    planted = found.kind.value_counts()
    assert metrics["pictures"] == len(found)
    assert metrics["distinct"] == planted["original"]
    assert metrics["kept"] == planted["original"] - planted["twin"]
    assert metrics["conflicting_clusters"] == planted["twin"]
    assert metrics["copies"] == {kind: (found.called == kind).sum() for kind in KINDS}

    side = found.index.str.split("/").str[1]
    both = found.assign(side=side).groupby("found_cluster").side.transform("nunique") == 2
    assert metrics["published_test_in_training"]["phantom"]["in_training"] == (both & (side == "Testing")).sum() > 0


def test_all_pairs_of_known_slices_are_found_and_no_others(found, metrics, phantom_project):
    catalog = read_table(phantom_project.folder / "data/merged/catalog.csv").set_index("image_id")
    known = found[catalog.slice.reindex(found.index) != ""]
    assert 0.75 * len(found) < len(known) < len(found)
    copies = known[~known.kind.isin(["original", "exact"])]  # pairs are of different files
    truth = metrics["truth"]
    assert truth["pictures"] == len(known) - (known.kind == "exact").sum() and truth["slices"] == known.slice.nunique()
    assert (truth["pairs"], truth["recall"], truth["precision"], truth["wrong_pairs"]) == (len(copies), 1, 1, 0)
    planted = copies.called.value_counts().to_dict()
    assert truth["by_kind"] == {kind: {"pairs": count, "recall": 1} for kind, count in planted.items()}


def test_no_patient_and_no_picture_on_both_sides(found, phantom_project):
    folds = read_table(phantom_project.folder / "data/split/folds.csv").merge(found.reset_index(), on="image_id")
    known = folds[folds.found_patient != ""]
    assert (known.groupby(["fold", "patient"]).role.nunique() == 1).all()
    assert (folds.groupby(["fold", "found_group"]).role.nunique() == 1).all()
    tested = folds[folds.role == "test"]
    assert tested.found_cluster.is_unique and set(tested.image_id) == set(found.index[found.found_kept])
    assert set(json.loads((phantom_project.folder / "metrics/split.json").read_text())["leaks"].values()) == {0}

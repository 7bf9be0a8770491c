"""Find the copies of each picture, keep one, and group what a split must not tear apart."""

import numpy as np
import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, CONFLICTS, write_metrics, write_table
from stages.copies import KINDS, seen
from stages.dedupe import figure
from stages.dedupe.alike import find_alike
from stages.dedupe.clusters import choose_kept, describe_copies, join, same_value
from stages.dedupe.compact import find_places, image_ids, read_compact, read_parts
from stages.dedupe.groups import find_groups
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.pictures import Pictures
from stages.dedupe.planes import find_planes
from stages.dedupe.truth import compare_with_truth
from stages.params import load_params

# Bytes that dedupe takes whatever it keeps of the pictures (docs/scale.md): Python, its libraries and what is read at a time; and of each picture
# numbers in place of the catalog's text, its place in the index and in a cluster, and the pairs it is in.
PROCESS, PICTURE = 300 << 20, 500


def main() -> None:
    params = load_params()
    thumbnails = OnDisk(CATALOG.with_name("thumbnails.npy"))
    catalog = read_compact(len(thumbnails))
    # Byte-identical files are compared once; copies that a set ships as augmentation belong to their original anyway.
    own = np.flatnonzero(~catalog.augmented)
    searched = np.delete(own, same_value(catalog.sha256.to_numpy()[own])[1])
    sides = catalog[["width", "height"]].to_numpy(np.int64)
    with Pictures(find_places(catalog.source.cat.categories[1:].tolist(), searched), _room(len(catalog), params.dedupe.memory)) as pictures:
        alike = find_alike(pictures, sides[searched], catalog.patient.cat.codes.to_numpy()[searched], params.dedupe)
        looks = pictures.descriptors[:][:, 1]

    cluster = join(
        len(catalog),
        same_value(catalog.sha256.to_numpy()),
        same_value(catalog.original.to_numpy()),
        (searched, searched[alike.copy_of]),
    )
    patient = _patients(catalog.patient, cluster)
    near = alike.worst >= params.dedupe.neighbour
    group, persons = find_groups(
        cluster, catalog.patient.cat.codes.to_numpy(), patient.codes, searched[alike.first[near]], searched[alike.second[near]]
    )
    kept, conflicts = choose_kept(catalog, cluster, params.dedupe.on_conflict)
    conflicts.insert(0, "image_id", image_ids(conflicts.index))
    if params.dedupe.on_conflict == "error" and len(conflicts):
        lines = "".join(f"\n  cluster {row.cluster}: {row.label:12} {row.image_id}" for row in conflicts.itertuples())
        raise SystemExit(f"The same picture occurs under several labels (dedupe.on_conflict: drop or majority would go on):{lines}")

    table = pd.DataFrame({"cluster": cluster, "group": group, "kept": kept})
    table["copy"], table["orientation"] = describe_copies(catalog, cluster, kept, searched, alike.orientation, thumbnails)
    table["patient"] = patient
    planes, plane_metrics = find_planes(table.assign(plane=catalog.plane), searched, looks)
    table = pd.concat([table, planes], axis=1)

    _write(table)
    write_table(conflicts, CONFLICTS)
    known = patient.codes[searched], catalog["slice"].cat.codes.to_numpy()[searched]
    kinds = figure.kinds_of_pairs(alike.first, alike.second, *known)
    figure.draw(alike.agreement, alike.displacement, kinds, params.dedupe.same, "metrics/plots/copies.png")
    metrics = _summary(catalog, table, conflicts) | {
        "persons": _persons(patient, persons),
        "truth": compare_with_truth(catalog, cluster, searched, alike.orientation, thumbnails),
        "planes": plane_metrics,
    }
    write_metrics(metrics, "metrics/dedupe.json")
    print(f"{metrics['pictures']} pictures are {metrics['distinct']} distinct ones in {metrics['groups']} groups; {metrics['kept']} kept")


def _room(pictures: int, memory: float) -> float:
    """Bytes that so many pictures leave of memory (GiB) for their details."""
    taken = PROCESS + PICTURE * pictures
    if taken > memory * 2**30:
        print(f"dedupe.memory: {memory:g} GiB are less than the {taken / 2**30:.2f} that dedupe takes without keeping any details")
    return memory * 2**30 - taken


def _patients(patient: pd.Series, cluster: np.ndarray) -> pd.Categorical:
    """The patient of each row's cluster, the last by name where it has several."""
    last = np.zeros(len(patient), np.int32)
    np.maximum.at(last, cluster, patient.cat.codes.to_numpy())
    return pd.Categorical.from_codes(last[cluster], dtype=patient.dtype)


def _write(table: pd.DataFrame) -> None:
    """Write clusters.csv, with the image_ids, some rows at a time."""
    CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
    with CLUSTERS.open("w", encoding="utf-8", newline="") as file:
        for ids in read_parts(("image_id",)):
            ids.join(table.loc[ids.index]).to_csv(file, index=False, header=not file.tell(), lineterminator="\n")


def _summary(catalog: pd.DataFrame, table: pd.DataFrame, conflicts: pd.DataFrame) -> dict:
    own = table[~catalog.augmented]
    copies = own["copy"].value_counts()
    patients = catalog.patient[catalog.patient != ""].groupby(table.cluster).nunique()
    labels = catalog.label[table.kept].value_counts().sort_index()
    return {
        "pictures": len(own),
        "augmented": len(table) - len(own),
        "distinct": own.cluster.nunique(),
        "kept": int(table.kept.sum()),
        "kept_labels": labels[labels > 0].to_dict(),
        "groups": own.group.nunique(),
        "largest_group": int(own.groupby("group").kept.sum().max()),
        "conflicting_clusters": conflicts.cluster.nunique(),
        "clusters_of_several_patients": int((patients > 1).sum()),
        "copies": {name: int(copies.get(name, 0)) for name in KINDS},
        "published_test_in_training": {
            source: _leaked(rows)
            for source, rows in table.join(catalog[["source", "published_split", "sha256"]]).groupby("source", observed=True)
            if (rows.published_split == "test").any()
        },
    }


def _persons(patient: pd.Categorical, pairs: list[tuple[int, int]]) -> dict:
    """Patients that are taken for one person."""
    names = [[str(patient.categories[number]) for number in pair] for pair in pairs]
    return {"patients": len({name for pair in names for name in pair}), "pairs": [" ".join(pair) for pair in names]}


def _leaked(rows: pd.DataFrame) -> dict:
    found = seen(rows[rows.published_split == "test"], rows[rows.published_split == "train"])
    return {
        "test": len(found),
        "in_training": int(found.picture.sum()),
        "in_training_byte_identical": int(found.file.sum()),
        "share": float(found.picture.mean()),
        "group_in_training": int(found.group.sum()),
    }


if __name__ == "__main__":
    main()

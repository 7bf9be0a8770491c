"""Find every copy of a picture, keep one, and group what a split must not tear apart."""

import numpy as np
import pandas as pd
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from stages.catalog import CATALOG, CLUSTERS, CONFLICTS, write_metrics, write_table
from stages.copies import KINDS, seen
from stages.dedupe.align import aligned_correlation
from stages.dedupe.allocator import give_back_large
from stages.dedupe.clusters import choose_kept, describe_copies, join, same_value
from stages.dedupe.compact import image_ids, read_compact, read_parts
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.planes import find_planes
from stages.dedupe.search import similar_pairs
from stages.params import Dedupe, load_params

# Two cuts of one picture differ by the pixel that the box of a head is off. Heads down to so much below dedupe.neighbour are aligned;
# from ALIGNED on they are the same picture. In the three sets other slices, aligned as well, reach .971 (docs/data.md).
MARGIN = 0.04
ALIGNED = 0.98

# Bytes that stay in memory whatever there is room for (docs/scale.md): Python, its libraries and what is read at a time; the blocks that a
# thread compares; and of each picture numbers in place of the catalog's text, its place in a cluster, and the pairs it is in.
PROCESS, THREAD, PICTURE = 260 << 20, 20 << 20, 140


def main() -> None:
    give_back_large()
    params = load_params().dedupe
    thumbnails, heads = (OnDisk(CATALOG.with_name(f"{name}.npy")) for name in ("thumbnails", "heads"))
    catalog = read_compact(len(thumbnails))

    cluster, group = find_clusters(catalog, thumbnails, heads, params)
    kept, conflicts = choose_kept(catalog, cluster, params.on_conflict)
    conflicts.insert(0, "image_id", image_ids(conflicts.index))
    if params.on_conflict == "error" and len(conflicts):
        lines = "".join(f"\n  cluster {row.cluster}: {row.label:12} {row.image_id}" for row in conflicts.itertuples())
        raise SystemExit(f"The same picture occurs under several labels (dedupe.on_conflict: drop or majority would go on):{lines}")

    table = pd.DataFrame({"cluster": cluster, "group": group, "kept": kept})
    table["copy"], table["orientation"] = describe_copies(catalog, cluster, kept, thumbnails, heads, params.same)
    table["patient"] = _patients(catalog.patient, cluster)
    with threadpool_limits(1):  # many small products: threads only get in each other's way
        planes, accuracy = find_planes(table.assign(plane=catalog.plane), thumbnails)
    table = pd.concat([table, planes], axis=1)

    _write(table)
    write_table(conflicts, CONFLICTS)
    metrics = _summary(catalog, table, conflicts, accuracy)
    write_metrics(metrics, "metrics/dedupe.json")
    print(f"{metrics['pictures']} pictures are {metrics['distinct']} distinct ones in {metrics['groups']} groups; {metrics['kept']} kept")


def find_clusters(catalog: pd.DataFrame, thumbnails: OnDisk, heads: OnDisk, params: Dedupe) -> tuple[np.ndarray, np.ndarray]:
    """The number of the cluster (the same picture) and of the group (what must stay together) of each row of the catalog."""
    # Byte-identical files are compared once; copies that a set ships as augmentation belong to their original anyway.
    own = np.flatnonzero(~catalog.augmented).astype(np.int32)
    searched = np.delete(own, same_value(catalog.sha256.to_numpy()[own])[1])
    thumbnails, heads = thumbnails.only(searched), heads.only(searched)
    how = params.exact_search_up_to, _room(len(catalog), params.memory)
    whole = similar_pairs(thumbnails, params.neighbour, *how, "whole pictures")
    head = similar_pairs(heads, params.neighbour - MARGIN, *how, "heads")
    near = pd.concat([whole, head[head.correlation >= params.neighbour]])

    def edges(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return searched[pairs["first"]], searched[pairs["second"]]

    same = [same_value(catalog.sha256.to_numpy()), same_value(catalog.original.to_numpy()), edges(near[near.correlation >= params.same])]
    cluster = join(len(catalog), *same)
    first, second = edges(head)
    apart = head[cluster[first] != cluster[second]]
    recut = edges(apart[aligned_correlation(heads, apart) >= ALIGNED])
    cluster = join(len(catalog), *same, recut)
    group = join(len(catalog), *same, recut, edges(near), same_value(catalog.patient.cat.codes.to_numpy() - 1))
    return cluster, group


def _room(pictures: int, memory: float) -> float:
    """Bytes that so many pictures leave of memory (GiB) for their features."""
    taken = PROCESS + THREAD * cpu_count() + PICTURE * pictures
    if taken > memory * 2**30:
        print(f"dedupe.memory: {memory:g} GiB are less than the {taken / 2**30:.2f} that dedupe takes with all features in scratch files")
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


def _summary(catalog: pd.DataFrame, table: pd.DataFrame, conflicts: pd.DataFrame, plane_accuracy: float | None) -> dict:
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
        "planes": {
            **{source: int((own.plane_source == source).sum()) for source in ("annotated", "propagated", "predicted")},
            "accuracy_by_group": plane_accuracy,
        },
    }


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

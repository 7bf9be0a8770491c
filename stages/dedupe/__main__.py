"""Find every copy of a picture, keep one, and group what a split must not tear apart."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from stages.catalog import CATALOG, CLUSTERS, CONFLICTS, read_table, write_metrics, write_table
from stages.copies import KINDS, seen
from stages.dedupe.align import aligned_correlation
from stages.dedupe.clusters import choose_kept, describe_copies, join, same_value
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.planes import find_planes
from stages.dedupe.search import similar_pairs
from stages.params import Dedupe, load_params

# Two cuts of one picture differ by the pixel that the box of a head is off. Heads down to so much below dedupe.neighbour are aligned;
# from ALIGNED on they are the same picture. In the three sets other slices, aligned as well, reach .971 (docs/data.md).
MARGIN = 0.04
ALIGNED = 0.98


def main() -> None:
    params = load_params().dedupe
    catalog = read_table(CATALOG)
    thumbnails, heads = (OnDisk(CATALOG.with_name(f"{name}.npy")) for name in ("thumbnails", "heads"))

    cluster, group = find_clusters(catalog, thumbnails, heads, params)
    known = catalog.patient[catalog.patient != ""]
    patient = pd.Series(cluster).map(known.groupby(cluster[known.index]).max()).astype("string").fillna("")
    kept, conflicts = choose_kept(catalog, cluster, params.on_conflict)
    copy, orientation = describe_copies(catalog, cluster, kept, thumbnails, heads, params.same)

    table = catalog[["image_id"]].assign(cluster=cluster, group=group, kept=kept, copy=copy, orientation=orientation, patient=patient)
    with threadpool_limits(1):  # many small products: threads only get in each other's way
        planes, accuracy = find_planes(table.assign(plane=catalog.plane), thumbnails)
    table = pd.concat([table, planes], axis=1)

    write_table(table, CLUSTERS)
    write_table(conflicts, CONFLICTS)
    metrics = _summary(catalog, table, conflicts, accuracy)
    write_metrics(metrics, "metrics/dedupe.json")
    print(f"{metrics['pictures']} pictures are {metrics['distinct']} distinct ones in {metrics['groups']} groups; {metrics['kept']} kept")


def find_clusters(catalog: pd.DataFrame, thumbnails: OnDisk, heads: OnDisk, params: Dedupe) -> tuple[np.ndarray, np.ndarray]:
    """The number of the cluster (the same picture) and of the group (what must stay together) of each row of the catalog."""
    # Byte-identical files are compared once; copies that a set ships as augmentation belong to their original anyway.
    own = catalog[catalog.augmented_from == ""]
    searched = own.index[~own.duplicated("sha256")].to_numpy()
    thumbnails, heads = thumbnails.only(searched), heads.only(searched)
    how = params.exact_search_up_to, params.memory
    whole = similar_pairs(thumbnails, params.neighbour, *how, "whole pictures")
    head = similar_pairs(heads, params.neighbour - MARGIN, *how, "heads")
    near = pd.concat([whole, head[head.correlation >= params.neighbour]])

    def edges(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return searched[pairs["first"]], searched[pairs["second"]]

    originals = same_value(catalog.augmented_from.where(catalog.augmented_from != "", catalog.image_id))
    same = [same_value(catalog.sha256), originals, edges(near[near.correlation >= params.same])]
    cluster = join(len(catalog), *same)
    first, second = edges(head)
    apart = head[cluster[first] != cluster[second]]
    recut = edges(apart[aligned_correlation(heads, apart) >= ALIGNED])
    cluster = join(len(catalog), *same, recut)
    group = join(len(catalog), *same, recut, edges(near), same_value(catalog.patient))
    return cluster, group


def _summary(catalog: pd.DataFrame, table: pd.DataFrame, conflicts: pd.DataFrame, plane_accuracy: float | None) -> dict:
    own = table[catalog.augmented_from == ""]
    copies = own["copy"].value_counts()
    patients = catalog[catalog.patient != ""].groupby(table.cluster).patient.nunique()
    return {
        "pictures": len(own),
        "augmented": len(table) - len(own),
        "distinct": own.cluster.nunique(),
        "kept": int(table.kept.sum()),
        "kept_labels": catalog.label[table.kept].value_counts().sort_index().to_dict(),
        "groups": own.group.nunique(),
        "largest_group": int(own.groupby("group").kept.sum().max()),
        "conflicting_clusters": conflicts.cluster.nunique(),
        "clusters_of_several_patients": int((patients > 1).sum()),
        "copies": {name: int(copies.get(name, 0)) for name in KINDS},
        "published_test_in_training": {
            source: _leaked(rows)
            for source, rows in table.join(catalog[["source", "published_split", "sha256"]]).groupby("source")
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

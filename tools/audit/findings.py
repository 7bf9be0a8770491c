"""What is wrong with the images: copies across sides, one image under two classes, sizes that tell the class."""

from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from stages.copies import KINDS, seen
from stages.leaks.counts import CLOSEST, published_pairs
from stages.shortcuts import boosting
from tools.audit.copies import Clusters
from tools.audit.files import SPLITS

ORDER = ("train", "validation", "test")
FOLDS = 5
TELLING = 0.95  # share of one class among the images of a size and mode, from which these tell the class
LEAST = 10  # images of a class, or of a size and mode, of which something is said


def order_sides(table: pd.DataFrame) -> list[str]:
    """The sides with images: train before validation before test, by the names of the folders; others as they were given."""
    sides = [side for side in table.sort_values("folder", kind="stable").side.unique() if side]
    known = {side: SPLITS.get(side.rpartition("/")[2].lower()) for side in sides}
    return sorted(sides, key=lambda side: ORDER.index(known[side]) if known[side] else 0)


def find_leaks(clusters: Clusters) -> tuple[list[dict], list[pd.DataFrame]]:
    """Of each two sides, what the later one shares with the earlier one; and each such image (test) beside its least changed copy (train), row numbers,
    and the kind by which they differ.
    """
    table, leaks, examples = clusters.table, [], []
    for earlier, later in combinations(order_sides(table), 2):
        one, other = table[table.side == earlier], table[table.side == later]
        found = seen(other, one)
        sides = pd.concat([one.assign(published_split="train"), other.assign(published_split="test")]).assign(source="")
        pairs = published_pairs(sides, table, clusters.thumbnails)
        pairs = pairs.iloc[pairs.kind.map(CLOSEST.index).argsort(kind="stable")].drop_duplicates("test").sort_values("test")
        leaks.append(
            {
                "side": later,
                "other": earlier,
                "images": len(other),
                "copies": int(found.picture.sum()),
                "share": float(found.picture.mean()),
                "exact": int(found.file.sum()),
                "alike": int((found.group & ~found.picture).sum()),
                "kinds": {kind: int((pairs.kind == kind).sum()) for kind in KINDS if (pairs.kind == kind).any()},
            }
        )
        examples.append(pairs)
    return leaks, examples


def find_conflicts(table: pd.DataFrame) -> pd.Series:
    """Whether the cluster of each row has several classes, bool.

    Names of classes of two given folders are compared only where both folders have both: data sets name one class differently.
    """
    label = table.label.str.lower()
    names = label.groupby(table.folder).agg(set)
    several = label[label != ""].groupby(table.cluster).nunique()
    rows = table.assign(label=label)[(label != "") & table.cluster.isin(several.index[several > 1])]

    def conflict(some: pd.DataFrame) -> bool:
        found = some[["folder", "label"]].drop_duplicates().itertuples(index=False)
        return any(a.label != b.label and a.label in names[b.folder] and b.label in names[a.folder] for a, b in combinations(found, 2))

    return table.cluster.isin([cluster for cluster, some in rows.groupby("cluster") if conflict(some)])


def count_kinds(table: pd.DataFrame) -> dict[str, int]:
    """Kind -> images that are copies of a kept one in this way."""
    counts = table["copy"][~table.kept].value_counts()
    return {kind: int(counts[kind]) for kind in KINDS if kind in counts}


def describe_sizes(table: pd.DataFrame) -> dict:
    """How well size and mode alone tell the class: of each class what is most frequent, sizes and modes that tell it, and boosted trees.

    The trees (those of the shortcuts stage) see width, height and mode of one image a cluster, cross-validated by group; None where there are not two
    classes of LEAST images and FOLDS groups.
    """
    rows = table[table.kept & (table.label != "")].assign(
        size=lambda t: t.width.astype(str) + " x " + t.height.astype(str), format_mode=lambda t: t.format + " " + t["mode"]
    )
    classes = [
        {"label": label, "images": len(mine), "sizes": mine["size"].nunique(), **_most(mine, "size"), **_most(mine, "format_mode")}
        for label, mine in rows.groupby("label")
    ]
    share = rows.label.value_counts(normalize=True)
    telling = []
    for (size, mode), mine in rows.groupby(["size", "mode"]):
        label = mine.label.mode()[0]
        if len(mine) >= LEAST and (mine.label == label).mean() >= max(TELLING, share[label] + (1 - share[label]) / 2):
            telling.append({"size": size, "mode": mode, "images": len(mine), "label": label, "share": float((mine.label == label).mean())})
    return {
        "classes": classes,
        "telling": sorted(telling, key=lambda row: -row["images"]),
        "trees": _trees(
            rows[(rows.groupby("label").group.transform("nunique") >= FOLDS) & (rows.groupby("label").label.transform("size") >= LEAST)]
        ),
    }


def _most(rows: pd.DataFrame, column: str) -> dict:
    counts = rows[column].value_counts()
    return {column: counts.index[0], f"{column}_share": float(counts.iloc[0] / len(rows))}


def _trees(rows: pd.DataFrame) -> dict | None:
    if rows.label.nunique() < 2:
        return None
    rows = rows.reset_index(drop=True)
    features = rows[["width", "height"]].astype(float).assign(mode=rows["mode"].astype("category"))
    parts = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(features, rows.label, rows.group)
    folds = pd.concat(
        pd.DataFrame({"image_id": some, "fold": fold, "role": role})
        for fold, (train, test) in enumerate(parts)
        for role, some in (("train", train), ("test", test))
    )
    classes = sorted(rows.label.unique())
    models = boosting.fit(features, rows.label, folds)
    predicted = np.array(classes)[boosting.predict(models, features, folds, classes).argmax(1)]
    truth = rows.label[folds.image_id[folds.role == "test"]].to_numpy(str)
    right = pd.Series(predicted == truth)
    return {
        "images": len(rows),
        "accuracy": float(right.mean()),
        "most_frequent": float(rows.label.value_counts(normalize=True).iloc[0]),
        "balanced_accuracy": float(right.groupby(truth).mean().mean()),
        "chance": 1 / len(classes),
    }

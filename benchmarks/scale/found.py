"""What dedupe found of the copies that were planted."""

from pathlib import Path

from stages.catalog import CATALOG, CLUSTERS, read_table


def found(folder: Path) -> dict:
    """Of the planted copies, the share in their original's cluster; of the pictures called a copy, the share that is one of that original."""
    members = read_table(folder / CATALOG)[["image_id"]]
    table = read_table(folder / CLUSTERS)[["image_id", "cluster"]].merge(members)
    parts = table.image_id.str.extract(r"/(?P<way>\w+)/(?P<picture>\d+)\.jpg$")
    table = table.assign(way=parts.way, picture=parts.picture)
    originals = table[table.way == "original"].set_index("picture").cluster
    planted = table[table.way != "original"]
    right = planted.cluster.to_numpy() == planted.picture.map(originals).to_numpy()
    pictures = table.groupby("cluster").picture.nunique()
    called = len(table) - len(pictures)
    return {
        "planted": len(planted),
        "recall": float(right.mean()),
        "recall_by_way": {way: float(right[planted.way == way].mean()) for way in sorted(planted.way.unique())},
        "precision": 1 - float((pictures - 1).sum()) / called if called else 1.0,
    }

"""The picture files that all contenders get: as a folder a class, and packed in an archive as the stage download packs them."""

import shutil
import zipfile
from pathlib import Path

import pandas as pd
import yaml

from harness.layout import set_params
from stages.archives import read_member
from stages.catalog import CATALOG, CLUSTERS, read_table
from stages.download.phantom import phantom_members, phantom_truth
from stages.sources import Phantom

VALIDATION = 9  # every ninth picture of a class


def distinct_pictures() -> list[tuple[str, bytes]] | None:
    """Label and file of the distinct pictures of the merged sets, in an order drawn once; None where merge and dedupe have not run."""
    if not (CATALOG.exists() and CLUSTERS.exists()):
        return None
    table = read_table(CATALOG).merge(read_table(CLUSTERS)[["image_id", "kept"]])
    table = table[table.kept].sample(frac=1, random_state=0)
    return [(row.label, read_member(Path(f"data/raw/{row.source}.zip"), row.member)) for row in table.itertuples()]


def phantom_pictures(spec: Phantom) -> tuple[dict[str, bytes], pd.DataFrame]:
    """The files of the synthetic set that decode, by member, and what is known about them (phantom_truth, by member)."""
    truth = phantom_truth(spec).set_index("member")
    truth = truth[truth.kind != "corrupt"]
    members = phantom_members(spec)
    return {member: members[member] for member in truth.index}, truth


def lay_out_training(folder: Path, pictures: list[tuple[str, bytes]], train: int) -> None:
    """The first pictures of each class, as many of each, so many in all to train on and an eighth as many to validate with."""
    labels = sorted({label for label, _ in pictures})
    queues = [iter([data for label, data in pictures if label == name]) for name in labels]
    members = {}
    for number in range(train * VALIDATION // (VALIDATION - 1)):
        row, column = divmod(number, len(labels))
        role = "validation" if row % VALIDATION == VALIDATION - 1 else "train"
        data = next(queues[column], None)
        if data is None:
            raise SystemExit(f"There are not enough pictures of {labels[column]} to train on {train} in all")
        members[f"{role}/{labels[column]}/{row:04d}.jpg"] = data
    lay_out(folder, members)


def lay_out(folder: Path, members: dict[str, bytes]) -> None:
    """Write members under folder/pictures and into folder/data/raw/pictures.zip, beside params and a registry for our stages."""
    for path in ("pictures", "data/raw", "data/weights", "metrics"):
        (folder / path).mkdir(parents=True)
    for name in ("params.yaml", "data/corrections.csv"):
        shutil.copy(name, folder / name)
    set_params(folder / "params.yaml", {"data.sources": ["pictures"], "data.labels": {}}, "benchmark")
    (folder / "data/annotations.csv").write_text("sha256,patient,plane\n")
    entry = yaml.safe_load(Path("data/sources.yaml").read_text())["phantom"]
    (folder / "data/sources.yaml").write_text(yaml.safe_dump({"pictures": entry}))
    with zipfile.ZipFile(folder / "data/raw/pictures.zip", "w") as archive:
        for member, data in sorted(members.items()):
            path = folder / "pictures" / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            archive.writestr(zipfile.ZipInfo(member), data)

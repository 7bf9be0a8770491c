"""Merge the archives into one catalog: every picture decoded once, labelled, annotated, and reduced to two thumbnails."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from stages.catalog import CATALOG, write_metrics, write_table
from stages.merge.annotations import annotate
from stages.merge.corrections import correct
from stages.merge.folders import read_folders
from stages.merge.labels import rename
from stages.merge.progress import ARRAYS
from stages.merge.scan import scan
from stages.params import load_params
from stages.sources import load_source

PART = CATALOG.parent.with_suffix(".part")  # beside the outputs, since data/ may lie on a disk of its own
BLOCK = 4096  # pictures copied at once
COLUMNS = [
    "image_id", "source", "member", "sha256", "label", "published_split",
    "width", "height", "mode", "format", "augmented_from", "patient", "plane", "tumour_area",
]  # fmt: skip


def main() -> None:
    params = load_params()
    folders = {name: load_source(name).folders for name in params.data.sources}
    archives = {name: Path(f"data/raw/{name}.zip") for name in params.data.sources}
    _remove_others(archives)

    table = scan(archives, params.merge.max_megapixels, PART)
    table = pd.concat([read_folders(rows, folders[name]) for name, rows in table.groupby("source", sort=False)])
    labels = {label for entry in folders.values() for label in entry.labels}
    scanned = len(table)
    table = rename(correct(annotate(table, archives), labels), params.data.labels, labels).sort_values("image_id")

    good = table[table.reason == ""]
    rejected = table.loc[table.reason != "", ["image_id", "reason"]]
    write_table(good[COLUMNS], CATALOG)
    write_table(rejected, CATALOG.with_name("rejected.csv"))
    write_metrics(_summary(table, params.data.sources), "metrics/merge.json")

    print(f"{len(good)} pictures from {len(archives)} sources, {len(rejected)} rejected")
    if len(rejected) > params.merge.max_rejected or good.empty:
        first = "".join(f"\n  {row.image_id}: {row.reason}" for row in rejected.head(5).itertuples())
        raise SystemExit(
            f"{len(rejected)} pictures rejected, {len(good)} left; merge.max_rejected allows {params.merge.max_rejected}. "
            f"The first ones:{first}\n"
            "Check the archives and the labels in data/sources.yaml, or raise merge.max_rejected."
        )
    for name in ARRAYS:
        if len(good) < scanned:
            _keep(good.index.to_numpy(), PART / name, CATALOG.with_name(name))
        else:
            (PART / name).replace(CATALOG.with_name(name))
    shutil.rmtree(PART)


def _remove_others(archives: dict[str, Path]) -> None:
    # The stage depends on the folder data/raw, so an archive that an earlier choice of data.sources left there
    # would become part of this run's recorded inputs. DVC's cache still has it.
    keep = {path.stem for path in archives.values()}
    for path in Path("data/raw").iterdir():
        if path.suffix in (".zip", ".json") and path.stem not in keep:
            path.unlink()


def _keep(rows: np.ndarray, of: Path, to: Path) -> None:
    """Write these rows of an array, a few at a time: all may be more than the memory holds."""
    shape = (len(rows), *np.load(of, mmap_mode="r").shape[1:])
    np.lib.format.open_memmap(to, "w+", np.uint8, shape)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        np.load(to, mmap_mode="r+")[part] = np.load(of, mmap_mode="r")[rows[part]]


def _summary(table: pd.DataFrame, sources: list[str]) -> dict:
    good = table[table.reason == ""]
    return {
        "pictures": len(good),
        "rejected": len(table) - len(good),
        "reasons": table.loc[table.reason != "", "reason"].value_counts().sort_index().to_dict(),
        "labels": good.label.value_counts().sort_index().to_dict(),
        "sources": {
            name: {
                "pictures": int((good.source == name).sum()),
                "augmented": int(((good.source == name) & (good.augmented_from != "")).sum()),
                "published_test": int(((good.source == name) & (good.published_split == "test")).sum()),
            }
            for name in sources
        },
        "annotated": {name: int((good[name] != "").sum()) for name in ("patient", "plane", "tumour_area")},
    }


if __name__ == "__main__":
    main()

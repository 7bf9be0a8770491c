"""Merge the archives into one catalog: every picture decoded once, labelled, annotated, and reduced to a thumbnail."""

import shutil
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from stages.archives import directory
from stages.catalog import CATALOG, DEMONSTRATION, write_metrics
from stages.merge.annotations import ANNOTATIONS, Annotations
from stages.merge.classes import Classes
from stages.merge.corrections import CORRECTIONS, Corrections
from stages.merge.folders import read_folders
from stages.merge.labels import rename
from stages.merge.progress import THUMBNAILS
from stages.merge.scan import scan
from stages.merge.shipped import find_tables
from stages.params import load_params
from stages.pixels import is_blank
from stages.sources import folder_name, load_source, load_sources

RAW = Path("data/raw")
PART = CATALOG.parent.with_suffix(".part")  # beside the outputs, since data/ may lie on a disk of its own
REJECTED = CATALOG.with_name("rejected.csv")
ROWS = 20_000  # of the catalog in memory at a time
BLOCK = 4096  # pictures copied at once
SHOWN = 5  # rejected pictures, when there are too many
COLUMNS = [
    "image_id", "source", "member", "sha256", "label", "published_split",
    "width", "height", "mode", "format", "augmented_from", "patient", "plane", "tumour_area", "slice",
]  # fmt: skip
TALLIED = ["source", "label", "published_split", "reason", "augmented_from", "patient", "plane", "tumour_area", "slice"]


def main() -> None:
    params = load_params()
    sources = {name: load_source(name) for name in params.data.sources}
    folders = {name: source.folders for name, source in sources.items()}
    archives = {name: RAW / f"{name}.zip" for name in params.data.sources}
    labels = {label for entry in folders.values() for label in entry.labels}
    _refuse_twins(labels | set(params.data.labels.values()))
    _remove_others(archives)

    tables = {(path, member): kind for path in archives.values() for member, kind in find_tables(path).items()}
    corrections, annotations = Corrections(tables, labels), Annotations(tables)
    with scan(archives, params.merge.max_megapixels, PART) as progress, _open(CATALOG) as catalog, _open(REJECTED) as rejected:
        if not progress.members:
            raise SystemExit(
                f"{', '.join(map(str, archives.values()))} hold no files but annotations.csv; check them and data/sources.yaml"
            )
        originals = {name: _members(archives[name]) if entry.augmented else () for name, entry in folders.items()}
        good, blank, tallies, classes = np.zeros(progress.members, bool), [], [], Classes()
        reasons: list[str] = []
        for table in progress.parts(ROWS):
            table = pd.concat([read_folders(rows, folders[name], originals[name]) for name, rows in table.groupby("source", sort=False)])
            classes.count(table)
            table = rename(corrections.correct(annotations.annotate(table)), params.data.labels, labels).sort_index()
            unusable = table.reason != ""
            good[table.index[~unusable]] = True
            blank += table.image_id[_are_blank(table.index.to_numpy(), progress.thumbnails) & ~unusable].tolist()
            _append(table.loc[~unusable, COLUMNS], catalog)
            _append(table.loc[unusable, ["image_id", "reason"]], rejected)
            reasons += [f"\n  {row.image_id}: {row.reason}" for row in table[unusable].head(SHOWN - len(reasons)).itertuples()]
            tallies.append(_tally(table))
    tally = pd.concat(tallies).groupby(level=list(range(len(TALLIED)))).sum().rename("pictures").reset_index()
    metrics = _summary(tally, params.data.sources)
    write_metrics(metrics, "metrics/merge.json")
    write_metrics({"demonstration": any(source.archive.phantom for source in sources.values())}, DEMONSTRATION)

    if blank:
        print(
            f"WARNING: {len(blank)} pictures are blank, all of one level: {', '.join(blank[:SHOWN])}{', ...' * (len(blank) > SHOWN)}. "
            f"They are taken as pictures; {CORRECTIONS} can exclude them."
        )
    _tell_matches(corrections.matched() | annotations.matched())
    print(f"{metrics['pictures']} pictures from {len(archives)} sources, {metrics['rejected']} rejected")
    if metrics["rejected"] > params.merge.max_rejected or not metrics["pictures"]:
        raise SystemExit(
            f"{metrics['rejected']} pictures rejected, {metrics['pictures']} left; merge.max_rejected allows {params.merge.max_rejected}. "
            f"The first ones:{''.join(reasons)}\n"
            "Check the archives and the labels in data/sources.yaml, or raise merge.max_rejected."
        )
    classes.check(folders)
    if good.all():
        (PART / THUMBNAILS).replace(CATALOG.with_name(THUMBNAILS))
    else:
        _keep(np.flatnonzero(good), PART / THUMBNAILS, CATALOG.with_name(THUMBNAILS))
    shutil.rmtree(PART)


def _refuse_twins(labels: set[str]) -> None:
    names: dict[str, str] = {}
    for label in sorted(labels):
        if (other := names.setdefault(folder_name(label), label)) != label:
            raise SystemExit(
                f"data/sources.yaml, data.labels: the classes {other!r} and {label!r} only differ in case, blanks or form of Unicode; "
                "give them one name"
            )


def _remove_others(archives: dict[str, Path]) -> None:
    # The stage depends on the folder data/raw, so whatever lies there becomes part of this run's recorded inputs. An archive that an
    # earlier choice of data.sources left there is removed: DVC's cache still has it. What somebody else put there stays theirs.
    ours = {f"{name}{suffix}": name for name in load_sources() for suffix in (".zip", ".json")}
    found = [path for path in sorted(RAW.iterdir()) if path.suffix != ".part" and path.name != ".DS_Store"]  # as in .dvcignore
    if others := [path for path in found if path.name not in ours]:
        raise SystemExit(
            f"{others[0]} is no archive of a source in data/sources.yaml; move it out of {RAW}, which is this stage's input: "
            "pictures to a folder for BRAIN_MRI_MIRROR (README.md), anything else to wherever you like"
        )
    for path in found:
        if ours[path.name] not in archives:
            path.unlink()


def _tell_matches(matched: dict[str, tuple[int, int]]) -> None:
    """Say how much of each table was about a picture; exit if nothing of an archive's own was. The project's tables may be about other sets."""
    for name, (met, rows) in matched.items():
        if not met and name not in (ANNOTATIONS, CORRECTIONS):
            raise SystemExit(
                f"{name}: none of its {rows} rows has the sha256 of a picture here, so that nothing of it counts; "
                "a file that was saved anew has another one: compute them of the files in the archive, or take the table out of it"
            )
        print(f"{name}: {met} of {rows} rows are of pictures here")


def _members(archive: Path) -> set[str]:
    return {member.filename for member in directory(archive)}


def _open(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="")


def _append(table: pd.DataFrame, file: TextIO) -> None:
    table.to_csv(file, index=False, header=not file.tell(), lineterminator="\n")


def _keep(rows: np.ndarray, of: Path, to: Path) -> None:
    """Write these rows of an array, a few at a time: all may be more than the memory holds."""
    shape = (len(rows), *np.load(of, mmap_mode="r").shape[1:])
    np.lib.format.open_memmap(to, "w+", np.uint8, shape)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        np.load(to, mmap_mode="r+")[part] = np.load(of, mmap_mode="r")[rows[part]]


def _are_blank(rows: np.ndarray, of: Path) -> np.ndarray:
    """bool [N]: whether these rows of an array show nothing; as many at a time."""
    parts = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return np.concatenate([np.zeros(0, bool), *(is_blank(np.load(of, mmap_mode="r")[part]) for part in parts)])


def _tally(table: pd.DataFrame) -> pd.Series:
    """How many pictures there are of each kind; of what is known of a picture, whether anything is."""
    known = ["augmented_from", "patient", "plane", "tumour_area", "slice"]
    return table.assign(**{name: table[name] != "" for name in known}).groupby(TALLIED).size()


def _summary(tally: pd.DataFrame, sources: list[str]) -> dict:
    good = tally[tally.reason == ""]

    def count(rows: pd.DataFrame) -> int:
        return int(rows.pictures.sum())

    return {
        "pictures": count(good),
        "rejected": count(tally) - count(good),
        "reasons": tally[tally.reason != ""].groupby("reason").pictures.sum().to_dict(),
        "labels": good.groupby("label").pictures.sum().to_dict(),
        "sources": {
            name: {
                "pictures": count(good[good.source == name]),
                "augmented": count(good[(good.source == name) & good.augmented_from]),
                "published_test": count(good[(good.source == name) & (good.published_split == "test")]),
            }
            for name in sources
        },
        "annotated": {name: count(good[good[name]]) for name in ("patient", "plane", "tumour_area", "slice")},
    }


if __name__ == "__main__":
    main()

"""Take the labels that somebody filled in into data/corrections.csv, for every copy of each picture.

python -m tools.corrections FILE   metrics/audit.csv, or a table with its columns image_id and correct_label, which holds a label,
                                   "exclude" for an unusable picture, or nothing

A label is one of data/sources.yaml, or what data.labels renames one to; where it joins several, write which of them.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, read_table, write_table
from stages.merge.corrections import CORRECTIONS, EXCLUDE
from stages.merge.given import read_given
from stages.params import load_params
from stages.sources import load_source


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.corrections", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    filled = read_given(file, str(file), ("image_id", "correct_label"))
    filled = filled.assign(correct_label=filled.correct_label.str.strip())
    pictures, files = take_in(filled[filled.correct_label != ""])
    print(f"{pictures} pictures corrected, {files} files with their copies: {CORRECTIONS}. Run `dvc repro` and commit it with the results.")


def take_in(filled: pd.DataFrame) -> tuple[int, int]:
    """Add to data/corrections.csv: how many pictures, and how many files, copies included, have a new label.

    Raises SystemExit for a picture or a label that does not exist.
    """
    catalog = read_table(CATALOG).merge(read_table(CLUSTERS)[["image_id", "cluster"]], on="image_id").set_index("image_id")
    if unknown := sorted(set(filled.image_id) - set(catalog.index)):
        sys.exit(f"{unknown[0]} is not in {CATALOG}" + (f", nor are {len(unknown) - 1} others" if len(unknown) > 1 else ""))
    data = load_params().data
    labels = {label for name in data.sources for label in load_source(name).folders.labels}
    filled = filled.assign(correct_label=[_label(given, labels, data.labels) for given in filled.correct_label])
    by_cluster = filled.assign(cluster=catalog.cluster.loc[filled.image_id].to_numpy()).drop_duplicates("cluster", keep="last")
    copies = catalog[["sha256", "cluster"]].assign(label=catalog.cluster.map(by_cluster.set_index("cluster").correct_label)).dropna()
    corrections = pd.concat([read_table(CORRECTIONS), copies[["sha256", "label"]]]).drop_duplicates("sha256", keep="last")
    write_table(corrections.sort_values("sha256"), CORRECTIONS)
    return len(by_cluster), len(copies)


def _label(given: str, labels: set[str], names: dict[str, str]) -> str:
    """The label of the registry, before data.labels (names), that somebody means."""
    meant = sorted(label for label in labels if names.get(label, label) == given)
    if len(meant) == 1:
        return meant[0]
    if given == EXCLUDE or given in (meant or labels):
        return given
    if meant:
        sys.exit(f"correct_label {given!r} stands for {', '.join(meant)} in data.labels; write which of them")
    sys.exit(f"correct_label {given!r}: use one of {', '.join(sorted({*labels, EXCLUDE}))}")


if __name__ == "__main__":
    main()

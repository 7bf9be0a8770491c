"""Which copies tools.audit, imagededup and cleanvision find, by kind, on the synthetic set, whose copies are known.

.venv/bench/bin/python -m benchmarks.duplicates prints the table of docs/audit.md. All run with their default settings.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import pandas as pd

from stages.catalog import read_table
from stages.download.phantom import phantom_members, phantom_truth
from stages.sources import load_source

Pairs = set[frozenset[str]]


def audit(folder: Path) -> Pairs:
    with tempfile.TemporaryDirectory() as output:
        subprocess.run([sys.executable, "-m", "tools.audit", folder, "--output", output], stdout=subprocess.DEVNULL)
        images = read_table(Path(output) / "images.csv")
    return pairs_within(images.path.groupby(images.cluster).agg(list))


def imagededup(folder: Path) -> Pairs:
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(str(folder), recursive=True)
    return {frozenset((name, other)) for name, others in found.items() for other in others}


def cleanvision(folder: Path) -> Pairs:
    from cleanvision import Imagelab

    kinds = ("exact_duplicates", "near_duplicates")
    lab = Imagelab(data_path=str(folder))
    lab.find_issues({kind: {} for kind in kinds}, verbose=False)
    return pairs_within([str(Path(name).relative_to(folder)) for name in names] for kind in kinds for names in lab.info[kind]["sets"])


def pairs_within(sets: Iterable[list[str]]) -> Pairs:
    return {frozenset(pair) for names in sets for pair in combinations(names, 2)}


def main() -> None:
    spec = load_source("phantom").archive.phantom
    truth = phantom_truth(spec)
    truth = truth[truth.kind != "corrupt"]
    members = phantom_members(spec)
    original = truth.original.where(truth.original != "", truth.member)
    right = pairs_within(truth.member.groupby(original).agg(list))
    copies = truth[truth.kind != "original"]
    planted = {kind: {frozenset(pair) for pair in zip(some.member, some.original, strict=True)} for kind, some in copies.groupby("kind")}
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in truth.member:  # without the damaged file, which ends some tools
            path = Path(folder).resolve() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(members[name])
        for name, tool in (("tools.audit", audit), ("imagededup", imagededup), ("cleanvision", cleanvision)):
            found = tool(Path(folder).resolve())
            label = name if name == "tools.audit" else f"{name} {version(name)}"
            rows[label] = {kind: f"{len(pairs & found)}/{len(pairs)}" for kind, pairs in planted.items()}
            rows[label] |= {"all": f"{len(right & found)}/{len(right)}", "precision": f"{len(right & found) / max(len(found), 1):.3f}"}
    table = pd.DataFrame(rows).T
    print(f"{len(truth)} images.\n")
    print(f"| tool | {' | '.join(table)} |\n| --- |{' ---: |' * len(table.columns)}")
    for name, row in table.iterrows():
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()

"""What finds the copies of a picture: our stages merge and dedupe, imagededup and cleanvision, each with its default settings.

python -m benchmarks.speed.dedupe TOOL FOLDER prints the pairs of files that it takes for one picture, and what it took.
"""

import json
import os
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from benchmarks.speed.task import Stopwatch

Pairs = set[frozenset[str]]


def ours() -> tuple[Stopwatch, Pairs]:
    """merge and dedupe, with all that they do and write besides: labels, groups, planes."""
    from stages.catalog import CLUSTERS, read_table
    from stages.dedupe.__main__ import main as dedupe
    from stages.merge.__main__ import main as merge

    watch = Stopwatch()
    merge()
    dedupe()
    watch.lap()
    clusters = read_table(CLUSTERS)
    return watch, pairs_within(clusters.image_id.str.removeprefix("pictures/").groupby(clusters.cluster).agg(list))


def imagededup() -> tuple[Stopwatch, Pairs]:
    """Its perceptual hash. (The weights of its convolutional network come from a hub.)"""
    from imagededup.methods import PHash

    watch = Stopwatch()
    found = PHash(verbose=False).find_duplicates("pictures", recursive=True)
    watch.lap()
    return watch, {frozenset((name, other)) for name, others in found.items() for other in others}


def cleanvision() -> tuple[Stopwatch, Pairs]:
    """Its exact and near duplicates."""
    from cleanvision import Imagelab

    kinds = ("exact_duplicates", "near_duplicates")
    watch = Stopwatch()
    lab = Imagelab(data_path="pictures")
    lab.find_issues({kind: {} for kind in kinds}, verbose=False)
    watch.lap()
    here = f"{Path('pictures').absolute()}/"
    return watch, pairs_within([name.removeprefix(here) for name in names] for kind in kinds for names in lab.info[kind]["sets"])


def pairs_within(sets: Iterable[list[str]]) -> Pairs:
    """All pairs of the members of each set."""
    return {frozenset(pair) for names in sets for pair in combinations(names, 2)}


def main() -> None:
    tool, folder = sys.argv[1:]
    os.chdir(folder)
    watch, pairs = {"ours": ours, "imagededup": imagededup, "cleanvision": cleanvision}[tool]()
    print(json.dumps({"seconds": watch.laps()[0], "pairs": sorted(map(sorted, pairs))}))


if __name__ == "__main__":
    main()

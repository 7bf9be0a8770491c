"""Measure download, merge and dedupe on very many synthetic thumbnails with planted copies.

python -m benchmarks.scale --pictures 10000 100000 1000000

Rewrites benchmarks/scale/results.json and the tables of docs/scale.md after every size. A million take about 20 GB of scratch space.
"""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from joblib import cpu_count

from benchmarks.scale.found import found
from benchmarks.scale.pictures import CHUNK, write_zip
from benchmarks.scale.table import LITTLE, RESULTS, write_tables
from harness.layout import lay_out, set_params
from harness.usage import measure
from stages.catalog import CLUSTERS, write_metrics

SCRATCH = Path(".scratch/scale")
SOURCE = {
    "licence": "CC0-1.0",
    "attribution": "this project",
    "archive": {"slug": "phantom/heads", "version": 1, "title": "Synthetic heads"},
    "folders": {"labels": {"glioma": ["glioma"]}},
}
EVERYTHING = 10**9  # dedupe.exact_search_up_to of the exhaustive search, and GiB to have all in memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help=f"sizes, multiples of {CHUNK}")
    parser.add_argument("--exhaustive-up-to", type=int, default=100_000, help="sizes up to which each is also compared with each (100000)")
    arguments = parser.parse_args()

    results = {"command": " ".join(["python -m benchmarks.scale", *sys.argv[1:]]), "cores": cpu_count(), "sizes": {}}
    for count in arguments.pictures:
        results["sizes"][str(count)] = run(count, count <= arguments.exhaustive_up_to)
        write_metrics(results, RESULTS)
        write_tables(results)


def run(count: int, exhaustively: bool) -> dict:
    """Seconds and megabytes of each stage on so many pictures, and what dedupe found of what was planted."""
    folder = (SCRATCH / str(count)).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(folder, needed=(".dvc/", "data/", "params.yaml", "stages/", "benchmarks/"))
    (folder / "data/sources.yaml").write_text(yaml.safe_dump({"heads": SOURCE}))
    set_params(folder / "params.yaml", {"data.sources": ["heads"], "dedupe.exact_search_up_to": 1}, "benchmarks.scale")
    mirror = folder / "mirror/phantom/heads.zip"
    mirror.parent.mkdir(parents=True)
    os.environ["BRAIN_MRI_MIRROR"] = str(folder / "mirror")

    def stage(name: str, *arguments: str) -> dict:
        seconds, megabytes = measure([sys.executable, "-m", f"stages.{name}", *arguments], folder)
        print(f"{count} pictures, {name}: {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
        return {"seconds": seconds, "megabytes": megabytes}

    def apart(function: Callable, *arguments: Any) -> Any:
        # In a process of its own, as a stage inherits the peak memory of the one that starts it.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()

    apart(write_zip, count, mirror)
    result = {"bytes": mirror.stat().st_size, "download": stage("download", "heads"), "merge": stage("merge"), "dedupe": stage("dedupe")}
    result |= apart(found, folder)
    clusters = digest(folder / CLUSTERS)

    def again(**params: float) -> dict:
        set_params(folder / "params.yaml", {f"dedupe.{key}": value for key, value in params.items()}, "benchmarks.scale")
        return stage("dedupe") | {"same_clusters": digest(folder / CLUSTERS) == clusters}

    result["little_memory"] = again(memory=LITTLE)
    if exhaustively:
        result["exhaustive"] = again(exact_search_up_to=EVERYTHING, memory=EVERYTHING)
    shutil.rmtree(folder)
    return result


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()

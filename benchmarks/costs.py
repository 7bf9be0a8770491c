"""Run the pipeline stage by stage and record what each costs: wall time and the memory of its largest process.

python -m benchmarks.costs runs what `dvc repro` would run (all of it with --force) and rewrites the table in docs/performance.md.
"""

import argparse
import io
import os
import subprocess
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml
from PIL import Image

from harness.markers import replace_part
from harness.usage import measure
from stages.archives import read_member

TABLE = Path("docs/performance.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--force", action="store_true", help="also run the stages that are up to date")
    force = ["--force"] if parser.parse_args().force else []

    names = subprocess.run(["dvc", "stage", "list", "--name-only"], check=True, capture_output=True, text=True).stdout.split()
    rows = []
    for name in names:
        seconds, megabytes = measure(["dvc", "repro", "--single-item", *force, name])
        rows.append((name, seconds, megabytes))
        print(f"{name}: {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
    rows.append(("sum", sum(row[1] for row in rows), max(row[2] for row in rows)))
    rows.append(("no-op `dvc repro`", *measure(["dvc", "repro", "--quiet"])))
    rows.append(
        (
            "merely decoding the same files",
            time_decoding(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["data"]["sources"]),
            None,
        )
    )

    lines = ["| stage | seconds | largest process, MB |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {seconds:.1f} | {'' if megabytes is None else round(megabytes)} |" for name, seconds, megabytes in rows]
    replace_part(TABLE, "costs", "\n".join(lines))


def time_decoding(sources: list[str]) -> float:
    """Seconds to decode every picture with Pillow, and nothing else, on all cores: the floor for merge."""
    jobs = []
    for path in (Path(f"data/raw/{source}.zip") for source in sources):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        jobs += [(path, members[i : i + 64]) for i in range(0, len(members), 64)]
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_decode, jobs))
    return time.perf_counter() - start


def _decode(job: tuple[Path, list[str]]) -> None:
    path, members = job
    for member in members:
        Image.open(io.BytesIO(read_member(path, member))).load()


if __name__ == "__main__":
    main()

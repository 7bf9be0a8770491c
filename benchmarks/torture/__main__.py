"""Injects faults into the real commands on synthetic data, and shows which of them hold.

make torture                                     all of them
python -m benchmarks.torture --only kill disk-full    some of them
python -m benchmarks.torture --only kill --tries 3    less often than a row of the table in docs/reliability.md needs, which stays as it is
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.torture import disk, hostile, kill, machine, network, params, parsers, queue
from benchmarks.torture.project import Project, repeated
from harness.markers import replace_part

TABLE = Path("docs/reliability.md")


class Fault(NamedTuple):
    """run(project, tries, rng) gives what went wrong in each try, empty where the pipeline held; lacking() why it cannot be tried here, if so."""

    what: str
    tries: int
    run: Callable[[Project, int, np.random.Generator], list[str]]
    lacking: Callable[[], str] = str


FAULTS = {
    "kill": Fault("killed at a random moment (SIGKILL)", 24, partial(kill.ended_by, signal.SIGKILL)),
    "term": Fault("ended at a random moment (SIGTERM)", 12, partial(kill.ended_by, signal.SIGTERM)),
    "interrupt": Fault("interrupted at a random moment (Ctrl-C)", 12, partial(kill.ended_by, signal.SIGINT)),
    "again": Fault("ended (SIGTERM or Ctrl-C) in a stage that had succeeded before", 24, repeated(kill.ended_again)),
    "disk-full": Fault("disk full under data/", 4, repeated(partial(disk.full, "data")), lacking=disk.lacking),
    "cache-full": Fault("disk full under DVC's cache", 4, repeated(partial(disk.full, ".dvc/cache")), lacking=disk.lacking),
    "read-only": Fault("metrics/ cannot be written to", 1, repeated(partial(disk.read_only, "metrics")), lacking=disk.lacking),
    "cache": Fault("a byte changed in DVC's cache", 4, repeated(disk.damaged_cache)),
    "checkpoint": Fault("a checkpoint cut short", 3, repeated(disk.damaged_checkpoint)),
    "other-params": Fault("checkpoints of other params", 1, repeated(disk.checkpoint_of_other_params)),
    "two": Fault("two `dvc repro` at once", 2, repeated(machine.two_at_once)),
    "queue": Fault("two workers for a queue of experiments", 1, repeated(queue.two_workers)),
    "elsewhere": Fault("another folder, umask, locale, time zone, number of cores", 2, machine.elsewhere),
    "network": Fault("trouble with the network or the server in a download", 20, repeated(network.download)),
    "params": Fault("a key of params.yaml missing, unknown or with a wrong value", 1, params.mistaken),
    "pictures": Fault("odd and damaged pictures", 5000, hostile.pictures),
    "archives": Fault("odd and damaged archives", 100, hostile.archives),
    "parsers": Fault("bytes that a fuzzer found for the parsers of our own", 60_000, parsers.fuzzed, lacking=parsers.lacking),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torture", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FAULTS, metavar="FAULT", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--tries", type=int, help="of each fault, instead of its own number")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and files (default 0)")
    arguments = parser.parse_args()

    project, rows, broken = Project(), {}, False
    try:
        for name in tqdm(arguments.only or FAULTS, desc="faults", disable=None):
            fault = FAULTS[name]
            if reason := fault.lacking():
                tqdm.write(f"{fault.what}: not tried, {reason}")
                continue
            begun = time.monotonic()
            wrong = fault.run(project, arguments.tries or fault.tries, np.random.default_rng(arguments.seed))
            held = wrong.count("")
            rows[fault.what] = f"| {fault.what} | {len(wrong)} | {held} |"
            tqdm.write(f"{fault.what}: {held} of {len(wrong)} held, {time.monotonic() - begun:.0f} s")
            for line in dict.fromkeys(filter(None, wrong)):
                tqdm.write(f"  {line}", file=sys.stderr)
            broken |= held < len(wrong)
            if not arguments.tries:
                update_table(rows)
    finally:
        project.remove()
    print("\n".join(rows.values()))
    sys.exit(broken)


def update_table(rows: dict[str, str]) -> None:
    """Put rows into the table in docs/reliability.md, where those of other faults stay."""
    before = {line.split("|")[1].strip(): line for line in TABLE.read_text().splitlines() if line.startswith("| ")}
    rows = before | rows
    lines = ["| fault | tries | held |", "| --- | ---: | ---: |", *(rows[fault.what] for fault in FAULTS.values() if fault.what in rows)]
    replace_part(TABLE, "torture", "\n".join(lines))


if __name__ == "__main__":
    main()

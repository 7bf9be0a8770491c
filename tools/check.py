"""Do dvc.lock and metrics/ belong to params.yaml and the code, and how many rows of the leaderboard? Needs no data and takes seconds.

With --base REV, prints what the change since REV did to params and metrics, as Markdown tables.
"""

import argparse
import re
import subprocess
import sys

from leaderboard.recipes import RESULTS, load_recipes
from leaderboard.table import collect, states
from stages.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.check", description=__doc__)
    parser.add_argument("--base", help="a git revision to compare params and metrics with")
    base = parser.parse_args().base

    load_params()
    print(f"Systems of the leaderboard: {states(collect(load_recipes(), RESULTS))}.", flush=True)
    stale, following = stale_stages()
    if stale:
        sys.exit(
            f"Results are missing for: {', '.join(stale)}" + (f" (and what follows: {', '.join(following)})" if following else "") + "\n"
            "params.yaml, the code or metrics/ changed and dvc.lock does not know it. Run `dvc repro` and commit dvc.lock and metrics/."
        )
    print("dvc.lock and metrics/ belong to params.yaml and the code.")
    if base:
        print(f"\n### Params, against {base}\n\n{_diff('params', base)}\n\n### Metrics, against {base}\n\n{_diff('metrics', base)}")


def stale_stages() -> tuple[list[str], list[str]]:
    """Names of the stages that `dvc repro` would run, as far as that can be told without the data, and of those that follow from them."""
    result = subprocess.run(["dvc", "repro", "--dry", "--allow-missing", "--keep-going"], capture_output=True, encoding="utf-8")
    output = result.stdout + result.stderr
    # A stale stage is "run" where its inputs are at hand; where they are not, DVC gives up on it and skips what follows.
    stale = re.findall(r"Running stage '([^']+)'|failed to reproduce '([^']+)'", output)
    if result.returncode and not stale:
        sys.exit(f"`dvc repro --dry --allow-missing` failed:\n{output}")
    skipped = [name for line in re.findall(r"Stages? (.+) will be skipped", output) for name in re.findall(r"'([^']+)'", line)]
    return ["".join(names) for names in stale], sorted(set(skipped))


def _diff(kind: str, base: str) -> str:
    target = {"params": "params.yaml", "metrics": "metrics/summary.json"}[kind]  # and not those of the leaderboard's pipeline
    result = subprocess.run(["dvc", kind, "diff", "--md", base, "--targets", target], capture_output=True, encoding="utf-8")
    if result.returncode:
        sys.exit(f"`dvc {kind} diff` failed: {result.stderr.strip() or result.stdout.strip()}")
    table = result.stdout.strip()
    return table if len(table.splitlines()) > 2 else "No difference."  # it may be a head without rows


if __name__ == "__main__":
    main()

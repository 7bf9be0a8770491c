"""Run the whole pipeline on synthetic pictures, in the folder demo/, where it touches nothing of the committed results.

The folder is a copy of this checkout with recipes/demo.yaml applied to params.yaml and a DVC of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

from harness.layout import lay_out
from stages.aggregate.table import to_text

DEMO = Path("demo")


def main() -> None:
    lay_out(DEMO, Path("recipes/demo.yaml"))
    for command in (["dvc", "repro"], ["dvc", "plots", "show", "--out", "metrics/plots/html"]):
        code = subprocess.run(command, cwd=DEMO).returncode
        if code:
            sys.exit(f"`{' '.join(command)}` failed in {DEMO}/ (see above); after a fix, `make demo` goes on where it stopped")
    summary = json.loads((DEMO / "metrics/summary.json").read_text(encoding="utf-8"))
    print("\n" + to_text(summary))
    print(
        f"\nWhere to look, in {DEMO}/:\n"
        "  metrics/report.html                all of it on one page: open it in a browser\n"
        "  metrics/summary.json               every figure with its interval\n"
        "  metrics/plots/overview.png         confusion, ROC, precision-recall, reliability\n"
        "  metrics/plots/html/index.html      the same and learning curves, to explore (needs a network)\n"
        "  metrics/dedupe.json, split.json    copies found, what would have leaked\n"
        "  data/predictions.csv               a row a picture\n"
        "Change demo/params.yaml, then: source .venv/bin/activate && cd demo && dvc repro\n"
        "(`make demo` writes params.yaml anew.) README.md says how to predict with these networks and how to use the real data."
    )


if __name__ == "__main__":
    main()

"""The parsers of our own, each fed by the fuzzer with what grows from proper files."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.torture.hostile import ARCHIVES, KINDS
from benchmarks.torture.project import Project
from benchmarks.torture.stage import MEGABYTES

CSV = b'sha256,label,patient,plane\nab12,glioma,7,axial\n"c""d",exclude,,\n'
PACKAGE = b'{"folds": [0], "temperature": 1.0, "seeds": [0], "backbone": "mobilenetv3_small_050", "classes": ["a", "b"], "image_size": 32}'


def fuzzed(project: Project, tries: int, rng: np.random.Generator) -> list[str]:
    """Each parser takes an equal part of the tries; where the fuzzer ends at bytes that one does not survive, they are all that counts of its part."""
    wrong, seeds = [], _seeds(rng)
    runs = tries // len(seeds)
    for parser, files in seeds.items():
        fault = _fuzz(project, parser, files, runs, rng)
        wrong += [fault] if fault else [""] * runs
    return wrong


def lacking() -> str:
    """Why it cannot be done here; empty if it can."""
    return "" if find_spec("atheris") else "atheris is not installed; `make torture` does that, on Linux"


def _seeds(rng: np.random.Generator) -> dict[str, list[bytes]]:
    return {
        "params": [Path("params.yaml").read_bytes()],
        "sources": [Path("data/sources.yaml").read_bytes()],
        "table": [CSV],
        "package": [PACKAGE],
        "archive": [make(rng) for name, make in ARCHIVES.items() if name != "bomb"],
        "picture": [make(rng)[0] for make in KINDS.values()],
    }


def _fuzz(project: Project, parser: str, seeds: list[bytes], runs: int, rng: np.random.Generator) -> str:
    with project.new() as folder:
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        options = [f"-runs={runs}", f"-seed={rng.integers(1, 2**31)}", "-timeout=60", f"-rss_limit_mb={MEGABYTES}"]
        command = [sys.executable, "-m", "benchmarks.torture.fuzz", parser, str(corpus), *options]
        ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    raised = [line for line in ended.stdout.splitlines() if not line.startswith(("INFO", "#", "==", "SUMMARY", "MS:"))]
    return f"{parser}: {' | '.join(raised[-8:])}" if ended.returncode else ""

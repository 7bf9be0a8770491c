"""Downloads from a server that fails in every way, by Kaggle's own client."""

import contextlib
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import yaml

from benchmarks.torture.hostile import zipped
from benchmarks.torture.kaggle import ACCOUNT, KEY, Kaggle, serving
from benchmarks.torture.project import Project, start
from benchmarks.torture.stage import run_stage
from harness.processes import end

Generator = np.random.Generator
SLUG, VERSION = "sartajbhuvaji/brain-tumor-classification-mri", 2
LONGEST = 300  # seconds that a download may take, the waits for a server that is busy or silent included
PASSING = [429, 500, 502, 503, 504]
LASTING = [401, 403, 404]


def download(project: Project, rng: Generator) -> str:
    """A download meets some trouble and ends with the whole archive or one line and nothing; when the trouble is over, the next has it whole."""
    trouble = rng.choice(list(TROUBLES))
    members = {f"Training/glioma_tumor/{number}.jpg": rng.bytes(rng.integers(1, 900_000)) for number in range(8)}
    with project.new() as folder, serving() as server:
        _registered(folder)
        server.bundles[SLUG, VERSION] = zipped(members)
        server.retry_after = 1
        TROUBLES[trouble](server, rng)
        if trouble == "killed":
            _killed(folder, rng.uniform(1, 4))
            fault = ""
        else:
            fault = _ended_wrong(folder, members)
        if not fault:
            _trouble_is_over(server, members)
            fault = _ended_wrong(folder, members) or ("" if _whole(folder, members) else "the next download failed")
    return f"{trouble}: {fault}" if fault else ""


def _registered(folder: Path) -> None:
    registry = folder / "data/sources.yaml"
    sources = yaml.safe_load(registry.read_text())
    sources["sartaj"]["archive"] |= {"slug": SLUG, "version": VERSION, "editions": []}
    registry.write_text(yaml.safe_dump(sources))


def _trouble_is_over(server: Kaggle, members: dict[str, bytes]) -> None:
    server.bundles = {(SLUG, VERSION): zipped(members)}
    server.faults, server.transfer_faults, server.cuts = [], [], []
    if server.hold:
        server.hold.set()


def _killed(folder: Path, seconds: float) -> None:
    running = start(folder, sys.executable, "-m", "stages.download", "sartaj", **_environment(folder))
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(seconds)
    end(running)


def _ended_wrong(folder: Path, members: dict[str, bytes]) -> str:
    """Download; what is wrong with how that ended, empty if nothing is."""
    fault, refusal = run_stage(folder, "download", "sartaj", seconds=LONGEST, **_environment(folder))
    left = [path.name for path in (folder / "data/raw").glob("*")]
    written = [path for part in ("data/raw", ".scratch") for path in (folder / part).rglob("*") if path.is_file()]
    if fault:
        return fault
    if any(KEY.encode() in path.read_bytes() for path in [folder / "torture.log", *written]):
        return "the account's key is in what it writes"
    if refusal and left:
        return f"it refused and left {', '.join(left)}"
    if refusal and "\n" in refusal:
        return f"it refused with more than a line: {refusal[-200:]}"
    return "" if refusal or _whole(folder, members) else "what it downloaded is not what was sent"


def _environment(folder: Path) -> dict[str, str]:
    return ACCOUNT | {"HOME": str(folder), "BRAIN_MRI_MIRROR": "", "KAGGLE_API_TOKEN": ""}


def _whole(folder: Path, members: dict[str, bytes]) -> bool:
    path = folder / "data/raw/sartaj.zip"
    if not path.exists():
        return False
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()} == members


def _cut(server: Kaggle, rng: Generator) -> None:
    server.cuts = rng.integers(0, 2_000_000, rng.integers(1, 4)).tolist()


def _busy(server: Kaggle, rng: Generator) -> None:
    server.faults = rng.choice(PASSING, rng.integers(1, 7)).tolist()


def _refused(server: Kaggle, rng: Generator) -> None:
    server.faults = [int(rng.choice(LASTING))]


def _busy_in_the_middle(server: Kaggle, rng: Generator) -> None:
    _cut(server, rng)
    server.transfer_faults = [200, *rng.choice([*PASSING, *LASTING], rng.integers(1, 4)).tolist()]


def _silent(server: Kaggle, rng: Generator) -> None:
    server.hold = threading.Event()
    threading.Timer(90, server.hold.set).start()  # the client gives up on a silent server after a minute


def _shorter(server: Kaggle, rng: Generator) -> None:
    data = server.bundles[SLUG, VERSION]
    server.bundles[SLUG, VERSION] = data[: rng.integers(len(data))]


def _another_content(server: Kaggle, rng: Generator) -> None:
    data = bytearray(server.bundles[SLUG, VERSION])
    place = rng.integers(len(data))
    data[place : place + 1000] = rng.bytes(len(data[place : place + 1000]))
    server.bundles[SLUG, VERSION] = bytes(data)


def _no_archive(server: Kaggle, rng: Generator) -> None:
    server.bundles[SLUG, VERSION] = b"<html><body>Sign in</body></html>" * int(rng.integers(1, 1000))


def _changed_between(server: Kaggle, rng: Generator) -> None:
    """Cut off for good; the next attempt finds another content."""
    server.bundles[SLUG, VERSION] = zipped({"Training/glioma_tumor/old.jpg": rng.bytes(3_000_000)})
    server.cuts = [int(rng.integers(1_000_000, 2_900_000)), *[0] * 20]


def _slow(server: Kaggle, rng: Generator) -> None:
    server.hold = threading.Event()


TROUBLES = {
    "cut": _cut,
    "busy": _busy,
    "refused": _refused,
    "busy in the middle": _busy_in_the_middle,
    "silent": _silent,
    "shorter": _shorter,
    "another content": _another_content,
    "no archive": _no_archive,
    "changed between": _changed_between,
    "killed": _slow,
}

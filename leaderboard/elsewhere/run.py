"""Train and score the cells that `make pack` packed, on a machine that has PyTorch but neither network nor DVC.

python run.py --minutes 25
python run.py --together 8      for small networks, of which one alone leaves most of a GPU idle

Each cell runs in cells/<name>/; where several run at a time, what they print is in log.txt there. What is finished is not run
again, a cell that fails does not keep the others from running, and a training that was killed goes on from its last epoch.
results.tar.gz is written anew after each cell; `make unpack` takes it in.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import TextIO

from harness.processes import end, start_tied  # packed beside this file

HERE = Path(__file__).resolve().parent
DEFAULT = "default"  # the pipeline itself, beside the names of recipes
MODELS = "data/models"
DEVICE = "import torch; print(torch.__version__); print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU')"


class Failed(Exception):
    """Why a cell has no result."""


class TimeIsUp(Exception):
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; the same command goes on later")
    parser.add_argument("--together", type=int, default=1, help="cells to run at a time (1)")
    parser.add_argument("--models", action="store_true", help="take the models of recipes along too, not only their figures")
    parser.add_argument("--out", type=Path, default=Path("results.tar.gz"))
    arguments = parser.parse_args()

    deadline = time.monotonic() + 60 * arguments.minutes
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    if missing := [name for name in manifest["modules"] if importlib.util.find_spec(name) is None]:
        sys.exit(f"Python modules are missing here: {', '.join(missing)}; bring their wheels along and install them with pip --no-index")
    torch, device = subprocess.run([sys.executable, "-c", DEVICE], check=True, capture_output=True, text=True).stdout.splitlines()
    machine = {"device": device, "torch": torch, "command": " ".join(["python", *sys.argv])}

    finished, failed, late, cells = [], [], 0, manifest["cells"]
    pool = ThreadPoolExecutor(arguments.together)
    running = {pool.submit(run, name, cell, machine, deadline, arguments.together > 1): name for name, cell in cells.items()}
    try:
        for done in as_completed(running):
            name = running[done]
            try:
                done.result()
            except Failed as why:
                failed.append(name)
                print(f"{name}: {why}; goes on with the next", flush=True)
            except TimeIsUp:
                late += 1
            else:
                finished.append(name)
                print(f"{name} is finished ({len(finished)} of {len(cells)})", flush=True)
                write_results(arguments.out, {name: cells[name] for name in finished}, arguments.models)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C none begins

    if late:
        print(f"{late} cells are left: the time is up; the same command goes on here")
    print(f"{len(finished)} of {len(cells)} cells are finished" + (f", failed: {', '.join(failed)}" if failed else ""))
    if finished:
        print(f"Take {arguments.out} back: make unpack ARCHIVE={arguments.out.name}")
    sys.exit(bool(failed))


def run(name: str, cell: dict, machine: dict, deadline: float, quiet: bool) -> None:
    """Run the stages of a cell that have not been run, and note in run.json where each was; raises Failed or TimeIsUp.

    quiet: what they print goes to log.txt.
    """
    if time.monotonic() >= deadline:
        raise TimeIsUp
    folder = HERE / "cells" / name
    print(name, flush=True)
    for path, packed in cell["files"].items():
        if not (folder / path).is_file() or digest(folder / path) != packed:
            raise Failed(f"{path} is not the file that was packed")
    record = folder / "run.json"
    ran = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for stage in cell["stages"]:
        if stage in ran:
            continue
        began = time.monotonic()
        with (folder / "log.txt").open("a", encoding="utf-8") if quiet else nullcontext() as log:
            code = run_stage(stage, folder, deadline - began, log)
        if code:
            raise Failed(f"{stage} ended with {code} (see {folder / 'log.txt' if quiet else 'above'})")
        ran[stage] = machine | {"seconds": round(time.monotonic() - began, 1)}
        part = record.with_suffix(".part")
        part.write_text(json.dumps(ran, indent=2), encoding="utf-8")
        os.replace(part, record)


def run_stage(stage: str, folder: Path, seconds: float, log: TextIO | None) -> int:
    """The exit status of one stage; TimeIsUp if it takes longer. It ends with this process, however that ends.

    log: where what it prints goes, if not to where this process prints.
    """
    if seconds <= 0:
        raise TimeIsUp
    process = start_tied([sys.executable, "-m", f"stages.{stage}"], cwd=folder, stdout=log, stderr=log)
    try:
        return process.wait(None if seconds == float("inf") else seconds)
    except subprocess.TimeoutExpired:
        end(process)
        raise TimeIsUp from None


def write_results(target: Path, cells: dict[str, dict], models: bool) -> None:
    """The archive that `make unpack` takes in: what the cells wrote, and from what. The models of default always come along."""
    part = target.with_name(target.name + ".part")
    with tarfile.open(part, "w:gz") as tar:
        add(tar, "manifest.json", json.dumps({"cells": cells}).encode())
        for name, cell in cells.items():
            for path in ["run.json", *cell["results"]]:
                if path == MODELS and not (models or name == DEFAULT):
                    continue
                whole = HERE / "cells" / name / path
                for file in sorted(whole.iterdir()) if whole.is_dir() else [whole]:
                    add(tar, f"{name}/{file.relative_to(HERE / 'cells' / name).as_posix()}", file)
    os.replace(part, target)  # a kill in the middle leaves the archive before


def add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """Add bytes or a file to an archive; no time, no owner."""
    member = tarfile.TarInfo(name)
    with content.open("rb") if isinstance(content, Path) else BytesIO(content) as file:
        member.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        tar.addfile(member, file)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on here", file=sys.stderr, flush=True)
        os._exit(1)  # without waiting for the stages that run, which end with this process

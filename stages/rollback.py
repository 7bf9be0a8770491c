"""Earlier outputs of a stage that fails: DVC removes them before it runs the stage, here they come back."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

COPIES = Path(".scratch/outputs")  # of what a stage wrote and DVC does not cache, after its last success
FAILED = Path(".scratch/failed")  # what a stage that failed had written
ENDS = {signal.SIGINT, signal.SIGTERM}
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
PR_SET_PDEATHSIG = 1  # of Linux' prctl(2)


def supervise(stage: str) -> None:
    """Go on in a child process; this one waits for it, and does to the outputs what its end asks for. Returns in the child only.

    stage: its name in dvc.yaml of the working directory, as download@sartaj. A process of its own, for there are ends that no process
    survives: memory that ran out, a signal.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # until it is said what they do
    child = os.fork()
    if not child:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child too
    signal.signal(signal.SIGTERM, lambda *_: _end(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        put_back(stage) if status else keep(stage)
    except Exception as error:
        print(
            f"{stage}: its earlier outputs could not be kept ({error}); `git checkout .` and `dvc checkout` bring back what was committed.",
            file=sys.stderr,
        )
    if status == -signal.SIGKILL:
        print(f"{stage} was killed, most likely by the system because memory ran out.", file=sys.stderr, flush=True)
    if -status in CRASHES:
        name = signal.Signals(-status).name
        print(
            f"{stage} crashed ({name}): a fault in a library's native code, not a lack of memory; run again.", file=sys.stderr, flush=True
        )
    if status < 0:
        if -status in ENDS:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # the signal came to both, and the child has ended
        os.kill(child, signal.SIGTERM)


def keep(stage: str) -> None:
    """Copy the outputs that DVC does not cache, which are small."""
    entry = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage.partition("@")[0]]
    for out in [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]:
        for path, settings in out.items() if isinstance(out, dict) else ():
            if not settings.get("cache", True):
                copy = COPIES / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def put_back(stage: str) -> None:
    """Bring back the outputs that dvc.lock has of the stage; what it wrote itself goes to .scratch/failed."""
    from dvc.repo import Repo  # takes a second, which only a failure has to wait for

    shutil.rmtree(FAILED / stage, ignore_errors=True)
    with Repo() as repo:
        for out in repo.stage.load_one("dvc.yaml", stage).outs:
            path = Path(os.path.relpath(out.fs_path))
            if not out.hash_info:  # it never succeeded
                continue
            if out.use_cache:
                if not out.changed_cache():
                    _set_aside(path, stage)
                    out.checkout(force=True)
            elif (content := _uncached(path, out.hash_info.value)) is not None:
                _set_aside(path, stage)
                path.write_bytes(content)


def _set_aside(path: Path, stage: str) -> None:
    if path.exists():
        target = FAILED / stage / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)  # data/ may be a disk of its own


def _uncached(path: Path, md5: str) -> bytes | None:
    """The content of this hash, from the copies or from git."""
    copy = COPIES / path
    found = [copy.read_bytes()] if copy.exists() else []
    found.append(subprocess.run(["git", "show", f"HEAD:./{path.as_posix()}"], capture_output=True).stdout)
    return next((content for content in found if hashlib.md5(content).hexdigest() == md5), None)

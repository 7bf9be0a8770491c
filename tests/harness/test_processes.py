"""Commands end with all that they started, whatever becomes of the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic import ROOT

from harness.processes import end, start

FAMILY = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); child.wait()"


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(true) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_the_end_of_a_command_is_that_of_its_children():
    family = start([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    child = int(family.stdout.readline())
    assert not is_gone(child)
    end(family)
    assert family.returncode == -signal.SIGKILL and soon(lambda: is_gone(child))
    end(family)  # there is nothing left to end


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_a_tied_command_ends_with_the_process_that_started_it(kind):
    parent = f"import sys; from harness.processes import start_tied; start_tied([sys.executable, '-c', {FAMILY!r}]).wait()"
    running = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(running.stdout.readline())
    assert not is_gone(child)
    os.kill(running.pid, kind)
    running.wait()
    assert soon(lambda: is_gone(child))


def test_a_tied_command_passes_its_exit_status_on():
    parent = (
        "import sys; from harness.processes import start_tied; sys.exit(start_tied([sys.executable, '-c', 'raise SystemExit(3)']).wait())"
    )
    assert subprocess.run([sys.executable, "-c", parent], cwd=ROOT).returncode == 3

"""Time and memory of a command."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.usage import measure

ROOT = Path(__file__).parents[2]


def test_a_command_costs_its_time_and_its_childrens_memory():
    child = "x = bytearray(300 * 2**20); import time; time.sleep(0.3)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    # From a process of its own: what is forked from this one counts the memory of this one until it is replaced.
    script = f"import sys; from harness.usage import measure; print(*measure([sys.executable, '-c', {parent!r}]))"
    printed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = map(float, printed.split())
    assert 0.3 < seconds < 20
    assert 300 < megabytes < 400


def test_a_command_that_fails_stops_the_measurement():
    with pytest.raises(SystemExit, match="failed"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])

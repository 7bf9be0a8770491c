"""Time and memory of a command."""

import sys

import pytest

from tools.costs import measure


def test_a_command_costs_its_time_and_its_childrens_memory():
    child = "x = bytearray(300 * 2**20); import time; time.sleep(0.3)"
    seconds, megabytes = measure([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"])
    assert 0.3 < seconds < 20
    assert 300 < megabytes < 400


def test_a_command_that_fails_stops_the_measurement():
    with pytest.raises(SystemExit, match="failed"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])

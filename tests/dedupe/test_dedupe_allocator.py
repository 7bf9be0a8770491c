import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")

BLOCKS = """
import resource
import numpy as np
from stages.dedupe.allocator import give_back_large
from stages.dedupe.search import BLOCK

give_back_large()
one = np.ones((BLOCK, 64), np.float32)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(60):
    if turn == 10:
        before = faults()
    abs(one @ one.T) + 1
print((faults() - before) / 50)
"""
COLUMNS = """
from threading import Thread
import numpy as np
from stages.dedupe.allocator import give_back_large

give_back_large()
kept = []

def work():
    for _ in range(20):
        column = np.ones(1_000_000)
        kept.append(np.ones(1000))  # a small one behind each large one would hold the heap's end

for _ in range(4):
    thread = Thread(target=work)
    thread.start()
    thread.join()
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")))
"""


def run(script: str) -> float:
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def test_products_of_two_blocks_come_from_memory_that_is_there():
    assert run(BLOCKS) < 100  # pages; given back and asked for again, each product of a thousand pictures is a thousand


def test_columns_of_a_million_pictures_are_given_back():
    bare = run(COLUMNS.replace("work():", "work():\n    return"))
    assert run(COLUMNS) - bare < 16_000  # KB: two columns, of 80

"""What a contender is asked to train, and the stopwatch that it answers with."""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Task:
    """One training: all contenders get the same, but for the epochs."""

    folder: str  # pictures/train/<class>/ and pictures/validation/<class>/, and the same files in data/raw/pictures.zip
    backbone: str  # timm's name
    frozen: bool  # all but the classifier, and then nothing is augmented
    size: int  # side of the input, pixels
    batch_size: int
    epochs: int

    def dump(self) -> str:
        """For the command line of a contender."""
        return json.dumps(asdict(self))


def read_task() -> Task:
    """The task in the command line of this process."""
    return Task(**json.loads(sys.argv[1]))


class Stopwatch:
    """Runs from its making; the first lap is what comes before the first epoch, each later one is an epoch with its validation."""

    def __init__(self):
        self.seen = [_clocks()]

    def lap(self) -> None:
        """A lap ends now."""
        self.seen.append(_clocks())

    def laps(self) -> list[list[float]]:
        """For each lap the seconds that passed, and the CPU seconds of this process and of its workers that have ended."""
        return [[now - then for now, then in zip(*ends, strict=True)] for ends in zip(self.seen[1:], self.seen, strict=False)]

    def report(self) -> None:
        """Print the laps as the last line of this process."""
        setup, *epochs = self.laps()
        print(json.dumps({"setup": setup, "epochs": epochs}))


def _clocks() -> tuple[float, float]:
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + workers.ru_utime + workers.ru_stime

"""leaderboard/runs/grid.csv: what came of every training, and of the cells that could not be trained or scored."""

import csv
import os
from collections import Counter
from dataclasses import dataclass

from leaderboard.recipes import RUNS

FILE = RUNS / "grid.csv"
COLUMNS = ("cell", "fold", "seed", "state", "seconds", "node", "reason")
DONE, FAILED, LEFT_OUT = "done", "failed", "left out"  # states; left out is what cannot be made ready here


@dataclass
class Row:
    """Of one training, or of a whole cell where there is no fold; cells that train the same share it."""

    cells: list[str]
    state: str
    fold: int | str = ""
    seed: int | str = ""
    seconds: float | str = ""
    node: str = ""
    reason: str = ""


class Journal:
    """The rows of this run, in front of those that earlier ones left for other cells."""

    def __init__(self):
        self.path = FILE.absolute()
        self.rows: list[Row] = []
        self.earlier = list(csv.DictReader(self.path.open(newline="", encoding="utf-8"))) if self.path.exists() else []

    def add(self, row: Row) -> None:
        """Take a row and write all."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        lines = [vars(row) | {"cell": cell} for row in self.rows for cell in row.cells]
        mine = {line["cell"] for line in lines}
        lines += [line for line in self.earlier if line["cell"] not in mine]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(lines, key=lambda line: (line["cell"], str(line["fold"]).zfill(9), str(line["seed"]).zfill(9))))
        os.replace(part, self.path)

    def count(self) -> Counter:
        """State -> rows of this run; a training that several cells share counts once."""
        return Counter(row.state for row in self.rows)

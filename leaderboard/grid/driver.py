"""The grid's driver: it alone writes results. What runs, and where, is Ray's business.

Cells are made ready one after another, and the trainings of each are handed to Ray at once. When all of a cell are there, the outputs of
its train stage are written, DVC takes them as its own, and evaluate and aggregate run.
"""

import contextlib
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import yaml
from tqdm import tqdm

from leaderboard.cell import environment, result
from leaderboard.grid.cluster import connected, on_this_node, value_of
from leaderboard.grid.finished import Failed, Finished, Saved
from leaderboard.grid.journal import DONE, FAILED, LEFT_OUT, Journal, Row
from leaderboard.grid.share import gpu_share
from leaderboard.grid.training import train
from leaderboard.ready import NotReady, lay_out_if_whole, make_ready, score
from leaderboard.recipes import RESULTS
from stages.catalog import MODELS, PIXELS, write_metrics
from stages.device import pick_precision
from stages.params import Params, load_params
from stages.train.checkpoint import describe_platform, run_key
from stages.train.folds import INPUTS, WEIGHTS, class_names, frozen_run_once, read_samples, trainings
from stages.train.outputs import write_outputs

REFRESH = 1.0  # seconds between two looks at what runs
SCORING = 0.1  # of a GPU, where the driver's node has one


@dataclass
class Cell:
    recipe: str
    protocol: str
    folder: Path = Path()  # absolute, once it is laid out

    @property
    def name(self) -> str:
        return f"{self.recipe}-{self.protocol}"


@dataclass
class Run:
    """The trainings of a cell, and of others whose inputs, params and code are the same."""

    params: Params
    classes: list[str]
    pairs: list[tuple[int, int]]  # (fold, seed)
    saved: Saved
    missing: set[tuple[int, int]]
    names: list[str] = field(default_factory=list)  # of its cells
    unscored: list[Cell] = field(default_factory=list)


class Grid:
    """Some cells on Ray. All that happens is that a task ends, and what was registered with it is called."""

    def __init__(self, chosen: list[tuple[str, str]], changes: dict[str, Any], folds: list[int] | None, cores: int, gpu_memory: float):
        """chosen: (recipe, protocol); folds: train only these, None for all; cores: of a training; gpu_memory: bytes of each GPU."""
        self.waiting = [Cell(*pair) for pair in reversed(chosen)]
        self.changes, self.folds, self.cores, self.gpu_memory = changes, folds, cores, gpu_memory
        self.journal, self.results = Journal(), []
        self.runs: dict[str, Run] = {}
        self.stored: dict[str, ray.ObjectRef] = {}  # pixels and weights, by the hash that DVC has of them
        self.tasks: dict[ray.ObjectRef, Callable[[ray.ObjectRef], None]] = {}
        self.interrupted = False

    def run(self) -> None:
        """Run all of it; exits where Ray cannot be had. Raises KeyboardInterrupt."""
        with connected(self.cores), tqdm(total=0, desc="trainings", unit="training", smoothing=0, disable=None) as self.bar:
            self.device = torch.device("cuda" if ray.cluster_resources().get("GPU") else "cpu")
            self.make_ready = on_this_node(make_ready, cores=0)  # nothing of a cell is trained before it, so that it waits for no core
            self.score = on_this_node(score, cores=self.cores, gpu=SCORING)
            self.train = ray.remote(max_calls=0)(train)  # the workers stay, with PyTorch and what a GPU needs in them
            signal.signal(signal.SIGINT, self.interrupt)
            self.begin_next()
            while self.tasks and not self.interrupted:
                done, _ = ray.wait(list(self.tasks), timeout=REFRESH)
                for ref in done:
                    self.tasks.pop(ref)(ref)
                self.show()
            if self.interrupted:
                raise KeyboardInterrupt
            for run in self.runs.values():
                if not run.missing and not run.unscored:  # not before: a cell that trains the same may have become ready since
                    run.saved.clear()

    def interrupt(self, *_) -> None:
        """End after what is being done; an exception raised here would be lost wherever one of Ray's destructors happens to run."""
        self.interrupted = True

    def begin_next(self) -> None:
        """Begin to make the next cell ready that can be laid out."""
        while self.waiting:
            cell = self.waiting.pop()
            try:
                cell.folder = lay_out_if_whole(cell.recipe, cell.protocol, self.changes).absolute()
            except (NotReady, SystemExit) as why:
                self.journal.add(Row([cell.name], LEFT_OUT, reason=str(why)))
                continue
            self.tasks[self.make_ready.remote(cell.folder, environment())] = partial(self.is_ready, cell)
            return

    def is_ready(self, cell: Cell, ref: ray.ObjectRef) -> None:
        """Train what is missing of a cell, or only score it if DVC has its training."""
        self.begin_next()
        try:
            if value_of(ref):
                self.tasks[self.score.remote(cell.folder, environment(), commit=False)] = partial(self.is_scored, cell, None)
                return
        except Failed as why:
            self.journal.add(Row([cell.name], LEFT_OUT, reason=str(why)))
            return
        with contextlib.chdir(cell.folder):
            params, samples = load_params(), read_samples()
            precision = pick_precision(params.train.precision, self.device)
            key = run_key(params, INPUTS, describe_platform(self.device, self.cores, precision))
            inputs = self.store_inputs()
        new = key not in self.runs
        if new:
            pairs = trainings(params, samples)
            self.runs[key] = Run(params, class_names(samples), pairs, Saved(key), set(pairs))
        run = self.runs[key]
        run.names.append(cell.name)
        run.unscored.append(cell)
        self.journal.write()
        if new:
            self.begin_trainings(run, samples, inputs, precision)
        elif not run.missing:
            self.write(run, cell)

    def begin_trainings(self, run: Run, samples, inputs: list[ray.ObjectRef], precision: torch.dtype) -> None:
        """Hand the trainings of a run to Ray that are not there from an earlier time."""
        for pair in run.pairs:
            if finished := run.saved.load(*pair):
                self.note(run, finished)
        chosen = [pair for pair in run.pairs if pair in run.missing and (self.folds is None or pair[0] in self.folds)]
        self.bar.total += len(chosen)
        # All nodes compute in the type that was chosen here.
        params = run.params.model_copy(
            update={"train": run.params.train.model_copy(update={"precision": str(precision).removeprefix("torch.")})}
        )
        share = 0
        if self.device.type == "cuda":
            share = gpu_share(params, len(run.classes), int(samples.row.max()) + 1, self.gpu_memory)
        samples = ray.put(samples)
        for pairs in [chosen] if frozen_run_once(params) else [[pair] for pair in chosen]:
            if pairs:
                task = self.train.options(num_cpus=self.cores, num_gpus=share)
                self.tasks[task.remote(params, samples, *inputs, pairs, self.cores)] = partial(self.is_trained, run, pairs)

    def is_trained(self, run: Run, pairs: list[tuple[int, int]], ref: ray.ObjectRef) -> None:
        """Keep what was trained."""
        self.bar.update(len(pairs))
        try:
            for finished in value_of(ref):
                run.saved.save(finished)
                self.say(run, finished)
                self.note(run, finished)
        except Failed as why:
            for fold, seed in pairs:
                self.journal.add(Row(run.names, FAILED, fold, seed, reason=str(why)))

    def say(self, run: Run, finished: Finished) -> None:
        """A line for a training where no terminal shows the bar, as in the log of a batch job."""
        if self.bar.disable:
            (fold, seed), about = finished.pair, finished.about
            print(f"{', '.join(run.names)}: fold {fold}, seed {seed} took {about['seconds']:.1f} s on {about['node']}", flush=True)

    def note(self, run: Run, finished: Finished) -> None:
        """A training is there; the last one of a run lets its cells be scored."""
        self.journal.add(Row(run.names, DONE, *finished.pair, round(finished.about["seconds"], 2), finished.about["node"]))
        run.missing.remove(finished.pair)
        if not run.missing:
            for cell in run.unscored:
                self.write(run, cell)

    def write(self, run: Run, cell: Cell) -> None:
        """Write the outputs of a cell's train stage, and begin to score it."""
        trained = [run.saved.load(*pair).trained() for pair in run.pairs]
        with contextlib.chdir(cell.folder):
            shutil.rmtree(MODELS, ignore_errors=True)  # its files may be links into DVC's cache
            write_outputs(run.params, run.classes, trained)
        self.tasks[self.score.remote(cell.folder, environment(), commit=True)] = partial(self.is_scored, cell, run)

    def is_scored(self, cell: Cell, run: Run | None, ref: ray.ObjectRef) -> None:
        """Write the result of a cell; the trainings are DVC's now."""
        try:
            value_of(ref)
        except Failed as why:
            self.journal.add(Row([cell.name], FAILED, reason=str(why)))
            return
        target = RESULTS / f"{cell.name}.json"
        write_metrics(result(cell.folder, cell.recipe, cell.protocol, self.changes), target)
        self.results.append(cell.name)
        tqdm.write(str(target))
        if run:
            run.unscored.remove(cell)

    def store_inputs(self) -> list[ray.ObjectRef]:
        """Pixels and weights of the cell in the working directory, in Ray's object store, once each content."""
        lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"].values()
        hashes = {out["path"]: out["md5"] for stage in lock for out in stage.get("outs", [])}
        hashed = [
            (hashes[PIXELS.as_posix()], np.asarray(np.load(PIXELS, mmap_mode="r"))),
            (hashes[WEIGHTS.as_posix()], WEIGHTS.read_bytes()),
        ]
        for content, value in hashed:
            if content not in self.stored:
                self.stored[content] = ray.put(value)
        return [self.stored[content] for content, _ in hashed]

    def show(self) -> None:
        """Keep the one progress display up to date."""
        used = ray.cluster_resources().get("CPU", 0) - ray.available_resources().get("CPU", 0)
        self.bar.set_postfix(running=round(used / self.cores), failed=self.journal.count()[FAILED])

    def report(self) -> bool:
        """Say what came of it; whether something failed, or nothing could be made ready."""
        for row in self.journal.rows:
            if row.state == FAILED:
                which = f"fold {row.fold}, seed {row.seed}" if row.fold != "" else "its scores"
                print(f"{', '.join(row.cells)}: {which} failed: {row.reason}")
        left_out = {}
        for row in self.journal.rows:
            if row.state == LEFT_OUT:
                left_out.setdefault(row.reason, []).extend(row.cells)
        for reason, cells in left_out.items():
            print(f"{cells[0]}{f' and {len(cells) - 1} more are' if cells[1:] else ' is'} left out: {reason}")
        count = self.journal.count()
        print(
            f"{count[DONE]} trainings are done, {count[FAILED]} failed; {len(self.results)} cells have a result now, {count[LEFT_OUT]} are "
            f"left out; {self.journal.path.relative_to(Path.cwd())} has all of it."
        )
        return count[FAILED] > 0 or count[LEFT_OUT] == len(self.journal.rows) > 0

"""What the grid makes of a second node, and what a task of it costs: nodes of one core each on this machine, and synthetic pictures.

python -m benchmarks.grid [--trainings 8] [--seconds 10] [--rounds 3]

Rewrites the table in docs/scale.md. The machine has to have two cores and to be quiet.
"""

import argparse
import contextlib
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
# By default, 3 s, a node that is free can wait that long for a training, which shows in trainings of seconds (docs/scale.md).
os.environ["RAY_ray_syncer_message_refresh_interval_ms"] = "200"
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())  # processes that are spawned have that of the first

from safetensors.torch import save  # noqa: E402

from harness.layout import SMALL, lay_out, set_params  # noqa: E402
from harness.markers import replace_part  # noqa: E402
from harness.processes import end, start  # noqa: E402
from leaderboard.cell import NEEDED, environment  # noqa: E402
from leaderboard.ready import reproduce  # noqa: E402
from stages.params import Params, load_params  # noqa: E402
from stages.train.folds import Training, read_inputs, read_samples  # noqa: E402

DOCUMENT = Path("docs/scale.md")
FOLDER = Path(".scratch/grid-measure")
SHORT, TURNS = 10, 6  # trainings of one epoch, in whose time a task's own cost shows: so many by Ray, as many directly, by turns


class Cell(NamedTuple):
    """What a training needs, read from files once."""

    params: Params
    samples: object
    pixels: object
    weights: dict


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trainings", type=int, default=8, help="of each measurement, an even number")
    parser.add_argument("--seconds", type=float, default=10, help="of a training")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    arguments = parser.parse_args()

    make_ready()
    each = direct([0], 1, 4) / 4
    epochs = max(1, round(arguments.seconds / each))
    half = arguments.trainings // 2
    rounds = []
    for number in range(arguments.rounds):
        times = {"alone": direct([0], epochs, half), "beside": direct([0, 1], epochs, half)}
        with node(0, "--head") as address:
            times |= on_ray(address, 1, "one", epochs, arguments.trainings)
            with node(1, "--address", address):
                times |= on_ray(address, 2, "two", epochs, arguments.trainings)
        rounds.append(times)
        print(f"round {number + 1}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()), flush=True)
    replace_part(DOCUMENT, "grid speed", table(rounds, arguments.trainings))


def make_ready() -> None:
    """Make the inputs of a small training, all synthetic."""
    lay_out(FOLDER, needed=NEEDED)
    set_params(FOLDER / "params.yaml", SMALL, "SMALL")
    reproduce(FOLDER, ["weights", "balance", "preprocess"], environment())


def read_cell(epochs: int) -> Cell:
    with contextlib.chdir(FOLDER):
        params = load_params()
        return Cell(params.model_copy(update={"train": params.train.model_copy(update={"epochs": epochs})}), read_samples(), *read_inputs())


def direct(cores: list[int], epochs: int, trainings: int) -> float:
    """Seconds of so many trainings one after another, in a process of its own on each core, all at once; the slowest counts."""
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(context.Pool(1, os.sched_setaffinity, (0, [core]))) for core in cores]
        for pool in pools:
            pool.apply(_train, (1, 1))
        return max(one.get() for one in [pool.apply_async(_train, (epochs, trainings)) for pool in pools])


def _train(epochs: int, trainings: int) -> float:
    cell = read_cell(epochs)
    return sum(_train_one(cell, seed) for seed in range(trainings))


def _train_one(cell: Cell, seed: int) -> float:
    began = time.monotonic()
    Training(*cell, checkpoints=None).fold(0, seed)
    return time.monotonic() - began


@contextlib.contextmanager
def node(core: int, *arguments: str) -> Iterator[str]:
    """A node of Ray with this one core; yields the address of its cluster."""
    port = ["--port", str(_free_port())] if arguments == ("--head",) else []
    ray = Path(sys.executable).with_name("ray")
    command = [ray, "start", *arguments, *port, "--num-cpus", "1", "--node-name", f"core {core}", "--block"]
    with tempfile.TemporaryFile("w+") as printed:
        process = start(command, stdout=printed, stderr=printed, preexec_fn=partial(os.sched_setaffinity, 0, [core]))
        try:
            while "Ray runtime started" not in _content(printed):
                if process.poll() is not None:
                    sys.exit(_content(printed))
                time.sleep(0.1)
            yield f"127.0.0.1:{port[1]}" if port else arguments[1]
        finally:
            end(process, signal.SIGTERM)


def on_ray(address: str, nodes: int, name: str, epochs: int, trainings: int) -> dict[str, float]:
    """By name, seconds of so many trainings on so many nodes, whose workers are started, from the first task to the last file.

    On one node also cost: the seconds of a task beyond those of calling the function.
    """
    with multiprocessing.get_context("spawn").Pool(1, os.sched_setaffinity, (0, [0])) as pool:  # a driver of its own each time
        return pool.apply(_drive, (address, nodes, name, epochs, trainings))


def _drive(address: str, nodes: int, name: str, epochs: int, trainings: int) -> dict[str, float]:
    os.environ["RAY_ADDRESS"] = address
    from leaderboard.grid.cluster import connected, ray, value_of
    from leaderboard.grid.finished import Saved
    from leaderboard.grid.training import train

    with connected(1), tempfile.TemporaryDirectory() as folder:
        task, saved = ray.remote(num_cpus=1, max_calls=0)(train), Saved(folder)

        used = set()

        def run(cell: Cell, seeds: range) -> float:
            params, *inputs = (ray.put(value) for value in cell._replace(weights=save(cell.weights)))
            began = time.monotonic()
            waiting = [task.remote(params, *inputs, [(0, seed)], 1) for seed in seeds]
            while waiting:
                (done,), waiting = ray.wait(waiting)
                for finished in value_of(done):
                    saved.save(finished)
                    used.add(finished.about["node"])
            return time.monotonic() - began

        while len({one["NodeID"] for one in ray.nodes() if one["Alive"]}) < nodes:
            time.sleep(0.1)
        short = read_cell(1)
        while len(used) < nodes:  # starts the workers, which import PyTorch
            run(short, range(4 * nodes))
        times = {name: run(read_cell(epochs), range(trainings))}
        if nodes == 1:
            # By turns, so that a machine that slows down meets both; several at a time, so that both have warm caches.
            turns = [run(short, range(SHORT)) - sum(_train_one(short, seed) for seed in range(SHORT)) for _ in range(TURNS)]
            times["cost"] = median(turns) / SHORT
        return times


def table(rounds: list[dict[str, float]], trainings: int) -> str:
    """The rows of docs/scale.md, medians over the rounds."""
    seconds = {name: median(times[name] for times in rounds) for name in rounds[0]}

    def each(values: list[float], unit: str, digits: int) -> str:
        return f"{median(values):.{digits}f}{unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    ceiling = [times["alone"] / times["beside"] for times in rounds]
    efficiency = [times["one"] / times["two"] / 2 for times in rounds]
    cost = [1000 * times["cost"] for times in rounds]
    return "\n".join(
        [
            "| | median (lowest to highest) |",
            "| --- | ---: |",
            f"| a training, called directly, one process | {seconds['alone'] / (trainings // 2):.1f} s |",
            f"| the same with a second such process on the other core | {seconds['beside'] / (trainings // 2):.1f} s |",
            f"| what two processes make of two cores: the machine's own ceiling | {each(ceiling, '', 2)} of linear |",
            f"| {trainings} trainings on one node of one core | {seconds['one']:.1f} s |",
            f"| {trainings} trainings on two nodes of one core each | {seconds['two']:.1f} s |",
            f"| efficiency of two nodes against one | {each(efficiency, '', 2)} of linear |",
            f"| a task beyond calling the function, its file included | {each(cost, ' ms', 0)} |",
        ]
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _content(file) -> str:
    file.seek(0)
    return file.read()


if __name__ == "__main__":
    main()

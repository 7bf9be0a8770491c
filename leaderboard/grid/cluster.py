"""Ray, as the grid uses it: a local instance, or the cluster of RAY_ADDRESS."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: beside anything else that computes here a training would stand still
os.environ.setdefault("RAY_task_oom_retries", "1")  # else without end: a training for which memory is too small twice is a row

import ray  # noqa: E402
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from leaderboard.grid.finished import Failed  # noqa: E402
from leaderboard.ready import NotReady  # noqa: E402


@contextlib.contextmanager
def connected(cores: int) -> Iterator[None]:
    """A connection to Ray, whose workers get the code by way of it; exits where there is none, or this machine has too few cores."""
    address = os.environ.get("RAY_ADDRESS", "local")
    variables = {"OMP_NUM_THREADS": str(cores), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # no GPU is seen by what asked for none
    if address != "local":
        _look_for(address)
    ray.init(
        address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"py_modules": ["stages", "harness", "leaderboard"], "excludes": ["/runs", "/results"], "env_vars": variables},
        **({"include_dashboard": False} if address == "local" else {}),
    )
    try:
        if address == "local" and cores > ray.cluster_resources()["CPU"]:
            sys.exit(f"--cores {cores}: this machine has {ray.cluster_resources()['CPU']:.0f}.")
        yield
    finally:
        ray.shutdown()


def _look_for(address: str) -> None:
    """Exit where nobody answers at host:port; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError):
        sys.exit(f"RAY_ADDRESS: no cluster answers at {address}; start it (docs/scale.md), or unset RAY_ADDRESS to use this machine.")


def on_this_node(function: Callable, cores: float, gpu: float = 0) -> Any:
    """A function as a task of the node that the driver runs on, with so many of its cores and GPUs if it has them."""
    node = ray.get_runtime_context().get_node_id()
    has = next(one["Resources"] for one in ray.nodes() if one["NodeID"] == node)
    return ray.remote(max_calls=0)(function).options(
        num_cpus=min(cores, has.get("CPU", 0)),
        num_gpus=min(gpu, has.get("GPU", 0)),
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )


def value_of(ref: ray.ObjectRef) -> Any:
    """What a task returned; raises Failed with one line where it did not."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise Failed(_line(error.cause)) from None
    except OutOfMemoryError:
        raise Failed("The node's memory ran out; give each training more of its node (--cores).") from None
    except RayError as error:
        raise Failed(_line(error)) from None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, Failed | NotReady | RayError) else f"{type(error).__name__}: {text}"

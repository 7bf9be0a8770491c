"""What a training says when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from stages.params import Params


@contextmanager
def advise_on_memory(params: Params, otherwise: str) -> Iterator[None]:
    """Exit with one line that says what to lower, or do otherwise, where what is done inside runs out of the GPU's or the host's memory."""
    try:
        yield
    except TerminatedWorkerError:
        reason = "A training process was killed, most likely by the system because memory ran out."
    except (MemoryError, torch.OutOfMemoryError):
        reason = "Memory ran out."
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # what torch's allocator of the CPU says
            raise
        reason = "Memory ran out."
    else:
        return
    raise SystemExit(
        f"{reason} Lower train.batch_size (now {params.train.batch_size}) or model.image_size (now {params.model.image_size}), or {otherwise}"
    )

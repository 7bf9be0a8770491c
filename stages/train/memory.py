"""What a training says when memory runs out, or one of its processes crashes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from stages.params import Params


@contextmanager
def advise_on_memory(params: Params, otherwise: str) -> Iterator[None]:
    """Exit with one line that says what to lower, or do otherwise, where what is done inside runs out of the GPU's or the host's memory,
    or with one that says so where a process crashes."""
    try:
        yield
    except TerminatedWorkerError as error:
        if crash := re.search(r"SIG(SEGV|BUS|ABRT|ILL|FPE)\b", str(error)):
            raise SystemExit(
                f"A training process crashed ({crash[0]}): a fault in a library's native code, not a lack of memory. The next run goes on "
                "after the last finished epoch; if it crashes again, take another model.backbone, model.image_size or train.precision."
            ) from None
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

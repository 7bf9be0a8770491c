"""The pipeline's stages. What the machine refuses to one of them, and an interruption, end it with one line at most and not with a traceback;
and where DVC runs one that fails, its earlier outputs come back.
"""

import errno
import os
import re
import sys
from types import TracebackType

from stages.rollback import supervise

ADVICE = {
    errno.ENOSPC: "The disk is full; free some space and run the same command again.",
    errno.EDQUOT: "Your share of the disk is used up; free some space and run the same command again.",
    errno.EROFS: "That place cannot be written to; choose another, or make it writable.",
    errno.EACCES: "There is no permission; change the file's, or run as its owner.",
    errno.EPERM: "There is no permission; change the file's, or run as its owner.",
    errno.EMFILE: "Too many files are open; raise the limit (ulimit -n).",
}


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    if (number := _errno(error)) in ADVICE:
        print(f"{getattr(error, 'filename', None) or 'Writing'}: {os.strerror(number)}. {ADVICE[number]}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    if getattr(error, "sqlite_errorname", None) == "SQLITE_FULL":
        return errno.ENOSPC
    told = re.search(r"\(os error (\d+)\)", str(error))  # by safetensors, which is written in Rust
    return int(told[1]) if told else None


sys.excepthook = _tell
if sys.argv[0] == "-m" and "DVC_STAGE" in os.environ and hasattr(os, "fork"):  # `python -m stages...`, before anything else is imported
    supervise(os.environ["DVC_STAGE"].rpartition(":")[2])

"""The pipeline's stages. What the machine refuses to one of them, and an interruption, end it with one line at most and not with a traceback."""

import errno
import sys
from types import TracebackType

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
    if isinstance(error, OSError) and error.errno in ADVICE:
        print(f"{error.filename or 'Writing'}: {error.strerror}. {ADVICE[error.errno]}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell

"""The pipeline's stages. What the machine refuses to one of them, an interruption, and a reader of its output that goes end it with one line at
most and not with a traceback; and where DVC runs one that fails, its earlier outputs come back. A stage that reads no arguments gets none: they are answered here, before it runs.
"""

import atexit
import errno
import os
import re
import select
import sys
from pathlib import Path
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
    if isinstance(error, KeyboardInterrupt) or isinstance(error, BrokenPipeError) and _reader_is_gone():
        return
    if (number := _errno(error)) in ADVICE:
        print(f"{getattr(error, 'filename', None) or 'Writing'}: {os.strerror(number)}. {ADVICE[number]}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more, as behind `| head`."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # Python would try again, and print what comes of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_in_utf_8() -> None:
    """Names of files may be beyond the locale, and need not be text at all. A terminal, or who sets PYTHONIOENCODING, keeps its encoding."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            keeps = stream.isatty() or "PYTHONIOENCODING" in os.environ
            stream.reconfigure(encoding=None if keeps else "utf-8", errors="backslashreplace")


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    if getattr(error, "sqlite_errorname", None) == "SQLITE_FULL":
        return errno.ENOSPC
    told = re.search(r"\(os error (\d+)\)", str(error))  # by safetensors, which is written in Rust
    return int(told[1]) if told else None


def _answer(arguments: list[str]) -> None:
    """Exit with what the module does that `python -m` is about to run, or with a refusal, unless it reads its arguments itself."""
    name = sys.orig_argv[-len(arguments) - 1].removeprefix("-m")
    place = Path(__file__).parents[1].joinpath(*name.split("."))
    file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not source or re.search(r"\bargparse\b|\bsys\.argv\b", source):
        return
    if {"-h", "--help"} & {*arguments}:
        import ast

        print((ast.get_docstring(ast.parse(source)) or name).split("\n\n")[0])
        sys.exit()
    sys.exit(
        f"python -m {name} takes no arguments, and was given {' '.join(arguments)}; what it does is set in params.yaml (python -m stages.params)"
    )


sys.excepthook = _tell
atexit.register(_flush)
_print_in_utf_8()
if sys.argv[0] == "-m":  # `python -m stages...`, before anything else is imported
    if "DVC_STAGE" in os.environ and hasattr(os, "fork"):
        supervise(os.environ["DVC_STAGE"].rpartition(":")[2])
    if sys.argv[1:]:
        _answer(sys.argv[1:])

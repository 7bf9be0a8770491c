"""Commands in sessions of their own, which end with all that they started.

As a script, python processes.py COMMAND, this is a lifeline: when the pipe that is its standard input closes, because the process at the other
end is gone, however that ended, the whole session ends.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def start(command: list[str], **options) -> subprocess.Popen:
    """Start a command that `end` can end; options: those of Popen."""
    return subprocess.Popen(command, start_new_session=True, **options)


def start_tied(command: list[str], **options) -> subprocess.Popen:
    """The same, but when this process ends, the command ends too; it has no standard input."""
    return start([sys.executable, __file__, *command], stdin=subprocess.PIPE, **options)


def end(process: subprocess.Popen, kind: signal.Signals = signal.SIGKILL) -> None:
    """End a command that was started here, and all that is left of what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, kind)
    process.wait()


def main() -> None:
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(command.wait())


def _end_with_input() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""Run a command that ends, with all that it started, when the process that started this one ends, however that ends.

python lifeline.py COMMAND, in a session of its own and with a pipe as its standard input: when the pipe closes, nobody waits any more.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(command.wait())


def _end_with_input() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

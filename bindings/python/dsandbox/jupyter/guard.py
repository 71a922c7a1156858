# SPDX-License-Identifier: MIT
"""A process beside the kernel that outlives it, and ends its session where the kernel could not: it was killed, or crashed.

It waits for the end of a pipe that the kernel alone has open. It also has the kernel's lock: another kernel under the same name,
after a restart, begins when there is nothing left to end.
"""
import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import List, Optional

from ..client import Client
from ..errors import Error

PAUSES = (0.0, 1.0, 3.0)  # seconds: a session that was being made is there a moment later
DONE, KEEP = b"done", b"keep"  # what the kernel may say in the end: nothing is left to do; the files stay
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dsandbox.jupyter.guard import main; main(sys.argv[1:])"


class Guard:
    """The kernel's end of it."""

    def __init__(self, socket_path: str, session: str, keeps_files: bool, lock: Optional[int]) -> None:
        argv = [sys.executable, "-c", PROGRAM, ROOT, socket_path, session, "keep" if keeps_files else "remove"]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )

    def tell(self, word: bytes, wait: bool) -> None:
        """The last word. It ends by itself; `wait`: before this returns."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            assert self._process.stdin is not None
            with self._process.stdin as pipe:
                pipe.write(word)
            if wait:
                self._process.wait(10)


def end(client: Client, session: str, remove_files: bool) -> None:
    for pause in PAUSES:
        time.sleep(pause)
        with contextlib.suppress(Error):
            client.delete(session, remove_files)
            return


def main(argv: List[str]) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    socket_path, session, files = argv
    word = sys.stdin.buffer.read(len(DONE))
    if word != DONE:
        end(Client(socket_path), session, files == "remove" and word != KEEP)

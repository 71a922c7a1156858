#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How much slower the machine is now than the one that the deadlines of the tests were written for: an idle core.

A deadline of a test only ends what hangs; on a busy machine it must not end what is slow. `scaled(seconds)` is such a
deadline. `setting(seconds)` is one that a test gives to the product, shorter than its default: text for an option, the same
each time, since it is in what a session is made with, so that it counts on others as well. `slowness()` is for a promise of the product that a slow machine alone
may break: 1 on an idle core. Importing this scales the time limits of subprocess as well. As a program it prints the factor
of `scaled`.
"""
import functools
import math
import subprocess
import sys
import threading
import time

REFERENCE = 0.015  # seconds of one piece of work on an idle core
LEAST, MOST = 2.0, 20.0  # others may become busy after the measurement
VALID = 5  # seconds
_lock = threading.Lock()
_measured = {"at": None, "slowness": 1.0}


def _work():
    """A new process that computes a little: what the tests do most."""
    begin = time.monotonic()
    _Popen([sys.executable, "-I", "-S", "-c", "sum(range(300000))"], stdin=subprocess.DEVNULL).wait()
    return time.monotonic() - begin


def slowness():
    with _lock:
        now = time.monotonic()
        if _measured["at"] is None or now > _measured["at"] + VALID:
            # The slowest of a few: a busy machine lets one pass at full speed now and then.
            _measured["slowness"] = min(max(1, max(_work() for _ in range(3)) / REFERENCE), MOST / 2)
            _measured["at"] = time.monotonic()
        return _measured["slowness"]


def factor():
    return max(LEAST, 2 * slowness())


def scaled(seconds):
    return None if seconds is None else seconds * factor()


def setting(seconds):
    return f"{set_seconds(seconds)}s"


@functools.lru_cache(maxsize=None)
def set_seconds(seconds):
    """What `setting` says, as a number."""
    return math.ceil(seconds * max(LEAST, slowness()))


_Popen = subprocess.Popen


class Patient(_Popen):
    def communicate(self, input=None, timeout=None):  # pylint: disable=redefined-builtin
        return super().communicate(input, scaled(timeout))

    def wait(self, timeout=None):
        return super().wait(scaled(timeout))


subprocess.Popen = Patient

if __name__ == "__main__":
    print(f"{factor():.1f}")

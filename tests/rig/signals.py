# SPDX-License-Identifier: MIT
"""Signals, one after the other."""
import time

from speed import scaled


def pending(pid):
    """What the process has not taken yet, as a mask."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            rows = dict(line.split(":", 1) for line in file)
    except OSError:
        return 0
    return int(rows["SigPnd"], 16) | int(rows["ShdPnd"], 16)


def send(process, number, times):
    """Each when the one before was taken: signals that wait are one."""
    until = time.monotonic() + scaled(30)
    for _ in range(times):
        while pending(process.pid):
            assert time.monotonic() < until, "it takes no signal"
            time.sleep(0.01)
        process.send_signal(number)

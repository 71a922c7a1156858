#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each function that a library exports, with NULL and 0 for all that it takes: it comes back, and GLib has no word to say.

nulls.py FILE.so
"""
import ctypes
import os
import signal
import subprocess
import sys

ARGUMENTS = 8


def exported(path):
    lines = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return sorted({line.split()[2].split("@")[0] for line in lines.splitlines() if line.split()[1] == "T"})


def ending_of(path, name):
    """How a process ended that called it: "", or why that is not good."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os.environ["G_DEBUG"] = "fatal-criticals"
        function = getattr(ctypes.CDLL(path), name)
        function.restype = None
        function(*[ctypes.c_void_p(0)] * ARGUMENTS)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "" if status == 0 else f"exit status {os.WEXITSTATUS(status)}"


def main():
    names = exported(sys.argv[1])
    bad = {name: ending for name in names if (ending := ending_of(sys.argv[1], name))}
    for name, ending in bad.items():
        print(f"{name}: {ending}")
    print(f"{len(names)} functions, {len(bad)} cannot take NULL")
    return 1 if bad or len(names) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""Foreign test tools: from their registries, in pinned versions, once, beside the program that is tested."""
import fcntl
import os
import shutil
import subprocess
import sys

import harness
import cli_harness
from registry import NPM, PIP, patiently

PLACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(cli_harness.PROGRAM))), "test-tools")
SECONDS = 900  # a registry far away, a cold cache, and others on the machine


def call(*argv, **more):
    """Standard output. A failure says all that the command said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
                          check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def get(*argv, **more):
    """The same, from a registry; one at a time, since all have one cache."""
    with open(os.path.join(PLACE, "registries.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return patiently(lambda: call(*argv, **more), AssertionError, subprocess.TimeoutExpired)


def once(name, packages, make):
    """The directory PLACE/name, made by make(directory) when it is not there with these packages."""
    path = os.path.join(PLACE, name)
    stamp = os.path.join(path, "packages")
    wanted = "\n".join(packages) + "\n"
    os.makedirs(PLACE, exist_ok=True)
    with open(path + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(stamp) or harness.content(stamp) != wanted.encode():
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path)
            make(path)
            with open(stamp, "w", encoding="utf-8") as out:
                out.write(wanted)
    return path


def python(name, *packages):
    """The bin directory of a virtual environment with the packages ("name==version")."""
    def make(path):
        call(sys.executable, "-m", "venv", path)
        # Little of what is installed is ever imported: what is compiles itself.
        get(os.path.join(path, "bin/pip"), "install", "-q", "--no-compile", "--disable-pip-version-check", *PIP, *packages)

    return os.path.join(once(name, packages, make), "bin")


def node(name, *packages):
    """A directory with the packages ("name@version") in node_modules."""
    def make(path):
        if shutil.which("npm") is None:
            raise AssertionError("npm is not installed: sh tests/rig/install.sh check")
        with open(os.path.join(path, "package.json"), "w", encoding="ascii") as out:
            out.write('{"private": true, "type": "module"}\n')
        get("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM, *packages, cwd=path)

    return once(name, packages, make)

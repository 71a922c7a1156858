#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
All tests of one directory (tests/redteam, tests/edges) on one set-up. Environment, arguments and last line as in
tests/cli/cli_harness.py:

    DSB_TEST_SETUP=... DSB_TEST_BACKEND=... DSB_TEST_ENDPOINT=... python3 tests/rig/all.py tests/redteam [-k PATTERN]

A file that says `ONCE = "why"` is left out where DSB_TEST_ONCE is 0: another set-up has it (asks in tests/rig/setups.sh).
Where DSB_TEST_ROOTLESS is 1 only those are taken that say `ROOTLESS = "why"`: what can be otherwise there.
"""
import glob
import importlib
import inspect
import os
import sys
import unittest


def cases(directory):
    for path in sorted(glob.glob(os.path.join(directory, "test_*.py"))):
        name = os.path.basename(path)[:-3]
        module = importlib.import_module(name)
        if hasattr(module, "ONCE") and os.environ.get("DSB_TEST_ONCE") == "0":
            continue
        if not hasattr(module, "ROOTLESS") and os.environ.get("DSB_TEST_ROOTLESS") == "1":
            continue
        for _, case in inspect.getmembers(module, inspect.isclass):
            if issubclass(case, unittest.TestCase) and case.__module__ == name:
                yield case


if __name__ == "__main__":
    place = os.path.abspath(sys.argv.pop(1) if len(sys.argv) > 1 else "")
    if not glob.glob(os.path.join(place, "test_*.py")):
        sys.exit("all.py: needs a directory with tests")
    sys.path[:0] = [place, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli")]
    import cli_harness

    if not cli_harness.SETUP:
        sys.exit("all.py: needs an engine: DSB_TEST_SETUP and the others, or the run.sh of the directory")
    cli_harness.main(list(cases(place)))

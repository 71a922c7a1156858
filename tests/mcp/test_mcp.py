#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of `dsandbox mcp`: its messages, clients that do not behave, and with an engine the official Python client.
Environment and last line as in tests/cli/cli_harness.py.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
import without_engine  # noqa: E402
from cli_harness import SETUP, main  # noqa: E402

if __name__ == "__main__":
    cases = without_engine.CASES
    if SETUP:
        import with_engine
        cases = cases + with_engine.CASES
    main(cases)

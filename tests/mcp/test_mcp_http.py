#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of /mcp in the service: its messages, clients that do not behave, and with an engine the official clients and
the official conformance suite. Environment and last line as in tests/cli/cli_harness.py.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../cli")]
import http_without_engine  # noqa: E402
from cli_harness import SETUP, main  # noqa: E402

if __name__ == "__main__":
    cases = http_without_engine.CASES
    if SETUP:
        import http_with_engine
        cases = cases + http_with_engine.CASES
    main(cases)

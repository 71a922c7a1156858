#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Tests of `dsandbox serve` over its unix socket. Every answer is checked against doc/openapi.json.

Without an engine:  DSB_TEST_PROGRAM=build/cli/dsandbox python3 tests/service/test_service.py
With one, once for each set-up: also DSB_TEST_SETUP, DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_AS, DSB_TEST_WORK,
DSB_TEST_IMAGE, as for tests/cli/cli_harness.py. DSB_TEST_SESSIONS: sessions at once (50), DSB_TEST_EXECUTIONS: of all of
them together (1000). The last line is "N passed, N failed, N skipped".
"""
import unittest

import again
import document
import framing
import harness
import instructions
import life
import misbehaving
import pool
import removal
import report
import runner
import schedule
import tool_calls
import transfers
import with_engine
import without_engine


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    offline = without_engine.CASES + document.CASES + framing.CASES + schedule.CASES + transfers.CASES + again.CASES + removal.CASES + pool.CASES + misbehaving.CASES + instructions.CASES
    for case in with_engine.CASES + tool_calls.CASES + report.CASES + pool.WITH_ENGINE + life.CASES if harness.SETUP else offline:
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


def main():
    harness.begin()
    try:
        result = runner.run()
    finally:
        harness.end()
    runner.end(result)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Tests of `dsandbox serve` over its unix socket. Every answer is checked against doc/openapi.json.

Without an engine:  DSB_TEST_PROGRAM=build/cli/dsandbox python3 tests/service/test_service.py
With one, once for each set-up: also DSB_TEST_SETUP, DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_AS, DSB_TEST_WORK,
DSB_TEST_IMAGE, as for tests/cli/test_cli.py. DSB_TEST_SESSIONS: sessions at once (50), DSB_TEST_EXECUTIONS: of all of
them together (1000). The last line is "N passed, N failed, N skipped".
"""
import sys
import unittest

import harness
import life
import with_engine
import without_engine


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in with_engine.CASES + life.CASES if harness.SETUP else without_engine.CASES:
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


def main():
    harness.begin()
    try:
        run = unittest.main(argv=sys.argv, verbosity=2, exit=False, catchbreak=False).result
    finally:
        harness.end()
    failed = {str(getattr(test, "test_case", test)) for test, _ in run.failures + run.errors}
    skipped = len(run.skipped)
    passed = max(run.testsRun - len(failed) - skipped, 0)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()

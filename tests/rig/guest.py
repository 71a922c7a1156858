#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The tests that need a machine of their own, for root in a guest of vm.sh; the clock last, which is set.

    guest.py [-k PATTERN]

The slowest are listed at the end. The last line is "N passed, N failed, N skipped".
"""
import unittest

import clock
import mapped
import nfs
import prerequisites
import settings
import units


def load_tests(loader, _tests, _pattern):
    cases = prerequisites.CASES + settings.CASES + units.CASES + mapped.CASES + nfs.CASES + clock.CASES
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2, durations=20).result
    bad = len({getattr(case, "test_case", case) for case, _ in result.failures + result.errors})
    print(f"{result.testsRun - bad} passed, {bad} failed, 0 skipped")
    raise SystemExit(bad != 0)

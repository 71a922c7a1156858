#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All tests of dsb-init and its interpreter, beside each other; each file runs alone as well. Arguments as of unittest."""
import unittest

import guest_client  # noqa: F401  (where runner is found)
import runner
import test_bounds
import test_checkpoint
import test_frames
import test_guest
import test_hostile
import test_lookup
import test_output
import test_preload
import test_programs
import test_session
import test_start
import test_terminals
import test_tools

FILES = (test_bounds, test_checkpoint, test_frames, test_guest, test_hostile, test_lookup, test_output, test_preload, test_programs, test_session,
         test_start, test_terminals, test_tools)


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(loader.loadTestsFromModule(file) for file in FILES)


if __name__ == "__main__":
    runner.main()

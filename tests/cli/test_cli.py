#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of the program `dsandbox`: options, messages, exit statuses, JSON, signals, leaks.

Without an engine:  DSB_TEST_PROGRAM=build/cli/dsandbox python3 tests/cli/test_cli.py
With one: environment, arguments and last line as cli_harness.py says.
"""
import program_files
import program_help
import program_options
import program_policy
import program_results
import program_use
import session_life
from cli_harness import SETUP, main

WITHOUT_ENGINE = [*program_options.CASES, *program_help.CASES, *program_policy.CASES, *session_life.WITHOUT_ENGINE]
WITH_ENGINE = [*program_results.CASES, *program_use.CASES, *program_files.CASES]

if __name__ == "__main__":
    main(WITH_ENGINE if SETUP else WITHOUT_ENGINE)

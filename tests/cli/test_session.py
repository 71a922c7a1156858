#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of sessions with the program: every verb, the prompt on a terminal, and what a service that is killed leaves.
Environment and last line as in cli_harness.py.
"""
import os

import session_life
import session_prompt
import session_terminal
import session_work
from cli_harness import SETUP, main

WITH_ENGINE = [*session_life.WITH_ENGINE, *session_work.CASES, *session_prompt.CASES, *session_terminal.CASES]

if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main([*session_life.WITHOUT_ENGINE] + (WITH_ENGINE if SETUP else []))

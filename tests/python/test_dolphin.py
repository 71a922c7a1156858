#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Tests of dsandbox.dolphin, the drop-in for DockerSandboxExecutor: that everything its documentation says is true, and
that the flaws it had are not here. Without an engine against tests/python/fake.py, with one (see common.py) for real.
"""
from common import main

import dolphin_behaviour
import dolphin_interface

if __name__ == "__main__":
    main(dolphin_interface, dolphin_behaviour)

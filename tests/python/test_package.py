#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the package dsandbox. Without an engine against tests/python/fake.py, with one (see common.py) for real."""
from common import main

import package_client
import package_engine
import package_members
import package_tools
import package_workspace

if __name__ == "__main__":
    main(package_client, package_engine, package_members, package_tools, package_workspace)

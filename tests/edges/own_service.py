# SPDX-License-Identifier: MIT
"""For edges that speak HTTP to a service of their own: the harness of tests/service, in a directory of its own."""
import os
import sys
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../service"), os.path.join(HERE, "../cli")]
import harness  # noqa: E402
import cli_harness  # noqa: E402


def begin():
    path = os.path.join(cli_harness.WORK.path, "service")
    os.makedirs(path, exist_ok=True)
    with mock.patch.dict(os.environ, DSB_TEST_WORK=path):
        harness.begin()


def end():
    harness.end()

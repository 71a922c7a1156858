#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Real work under the system call profile: the image's packages, the standard library, children of all kinds. Each workload
checks its own results, and that what the profile refuses fails with the error that it should have.
Needs an engine; environment, arguments and last line as in tests/cli/cli_harness.py.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
import cli_harness  # noqa: E402
from record import program  # noqa: E402


class Workloads(cli_harness.EngineCase):
    def work(self, name, *expected):
        done = self.dsb("--timeout", "110s", "-c", program(name))
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (0, "ok"), done)
        self.assertEqual(result["stdout"].split("\n"), ["ok " + part for part in expected] + [""], done)

    def test_libraries(self):
        self.work("libraries", "numpy", "pandas", "matplotlib", "scipy", "sklearn")

    def test_packages(self):
        self.work("packages", "seaborn", "glyphs", "tqdm", "openpyxl", "jinja2", "tabulate", "pillow", "sympy", "networkx", "requests",
                  "beautifulsoup4", "lxml", "pip", "python")

    def test_standard_library(self):
        self.work("stdlib", "files", "descriptors", "memory", "system", "terminal", "sockets", "imports")

    def test_processes(self):
        self.work("processes", "processes")


if __name__ == "__main__":
    if not cli_harness.SETUP:
        sys.exit("test_seccomp.py: needs an engine: DSB_TEST_SETUP and the others, see tests/cli/cli_harness.py")
    cli_harness.main([Workloads])

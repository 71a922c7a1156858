#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The suites that agent frameworks publish for those who make sandboxes, against dsandbox.adapters: installed from its wheel, beside
the frameworks of frameworks/requirements.txt, which come from PyPI once into the build's directory. What does not pass is named
in each frameworks/suite_*.py, with its reason. Environment and last line as in test_package.py.
"""
import os
import re
import subprocess
import sys

from common import PACKAGE, Case
from pinned import Environment, SuiteCase

FRAMEWORKS = Environment("frameworks")


class Suite(SuiteCase):
    environment = FRAMEWORKS

    def test_pydantic_ai(self):
        self.suite("pydantic_ai", 37)

    def test_deepagents(self):
        self.suite("deepagents", 81, "-o", "asyncio_mode=auto")

    def test_smolagents(self):
        self.suite("smolagents", 15)

    def test_inspect_ai(self):
        self.suite("inspect_ai", 44)


class Types(SuiteCase):
    environment = FRAMEWORKS

    def test_pyright(self):
        self.pyright("adapters")


class Adapters(Case):
    """Without any framework."""

    def test_the_package_needs_none(self):
        code = "import dsandbox, dsandbox.workspace, dsandbox.adapters, sys; print([m for m in sys.modules if m.split('.')[0] not in names])"
        names = sorted(set(sys.stdlib_module_names) | {"dsandbox", "__main__"}) if hasattr(sys, "stdlib_module_names") else None
        if names is None:
            self.skipTest("this Python does not know the names of its standard library")
        done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {PACKAGE!r}); names = {names!r}; {code}"],
                              stdout=subprocess.PIPE, check=True, timeout=60)
        self.assertEqual(done.stdout.strip(), b"[]")

    def test_each_adapter_has_an_extra(self):
        with open(os.path.join(PACKAGE, "pyproject.toml"), encoding="utf-8") as file:
            text = file.read()
        modules = sorted(name[:-3] for name in os.listdir(os.path.join(PACKAGE, "dsandbox", "adapters")) if name.endswith(".py") and name[0] != "_")
        self.assertTrue(modules)
        for module in modules:
            self.assertRegex(text, rf"(?m)^{re.escape(module.replace('_', '-'))} = \[")


if __name__ == "__main__":
    FRAMEWORKS.run(beside=4)  # they wait most of the time

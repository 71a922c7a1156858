#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The suites that agent frameworks publish for those who make sandboxes, against dsandbox.adapters: installed from its wheel, beside
the frameworks of frameworks/requirements.txt, which come from PyPI once into the build's directory. What does not pass is named
in each frameworks/suite_*.py, with its reason. Environment and last line as in test_package.py.
"""
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from common import BACKEND, HERE, PACKAGE, PROGRAM, Case, EngineCase, main
import registry
from test_typing import Typing

SUITES = os.path.join(HERE, "frameworks")
PLACE = os.path.join(os.path.dirname(os.path.dirname(PROGRAM)), "test-tools", "frameworks")
BIN = os.path.join(PLACE, "bin")
PIP = [os.path.join(BIN, "python3"), "-m", "pip", "--quiet", "--disable-pip-version-check"]


def call(argv, seconds, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout.decode('utf-8', 'replace')}")


def make(wanted):
    shutil.rmtree(PLACE, ignore_errors=True)
    call([sys.executable, "-m", "venv", PLACE], 120)
    get = [*PIP, "install", "--no-compile", "--no-deps", *registry.PIP, "-r", os.path.join(SUITES, "requirements.txt")]
    registry.patiently(lambda: call(get, 900), AssertionError, subprocess.TimeoutExpired)
    with open(os.path.join(PLACE, "requirements"), "w", encoding="utf-8") as file:
        file.write(wanted)


def install(work):
    """What users get, for this run alone, and the frameworks; these are there already, if the requirements are the same."""
    with open(os.path.join(SUITES, "requirements.txt"), encoding="utf-8") as file:
        wanted = file.read()
    os.makedirs(os.path.dirname(PLACE), exist_ok=True)
    with open(PLACE + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(os.path.join(PLACE, "requirements"), encoding="utf-8") as file:
                ready = file.read() == wanted
        except FileNotFoundError:
            ready = False
        if not ready:
            make(wanted)
    source, wheels = os.path.join(work, "source"), os.path.join(work, "wheels")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    call([*PIP, "wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", wheels, source], 120)
    call([*PIP, "install", "--no-index", "--no-deps", "--target", site(work), os.path.join(wheels, os.listdir(wheels)[0])], 120)


def site(work):
    return os.path.join(work, "site")


class Suite(EngineCase):
    """One foreign suite, as a test."""

    scratch = ""

    def suite(self, name, least, *more):
        """Nothing fails, nothing that is left out passes, and `least` pass: a suite that shrinks is noticed."""
        report = self.path("report.xml")
        options = {**self.options(), "base_dir": self.base}
        env = {"PATH": BIN + ":/usr/bin:/bin", "HOME": self.dir, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": self.dir,
               "PYTHONPATH": site(self.scratch),
               "DSB_TEST_SOCKET": self.client.socket_path, "DSB_TEST_OPTIONS": json.dumps(options)}
        argv = [os.path.join(BIN, "python3"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rsx", "--durations", "5", "--junit-xml", report,
                "--rootdir", SUITES, *more, os.path.join(SUITES, f"suite_{name}.py")]
        done = subprocess.run(argv, env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=600, check=False)
        text = done.stdout.decode("utf-8", "replace")
        print(text, flush=True)
        self.assertEqual(done.returncode, 0, f"{name}: see above")
        tests = list(xml.etree.ElementTree.parse(report).iter("testcase"))
        passed = [test for test in tests if not list(test)]
        self.assertGreaterEqual(len(passed), least, f"{name}: fewer pass than once did\n{text}")
        print(f"{name}: {len(passed)} of {len(tests)} pass", flush=True)

    def test_pydantic_ai(self):
        self.suite("pydantic_ai", 37)

    def test_deepagents(self):
        self.suite("deepagents", 81, "-o", "asyncio_mode=auto")

    def test_smolagents(self):
        self.suite("smolagents", 13)

    def test_inspect_ai(self):
        self.suite("inspect_ai", 44)


class Types(EngineCase):
    """Of the adapters beside the real frameworks; test_typing.py has those of the rest."""

    def test_pyright(self):
        Typing.setUpClass()
        Typing.run_([Typing.python, "-m", "pyright", "--pythonpath", os.path.join(BIN, "python3"), os.path.join(PACKAGE, "dsandbox", "adapters")],
                    300, cwd=self.dir)


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
    with tempfile.TemporaryDirectory(prefix="dsb-frameworks.") as Suite.scratch:
        if BACKEND:
            install(Suite.scratch)
            os.environ.setdefault("DSB_TEST_BESIDE", "4")  # they wait most of the time
        main()

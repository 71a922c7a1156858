# SPDX-License-Identifier: MIT
"""
Suites that run in a virtual environment of their own, beside what they need from PyPI, pinned: that is there once in the build's
directory, for each requirements.txt. dsandbox is installed from its wheel for each run alone.
"""
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from common import BACKEND, HERE, PACKAGE, PROGRAM, EngineCase, directory, main
import registry
from test_typing import Typing


def call(argv, seconds, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout.decode('utf-8', 'replace')}")


class Environment:
    """That of one directory of suites; it is made by the first who needs it."""

    def __init__(self, name):
        self.suites = os.path.join(HERE, name)
        self.place = os.path.join(os.path.dirname(os.path.dirname(PROGRAM)), "test-tools", name)
        self.bin = os.path.join(self.place, "bin")
        self.python = os.path.join(self.bin, "python3")
        self.site = ""  # where dsandbox is, for this run

    def pip(self, *words, seconds):
        call([self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], seconds)

    def make(self, wanted):
        shutil.rmtree(self.place, ignore_errors=True)
        call([sys.executable, "-m", "venv", self.place], 120)
        get = ("install", "--no-compile", "--no-deps", *registry.PIP, "-r", os.path.join(self.suites, "requirements.txt"))
        registry.patiently(lambda: self.pip(*get, seconds=900), AssertionError, subprocess.TimeoutExpired)
        with open(os.path.join(self.place, "requirements"), "w", encoding="utf-8") as file:
            file.write(wanted)

    def install(self, work):
        """What users get, for this run alone, and what is needed; that is there already, if the requirements are the same."""
        with open(os.path.join(self.suites, "requirements.txt"), encoding="utf-8") as file:
            wanted = file.read()
        os.makedirs(os.path.dirname(self.place), exist_ok=True)
        with open(self.place + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                with open(os.path.join(self.place, "requirements"), encoding="utf-8") as file:
                    ready = file.read() == wanted
            except FileNotFoundError:
                ready = False
            if not ready:
                self.make(wanted)
        source, wheels, self.site = os.path.join(work, "source"), os.path.join(work, "wheels"), os.path.join(work, "site")
        shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        self.pip("wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", wheels, source, seconds=120)
        self.pip("install", "--no-index", "--no-deps", "--target", self.site, os.path.join(wheels, os.listdir(wheels)[0]), seconds=120)

    def run(self, beside):
        """The cases of the file that was started, with dsandbox installed, so many at a time."""
        with tempfile.TemporaryDirectory(prefix="dsb-pinned.") as work:
            if BACKEND:
                self.install(work)
                os.environ.setdefault("DSB_TEST_BESIDE", str(beside))
            main()


class SuiteCase(EngineCase):
    """One suite, as a test."""

    environment = None

    def suite(self, name, least, *more):
        """Nothing fails, nothing that is left out passes, and `least` pass: a suite that shrinks is noticed."""
        its, report = self.environment, self.path("report.xml")
        options = {**self.options(), "base_dir": directory("base-" + name)}
        env = {"PATH": its.bin + ":/usr/bin:/bin", "HOME": self.dir, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": self.dir,
               "PYTHONPATH": its.site, "DSB_TEST_SOCKET": self.client.socket_path, "DSB_TEST_OPTIONS": json.dumps(options)}
        argv = [its.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rsx", "--durations", "5", "--junit-xml", report,
                "--rootdir", its.suites, *more, os.path.join(its.suites, f"suite_{name}.py")]
        done = subprocess.run(argv, env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=600, check=False)
        text = done.stdout.decode("utf-8", "replace")
        print(text, flush=True)
        self.assertEqual(done.returncode, 0, f"{name}: see above")
        tests = list(xml.etree.ElementTree.parse(report).iter("testcase"))
        passed = [test for test in tests if not list(test)]
        self.assertGreaterEqual(len(passed), least, f"{name}: fewer pass than once did\n{text}")
        print(f"{name}: {len(passed)} of {len(tests)} pass", flush=True)

    def pyright(self, *parts):
        """Types of parts of the package beside what they are for; test_typing.py has those of the rest."""
        Typing.setUpClass()
        Typing.run_([Typing.python, "-m", "pyright", "--pythonpath", self.environment.python,
                     *(os.path.join(PACKAGE, "dsandbox", part) for part in parts)], 300, cwd=self.dir)

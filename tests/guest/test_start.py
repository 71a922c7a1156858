#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The interpreter begins with byte code that was made for it, or with the sources, and nobody sees the difference."""
import glob
import marshal
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import guest_client
from guest_client import GuestCase
import runner

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../guest/python/make_code.py")
CODE = "code-" + sys.implementation.cache_tag
PROGRAM = "try:\n    1 / 0\nexcept Exception as e:\n    problem = e\ndisplay(3)\nraise problem"


class Start(GuestCase, unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory, True)
        os.chmod(self.directory, 0o755)
        for path in glob.glob(os.path.join(guest_client.GUEST, "*")):
            shutil.copy(path, self.directory)
        # With the interpreter that make_code.py runs with.
        for name, value in (("GUEST", self.directory), ("PATH", os.path.dirname(os.path.realpath(sys.executable)))):
            self.addCleanup(setattr, guest_client, name, getattr(guest_client, name))
            setattr(guest_client, name, value)
        self.sources = [p for p in glob.glob(self.directory + "/*.py") if not p.endswith("/start.py")]

    def make(self, place):
        subprocess.run([sys.executable, MAKE, place, os.path.join(self.directory, CODE), *self.sources], check=True)

    def break_sources(self):
        for path in self.sources:
            with open(path, "w", encoding="utf-8") as file:
                file.write("raise SystemExit('from the source')\n")

    def same(self, plain):
        """As without any byte code."""
        r = self.run_code(PROGRAM)
        self.assertEqual((r.out, r.err, r.done["status"], r.report["displays"]), plain)

    def plain(self):
        for path in glob.glob(self.directory + "/code-*"):
            os.unlink(path)
        r = self.run_code(PROGRAM)
        self.assertIn(b"ZeroDivisionError", r.err)
        self.assertNotIn(self.directory.encode(), r.err)
        return r.out, r.err, r.done["status"], r.report["displays"]

    def test_made_for_it(self):
        plain = self.plain()
        self.make(self.directory + "/")
        self.break_sources()
        self.same(plain)

    def test_made_for_another(self):
        """Another place, another version of Python, half a file, something else."""
        plain = self.plain()
        self.make("/opt/dsandbox/")
        self.same(plain)
        self.make(self.directory + "/")
        path = os.path.join(self.directory, CODE)
        with open(path, "rb") as file:
            whole = file.read()
        magic, place, codes = marshal.loads(whole)
        broken = {name: b"" for name in codes}
        for content in (marshal.dumps((b"\0" * len(magic), place, broken)), whole[:len(whole) // 2], b"", b"\xff" * 100, marshal.dumps(7)):
            with open(path, "wb") as file:
                file.write(content)
            with self.subTest(content[:20]):
                self.same(plain)

    def test_the_installed(self):
        """What is mounted has it for the Python that it was built with."""
        with open(os.path.join(self.directory, CODE), "rb") as file:
            _, place, codes = marshal.loads(file.read())
        self.assertEqual(place, "/opt/dsandbox/")
        self.assertEqual({os.path.join(self.directory, name) for name in codes}, set(self.sources))


if __name__ == "__main__":
    runner.main()

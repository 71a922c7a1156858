#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the runner says of a suite is true, also of one whose tests run in processes beside each other: no test gets lost."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = """
import os, sys, unittest
sys.path.insert(0, {here!r})
import runner
class Alone(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail('seen')
    def test_parts(self):
        for i in range(2):
            with self.subTest(i): self.fail()
    def test_skipped(self): self.skipTest('why')
    def test_other(self): print(os.getpid())
class Shared(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.pid = os.getpid()
    def test_one(self): self.assertEqual(os.getpid(), self.pid)
    def test_two(self): self.assertEqual(os.getpid(), self.pid)
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError('fixture')
    def test_never(self): pass
class Deadly(unittest.TestCase):
    long = 'it ends its process'
    def test_end(self): os._exit(0 if '{how}' == 'quietly' else 3)
class Long(unittest.TestCase):
    long = 'too long'
    def test_long(self): pass
if __name__ == '__main__':
    runner.main()
"""


class Runner(unittest.TestCase):
    def run_it(self, *args, how="loudly", **env):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(SUITE.format(here=HERE, how=how))
            file.flush()
            done = subprocess.run([sys.executable, file.name, *args], env={**os.environ, **env}, capture_output=True, text=True, check=False)
        rows = dict(reversed(line.split()[1::2]) for line in done.stdout.splitlines() if line.startswith("case "))
        return done, {name.partition(".")[2]: kind for name, kind in rows.items()}, done.stdout.splitlines()[-1] if done.stdout else None

    def test_one_process_and_many_say_the_same(self):
        for beside in ("1", "3"):
            done, rows, last = self.run_it(DSB_TEST_LONG="0", DSB_TEST_BESIDE=beside)
            with self.subTest(beside):
                self.assertEqual((done.returncode, last), (1, "4 passed, 3 failed, 1 skipped"), done)
                self.assertEqual({rows["Alone.test_bad"], rows["Alone.test_parts"], rows["Alone.test_skipped"], rows["Shared.test_two"]},
                                 {"failed", "skipped", "passed"})
                self.assertIn("seen", done.stderr)

    def test_by_length(self):
        for which, kept in (("0", False), ("1", True)):
            _, rows, _ = self.run_it("-k", "test_good", "-k", "test_long", DSB_TEST_LONG=which, DSB_TEST_BESIDE="2")
            self.assertEqual(rows, {"Long.test_long" if kept else "Alone.test_good": "passed"})
        _, rows, _ = self.run_it("-k", "test_good", "-k", "test_long", DSB_TEST_LONG="")
        self.assertEqual(len(rows), 2)

    def test_a_process_that_is_gone(self):
        """Whatever it had before it, and with whichever status: what nobody has said anything of has failed."""
        for how in ("loudly", "quietly"):
            done, rows, _ = self.run_it("-k", "test_end", "-k", "test_good", "-k", "Shared", how=how, DSB_TEST_BESIDE="2")
            with self.subTest(how):
                self.assertEqual((done.returncode, rows.get("Deadly.test_end"), rows.get("Shared.test_one")), (1, "failed", "passed"), done)


if __name__ == "__main__":
    unittest.main()

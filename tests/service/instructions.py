# SPDX-License-Identifier: MIT
"""
Instructions that the program itself takes for an execution in a session, by callgrind: a number that no other load
changes. Those of the dynamic loader count as well, since which libraries there are is our choice.
"""
import json
import os
import re
import shutil
import unittest

import harness
from fake_pid1 import FakePid1
from harness import PROGRAM, SANITIZED, Service
from schedule import PLUGIN

VALGRIND = shutil.which("valgrind")
# Half more than Debian 12 takes in a build without optimisation: 1.30 and 2.08 million. One library more is that much.
MOST = {"version": 2_000_000, "exec": 3_100_000}


@unittest.skipIf(SANITIZED or VALGRIND is None, "valgrind runs no build with sanitizers, and may be missing")
class Instructions(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.addCleanup(self.service.stop)
        pid1 = FakePid1(os.path.join(self.service.run, "pid1"), os.path.join(self.service.base, "a"))
        self.addCleanup(pid1.close)
        self.service.api.run("a", "{}", create={"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path})

    def count(self, *argv):
        out = os.path.join(self.service.run, "callgrind")
        process = self.service.popen(VALGRIND, "--tool=callgrind", f"--callgrind-out-file={out}", PROGRAM, *argv)
        said, err = process.communicate(timeout=harness.HARD_LIMIT)
        self.assertEqual(process.returncode, 0, err)
        with open(out, encoding="utf-8") as file:
            return int(re.search(r"^totals: (\d+)$", file.read(), re.M)[1]), said

    def test_an_execution(self):
        for argv, word in ((("version",), b"dsandbox"), (("exec", "a", "-c", json.dumps({"out": "hello"})), b"hello")):
            with self.subTest(argv[0]):
                count, said = self.count(*argv)
                self.assertIn(word, said)
                self.assertLess(count, MOST[argv[0]])


CASES = (Instructions,)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The JUnit file of a run has every case of it, once, and the form that readers of such files expect."""
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import junit  # noqa: E402

VERDICTS = """passed\tclang
suite\tcli-podman\t2\t1\t1
suite\tvm\t2\t0\t1
meson\tno-engine
failed\tinstall, see a log
skipped\tpodman-rootless its engine does not run
"""
CLI = """test_a ... ok
======================================================================
FAIL: test_b (program_use.Ending.test_b)
----------------------------------------------------------------------
\x1b[31mAssertionError: <&> \x00

----------------------------------------------------------------------
Ran 1 test in 1.000s
test_c ... skipped
case passed 0.012 program_use.Ending.test_a
case failed 1.000 program_use.Ending.test_b
case skipped 0.000 program_use.Ending.test_c
case passed 0.100 program_use.Input.test_d
2 passed, 1 failed, 1 skipped
"""


class Junit(unittest.TestCase):
    def setUp(self):
        self.logs = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.logs)
        self.path = os.path.join(self.logs, "junit.xml")
        tests = [{"name": "dsandbox:unit / wire", "result": "OK", "duration": 0.25, "stdout": "", "stderr": ""},
                 {"name": "dsandbox:unit / gc", "result": "FAIL", "duration": 1, "stdout": "why", "stderr": ""},
                 {"name": "dsandbox:unit / uids", "result": "SKIP", "duration": 1, "stdout": "", "stderr": ""},
                 {"name": "dsandbox:cli / cli", "result": "OK", "duration": 9, "stderr": "",
                  "stdout": "case passed 0.5 a.B.test_c\n1 passed, 0 failed, 0 skipped\n"},
                 {"name": "dsandbox:cli / crash", "result": "ERROR", "duration": 9, "stderr": "",
                  "stdout": "1 passed, 0 failed, 0 skipped\n"}]
        for name, text in (("verdicts", VERDICTS), ("cli-podman.log", CLI),
                           ("times", "7 main cli-podman\n5 beside vm\n"),
                           ("no-engine.testlog.json", "".join(json.dumps(test) + "\n" for test in tests))):
            with open(os.path.join(self.logs, name), "w", encoding="utf-8") as file:
                file.write(text)

    def write(self, *numbers):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            return junit.main(self.logs, self.path, *map(str, numbers)), said.getvalue()

    def test_every_case_is_there(self):
        self.assertEqual(self.write(8, 4, 4), (0, ""))
        root = xml.parse(self.path).getroot()
        counts = {suite.get("name"): [suite.get(key) for key in ("tests", "failures", "skipped")] for suite in root}
        self.assertEqual(counts, {"clang": ["1", "0", "0"], "cli-podman": ["4", "1", "1"], "vm": ["3", "0", "1"],
                                  "no-engine": ["6", "2", "1"], "install": ["1", "1", "0"],
                                  "podman-rootless": ["1", "0", "1"]})
        (case,) = root.findall(".//testcase[@name='test_b']")
        self.assertEqual((case.get("classname"), case.get("time")), ("program_use.Ending", "1.000"))
        self.assertIn("AssertionError: <&> ?", case.find("failure").text)
        self.assertEqual(root.get("time"), "12.000")

    def test_what_failed_is_told(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            junit.failures(self.logs)
        said = said.getvalue()
        self.assertIn("FAIL cli-podman: program_use.Ending.test_b\n   | FAIL: test_b", said)
        self.assertIn("AssertionError: <&>", said)
        self.assertNotIn("Ran 1 test", said)
        for line in ("FAIL no-engine: dsandbox:unit / gc\n   | why\n", "FAIL install: install, see a log\n"):
            self.assertIn(line, said)

    def test_other_numbers_than_the_run_s(self):
        status, said = self.write(9, 4, 4)
        self.assertEqual(status, 1)
        self.assertIn("and the run had 9, 4, 4", said)

    def test_what_is_wrong_is_seen(self):
        self.write(8, 4, 4)
        changes = (
            lambda root: root.set("tests", "1"),
            lambda root: root[1].set("failures", "0"),
            lambda root: root[0].set("x", "1"),
            lambda root: root[0].set("time", "1"),
            lambda root: root[0].append(xml.Element("failure", message="")),
            lambda root: root.append(xml.Element("other")),
            lambda root: root[0][0].set("name", ""),
            lambda root: root[1][1].append(xml.Element("skipped", message="")),
            lambda root: setattr(root, "tag", "x"),
        )
        for change in changes:
            root = xml.parse(self.path).getroot()
            self.assertEqual(junit.problems(root), [])
            change(root)
            self.assertNotEqual(junit.problems(root), [])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
/sandbox is what the code's user can use, or nothing runs. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import tempfile
import unittest

import cli_harness
from cli_harness import EngineCase, dsandbox

BUILD = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
MUTANT = os.path.join(BUILD, "tests/plugins/libdsandbox-mutant.so")
INNER = os.path.join(BUILD, f"backends/libdsandbox-{cli_harness.BACKEND}.so")
LOOK = "import os; print(os.getcwd(), os.listdir('/sandbox')); open('made', 'w').close(); print(os.stat('made').st_uid == os.getuid())"


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "only root can give a directory away")
class Volume(EngineCase):
    def run_with(self, mutation, *args):
        env = {"DSB_TEST_MUTATE": mutation, "DSB_TEST_CLAIM": "1", "DSB_TEST_INNER": INNER}
        return dsandbox("--plugin", MUTANT, "--host", cli_harness.ENDPOINT, "--base-dir", cli_harness.WORK.base, "--no-service",
                        "run", "--json", *args, "-c", LOOK, env={k: v for k, v in env.items() if v})

    def test_it_is_used_before_it_is_given(self):
        done = self.run_with("")
        self.assertEqual(done.status, 0, done)
        result = json.loads(done.stdout)
        self.assertEqual(result["stdout"], "/sandbox []\nTrue\n")
        self.assertEqual([file["path"] for file in result["files"]["created"]], ["made"])
        self.assertEqual(result["files"]["deleted"], [])

    def test_a_directory_of_somebody_else(self):
        done = self.run_with("owner")
        self.assertEqual(done.status, 126, done)
        result = json.loads(done.stdout)
        message = result["failure"]["message"]
        for words in ("volume: asked", "the code's user cannot", "userns-remap", " allow_unenforced=volume"):
            self.assertIn(words, message)
        self.assertEqual([c["verdict"] for c in result["policy"]["controls"] if c["name"] == "volume"], ["refused"])
        self.assertEqual(result["stdout"], "")

    def test_whoever_allows_it_has_it(self):
        done = self.run_with("owner", "--allow-unenforced=volume")
        result = json.loads(done.stdout)
        self.assertIn("PermissionError", result["stderr"] + str(result["error"]), done)
        self.assertEqual([c["verdict"] for c in result["policy"]["controls"] if c["name"] == "volume"], ["unenforced"])


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "only root has a directory where the image has a closed one")
class ClosedAbove(EngineCase):
    def test_a_base_directory_below_one_that_the_image_has_closed(self):
        """What conformance has put there cannot be found, whatever the error is called."""
        base = tempfile.mkdtemp(dir="/root")
        self.addCleanup(shutil.rmtree, base, ignore_errors=True)
        done = dsandbox("--backend", cli_harness.BACKEND, "--base-dir", base, "conformance", "--case=FS-02,FS-07")
        self.assertEqual(done.status, 0, done)
        self.assertIn("2 passed, 0 failed", done.stdout)


if __name__ == "__main__":
    cli_harness.main([Volume, ClosedAbove])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
gVisor as Docker's runtime takes a seccomp profile and ignores it, and a kernel of its own shows little of the rest. The
measurement inside must see both, name every control, and start no user code. Set-ups docker-api and docker-cli of the
rig, where runsc is installed. Environment and last line as in cli_harness.py.
"""
import shutil
import unittest

import cli_harness
from cli_harness import BACKEND, EngineCase, dsandbox

# What the profile forbids and gVisor's kernel does: a user namespace of one's own.
UNSHARE = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.unshare(0x10000000), ctypes.get_errno())"


@unittest.skipUnless(shutil.which("runsc"), "runsc is not installed: Docker has no gVisor runtime here")
class Gvisor(EngineCase):
    # Not in force, or no file of this kernel says so.
    MISSING = ("seccomp", "no_new_privs", "capabilities", "namespaces", "devices", "volume", "memory", "swap", "cpu", "pids")

    def gvisor(self, *args, allow=()):
        options = ["--allow-unenforced=" + ",".join(allow)] if allow else []
        return dsandbox("--backend", BACKEND, "run", "--no-service", "--json", "--base-dir", cli_harness.WORK.base,
                        "--runtime", "gvisor", *options, *args)

    def refused(self, result):
        return {c["name"]: c for c in result["policy"]["controls"] if c["verdict"] == "refused"}

    def test_refused_and_says_what(self):
        marker = "ran-all-the-same"
        done = self.gvisor("-c", f"print('{marker}'); open('/sandbox/{marker}', 'w')")
        result = self.assert_failure(done, "refused", "seccomp", "allow_unenforced", *self.MISSING, status=126)
        self.assertEqual(set(self.refused(result)), set(self.MISSING))
        self.assertEqual(self.refused(result)["seccomp"]["source"], "inside")
        self.assertEqual((result["stdout"], result["files"]["created"]), ("", []))
        self.assert_clean()

    def test_each_one_alone_is_enough(self):
        for name in self.MISSING:
            with self.subTest(name):
                done = self.gvisor("-c", "print('ran')", allow=[n for n in self.MISSING if n != name])
                result = self.assert_failure(done, "refused", name, status=126)
                self.assertEqual(list(self.refused(result)), [name])
                self.assertEqual(result["stdout"], "")

    def test_runs_when_exactly_these_are_allowed(self):
        done = self.gvisor("-c", "import numpy\nopen('made', 'w').write('x')\nprint(numpy.arange(3).sum())", allow=self.MISSING)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (0, "ok", "3\n"), done)
        self.assertEqual([f["path"] for f in result["files"]["created"]], ["made"])
        verdicts = {c["name"]: c["verdict"] for c in result["policy"]["controls"]}
        self.assertEqual({n for n in verdicts if verdicts[n] == "unenforced"}, set(self.MISSING))
        self.assertEqual({n for n in verdicts if verdicts[n] == "enforced"}, set(verdicts) - set(self.MISSING))
        self.assert_clean()

    def test_the_refusal_is_right(self):
        self.assertEqual(self.run_ok(UNSHARE)["stdout"], "-1 1\n", "runc: the profile forbids it")
        result = self.result(self.gvisor("-c", UNSHARE, allow=self.MISSING))
        self.assertEqual(result["stdout"], "0 0\n", "gVisor ignores the profile")


if __name__ == "__main__":
    cli_harness.main([Gvisor])

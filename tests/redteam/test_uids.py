#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Which kernel user a sandbox is: one of its own where root drives a rootful engine, kept by its directory.
Environment and last line as in tests/cli/cli_harness.py.
"""
import os
import shutil
import subprocess
import unittest

from common import OWN_UID, RedCase, dsb, kill_all, cli_harness, wait_until
from test_shared import PIPES

IDS = "import os; print(os.getuid(), os.getgid(), *os.getresuid(), *os.getgroups())"
# A large pipe of the victim's own: the kernel gives a user so many pages of them, then the smallest only.
LARGE = "import fcntl, os; print(fcntl.fcntl(os.pipe()[0], 1031, 1 << 20))"
FIRST, COUNT = 2113929216, 65536  # the default of the build option uid_range
FEW_FIRST, FEW_COUNT = 60578, 606  # in a container without these


def in_range(uid):
    return FIRST <= uid < FIRST + COUNT or FEW_FIRST <= uid < FEW_FIRST + FEW_COUNT


def asked(answer):
    return {row["name"]: row for row in answer["policy"]["controls"]}["user"]


class EverySetUp(RedCase):
    def test_result_says_which(self):
        one, other = self.run_ok(IDS, "--timeout", "30s"), self.run_(IDS)  # that of the session, as it is by default
        for result in (one, other):
            uid = result["stdout"].split()[0]
            self.assertEqual(set(result["stdout"].split()), {uid}, "one user and group, no others")
            self.assertEqual([asked(result)[key] for key in ("asked", "measured", "source", "verdict")],
                             [f"{uid}:{uid}", f"{uid}:{uid}", "inside", "enforced"])
        self.assertEqual(one["policy"]["sha256"], other["policy"]["sha256"], "the user that is found is no part of the policy")

    def test_one_that_is_named_holds(self):
        result = self.run_ok(IDS, "--user", "4321:4322")
        self.assertEqual(result["stdout"].split()[:2], ["4321", "4322"])

    def test_programs_that_ask_who_they_are(self):
        self.assertEqual(self.run_ok("""
import getpass, os, pathlib, tempfile
print(getpass.getuser(), os.environ['USER'], os.environ['LOGNAME'], os.path.expanduser('~'), pathlib.Path.home(), tempfile.gettempdir())
import matplotlib, joblib
print(os.path.isdir(matplotlib.get_cachedir()), joblib.Memory('/tmp/cache', verbose=0).cache(len)('abc'))
""")["stdout"], "sandbox sandbox sandbox /tmp /tmp /tmp\nTrue 3\n")


@unittest.skipUnless(OWN_UID, "all sandboxes of this engine are one kernel user (SECURITY.md)")
class OwnUsers(RedCase):
    def owner(self, name):
        return os.stat(os.path.join(cli_harness.WORK.base, name)).st_uid

    def test_all_that_live_differ(self):
        self.run_("x = 1")

        def look(said):
            uids = [int(said[0]), self.owner(self.s), int(self.run_ok(IDS)["stdout"].split()[0])]
            self.assertEqual(len(set(uids)), 3, uids)
            self.assertTrue(all(in_range(uid) for uid in uids), uids)
        self.beside("import os; print(os.getuid())", look)

    def test_two_base_directories_differ(self):
        other = os.path.join(cli_harness.WORK.path, "other-base")
        os.mkdir(other, 0o700)
        self.addCleanup(shutil.rmtree, other, ignore_errors=True)
        self.run_("x = 1")
        options = [other if word == cli_harness.WORK.base else word for word in self.settings()]
        self.assertEqual(dsb("run", "--session", self.s + "-o", *options, "-c", "x = 1").status, 0)
        there = os.stat(os.path.join(other, self.s + "-o")).st_uid
        self.assertNotEqual(there, self.owner(self.s))
        self.text("session", "rm", self.s + "-o")

    def test_directory_keeps_its_own(self):
        """When the session ends, comes back, is killed with its service, and gets files from outside."""
        uid = int(self.run_(IDS + "\nopen('mine', 'w').write('1')")["stdout"].split()[0])
        self.assertEqual(self.owner(self.s), uid)
        self.assertEqual(asked(self.json("session", "show", self.s))["asked"], f"{uid}:{uid}")
        self.text("session", "rm", self.s)
        self.assertEqual(int(self.run_(IDS)["stdout"].split()[0]), uid)
        kill_all()
        self.assertEqual(int(self.run_(IDS)["stdout"].split()[0]), uid)
        file = cli_harness.WORK.file("from root")
        self.text("cp", file, f"{self.s}:given")
        self.assertEqual(self.run_("open('given', 'a').write('!'); print(open('given').read(), open('mine').read())")["stdout"],
                         "from root! 1\n")
        self.assertEqual(os.stat(os.path.join(cli_harness.WORK.base, self.s, "given")).st_uid, uid)

    def test_directory_that_root_laid_ready(self):
        place = os.path.join(cli_harness.WORK.base, self.s)
        os.mkdir(place)
        with open(os.path.join(place, "data"), "w") as file:
            file.write("ready")
        result = self.run_(IDS + "\nprint(open('data').read()); open('new', 'w').close()")
        self.assertTrue(in_range(self.owner(self.s)))
        self.assertEqual(result["stdout"].split()[0], str(self.owner(self.s)))
        self.assertIn("ready", result["stdout"])

    def test_copied_directory_waits_for_the_other(self):
        """Two directories with one owner: their sandboxes do not live at the same time."""
        self.run_("x = 1")
        uid = self.owner(self.s)
        copy = os.path.join(cli_harness.WORK.base, self.s + "-copy")
        os.mkdir(copy, 0o700)
        os.chown(copy, uid, uid)
        done = dsb("run", "--json", "--no-service", "--session", self.s + "-copy", *self.settings(), "-c", "1")
        self.assert_failure(done, "busy", f"uid {uid}", "another sandbox")
        self.text("session", "rm", self.s)
        done = dsb("run", "--json", "--no-service", "--session", self.s + "-copy", *self.settings(), "-c", IDS)
        self.assertEqual(self.result(done)["stdout"].split()[0], str(uid), done)

    def test_given_back(self):
        def claimed(uid):
            return os.path.exists(f"/run/dsandbox/uids/{uid}")
        uid = int(self.run_ok(IDS)["stdout"].split()[0])
        self.assertFalse(claimed(uid), "after a one-shot run")
        uid = int(self.run_(IDS)["stdout"].split()[0])
        self.text("session", "rm", self.s)
        self.assertTrue(claimed(uid), "the directory is there")
        self.run_("1")
        self.text("session", "rm", "--files", self.s)
        process = cli_harness.start(*self.options(), "-c", IDS + "\nprint(flush=True)\nimport time; time.sleep(100)", stdin=subprocess.DEVNULL)
        killed = int(process.stdout.readline().split()[0])
        process.kill()
        process.communicate()
        self.assertTrue(claimed(killed), "of a program that was killed")

        def collected():
            dsb("gc", "--backend", cli_harness.BACKEND, "--base-dir", cli_harness.WORK.base)
            return not claimed(killed) and not claimed(uid)
        self.assertTrue(wait_until(collected, 60))

    def test_what_the_kernel_counts_for_each_user(self):
        self.assert_others_work(PIPES, victim=LARGE, says=f"{1 << 20}\n")


if __name__ == "__main__":
    cli_harness.main([EverySetUp, OwnUsers])

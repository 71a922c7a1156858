#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A base directory on a FUSE file system, as those of sshfs and encfs are: whoever has not mounted it, the engine among them, is
let in with allow_other only. Environment and last line as in tests/cli/cli_harness.py, and DSB_TEST_RIG as in
tests/edges/small_store.py; bindfs.
"""
import os
import pwd
import subprocess
import tempfile
import unittest

import cli_harness
from cli_harness import BACKEND, WORK, wait_until
from session_harness import command, dsb
from small_store import StoreCase

PROGRAM = cli_harness.PROGRAM
CODE = "open('made', 'w').write('x')\nprint(6 * 7)"
REMEDY = "; it is on a FUSE file system, which only the user who mounted it can look into: mount it with allow_other, or choose another --base-dir\n"
USER = pwd.getpwnam("daemon").pw_uid  # one who has a name and is not root


def become(uid):
    """This user, with the engine's socket for its group."""
    group = os.stat(cli_harness.ENDPOINT.removeprefix("unix://")).st_gid
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--groups", str(group)] if uid else []


@unittest.skipUnless(os.path.exists("/dev/fuse"), "this machine has no FUSE")
class Fuse(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.chmod(cls.state, 0o755)
        # As udev makes it.
        device, node = os.stat("/dev/fuse").st_rdev, os.path.join(cls.state, "fuse")
        cls.space.run("mknod", "-m", "0666", node, "c", str(os.major(device)), str(os.minor(device)))
        cls.space.run("mount", "--bind", node, "/dev/fuse")

    def mount(self, uid, *options):
        """By this user. A base directory in it; `self.source` is what is behind it."""
        self.home = tempfile.mkdtemp(dir=self.state)
        self.source, place = os.path.join(self.home, "source"), os.path.join(self.home, "place")
        for path in (self.home, self.source, place):
            os.makedirs(path, 0o700, exist_ok=True)
            os.chown(path, uid, uid)
        self.space.run(*become(uid), "bindfs", *options, self.source, place)
        self.addCleanup(self.space.run, "umount", "-l", place)
        return os.path.join(place, "base")

    def dsandbox(self, base, *args, uid=0):
        home = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"), self.home)

        def start(*args, env=None, **how):
            argv, env = command(args, {**self.alone(), **home})
            return subprocess.Popen(self.space.command(*become(uid), PROGRAM, *argv[1:]), env=env, cwd="/", stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return cli_harness.dsandbox("--backend", BACKEND, "--base-dir", base, *args, start=start)

    def behind(self):
        base = os.path.join(self.source, "base")
        files = [name for _, _, files in os.walk(self.source) for name in files]
        return files + [name for name in (os.listdir(base) if os.path.exists(base) else []) if name != ".locks"]

    def nothing_behind(self):
        """What was removed while it was open has another name until the server has heard of its close."""
        self.assertTrue(wait_until(lambda: not self.behind(), 10), self.behind())
        self.assertEqual(cli_harness.containers(), [])

    def test_everybody_is_let_in(self):
        base = self.mount(0, "-o", "allow_other")
        done = self.dsandbox(base, "run", "--no-service", "-c", CODE)
        self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
        self.nothing_behind()
        done = dsb("run", "--session", self.s, "--backend", BACKEND, "--base-dir", base, "-c", CODE)
        self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
        done = dsb("cp", WORK.file("new", "new"), f"{self.s}:made")
        self.assertEqual(done.status, 0, done)
        self.assertEqual(dsb("exec", self.s, "-c", "print(open('made').read())").stdout, "new\n")
        self.assertEqual(dsb("session", "rm", "--files", self.s).status, 0)
        self.nothing_behind()

    def test_the_codes_user_is_not(self):
        """Nor anybody else but root, whose engine it is."""
        base = self.mount(0, "--no-allow-other")
        done = self.dsandbox(base, "run", "--no-service", "-c", CODE)
        self.assertEqual((done.status, done.stdout), (126, ""), done)
        self.assertIn(REMEDY, done.stderr)
        self.nothing_behind()

    def test_the_engine_is_not(self):
        base = self.mount(USER, "--no-allow-other")
        done = self.dsandbox(base, "run", "--no-service", "-c", CODE, uid=USER)
        self.assertEqual((done.status, done.stdout), (125, ""), done)
        self.assertRegex(done.stderr, f"{base}/.*: permission denied .*{REMEDY}$")
        self.nothing_behind()

    def test_root_is_not(self):
        base = self.mount(USER, "--no-allow-other")
        for verb in (("run", "--no-service", "-c", CODE), ("doctor",)):
            done = self.dsandbox(base, *verb)
            self.assertEqual(done.status, 125, done)
            self.assertIn(f"{base}: Permission denied{REMEDY}", done.stdout + done.stderr)
        self.nothing_behind()

    def test_what_cannot_be_given_away(self):
        """As with sshfs, where all files are one user's."""
        base = self.mount(0, "-o", "allow_other", "--chown-deny")
        done = self.dsandbox(base, "run", "--no-service", "-c", CODE)
        self.assertEqual((done.status, done.stdout), (125, ""), done)
        self.assertRegex(done.stderr, r"cannot give the sandbox user the session directory \(choose another --base-dir\) .*: Operation not permitted\n$")
        self.nothing_behind()


if __name__ == "__main__":
    cli_harness.main([Fuse])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Files that are replaced under a running service: it begins nothing with them, and leaves its sessions to the next one. Only
the tests see the replaced ones, in a mount namespace of their own. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import signal
import subprocess
import unittest

import cli_harness
from cli_harness import BACKEND, wait_until
from session_harness import SessionCase, command, end_service, is_gone, service_pid

BUILD = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
# What belongs together: a backend, a file of the guest, the library, the program of a session.
FILES = (f"backends/libdsandbox-{BACKEND}.so", "guest/payload/kernel.py", "core/libdsandbox.so", "service/dsandbox-session")
WORDS = "the files of this installation changed since the service started"


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "only root has mount namespaces that the engine does not notice")
class Replaced(SessionCase):
    def setUp(self):
        super().setUp()
        end_service()
        self.copy = cli_harness.WORK.dir(f"copy-{self.s[:30]}")
        rooms = [os.path.dirname(file) for file in FILES]
        for room in rooms:
            shutil.copytree(os.path.join(BUILD, room), os.path.join(self.copy, room), symlinks=True, ignore=shutil.ignore_patterns("*.p", "*.a"))
        self.place = subprocess.Popen(["unshare", "-m", "sh", "-euc", 'for room; do mount --bind "$copy/$room" "$build/$room"; done\n'
                                       "echo on; exec sleep 100000", "sh", *rooms], env={**os.environ, "copy": self.copy, "build": BUILD},
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(self.place.stdout.readline(), b"on\n")
        self.addCleanup(self.place.communicate)
        self.addCleanup(self.place.kill)
        self.addCleanup(end_service)

    def popen(self, *args):
        argv, env = command(args)
        return subprocess.Popen(["nsenter", "-t", str(self.place.pid), "-m", *argv], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def dsb(self, *args, status=0):
        process = self.popen(*args)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, status, err)
        return out + err

    def replace(self, file=FILES[0]):
        """As a package manager does it; what the file says is the same."""
        path = os.path.realpath(os.path.join(self.copy, file))
        shutil.copy(path, path + ".new")
        os.rename(path + ".new", path)

    def test_the_next_service_begins(self):
        where = self.settings()
        self.dsb("session", "new", self.s, *where)
        self.dsb("exec", self.s, "-c", "x = 41")
        first = service_pid()
        verbs = (["session", "new", "other", *where], ["run", *where, "-c", "1"], ["run", "--session", "third", *where, "-c", "1"],
                 ["session", "new", "fourth", *where])
        for file, args in zip(FILES, verbs):
            with self.subTest(file, args=args):
                before = service_pid()
                self.dsb("exec", self.s, "-c", "x += 1")
                self.replace(file)
                self.dsb("exec", self.s, "-c", "x += 1")
                self.assertEqual(service_pid(), before, "nothing is loaded for a sandbox that is there")
                self.assertNotIn("replaced", self.dsb(*args))
                if args[0] == "run" and "--session" not in args:
                    self.dsb("session", "new", "second", *where)
                self.assertTrue(wait_until(lambda before=before: is_gone(before), 20))
        self.assertNotEqual(service_pid(), first)
        self.assertEqual(self.dsb("exec", self.s, "-c", "print(x)"), "49\n")

    def test_a_busy_one_refuses(self):
        where = self.settings()
        self.dsb("session", "new", self.s, *where)
        busy = self.popen("exec", self.s, "--timeout", "1h", "-c", "print('on', flush=True); import time; time.sleep(100000)")
        self.assertEqual(busy.stdout.readline(), "on\n")
        pid = service_pid()
        self.replace()
        said = self.dsb("session", "new", "other", *where, status=125)
        self.assertIn(WORDS, said)
        self.assertIn(f"kill {pid}", said)
        self.assertEqual(self.dsb("run", *where, "-c", "print(1)"), "1\n", "a run needs no service")
        self.assertEqual(service_pid(), pid)
        busy.send_signal(signal.SIGINT)
        self.assertEqual(busy.wait(60), 130, busy.communicate())
        self.dsb("session", "new", "other", *where)
        self.assertNotEqual(service_pid(), pid)

    def test_a_sandbox_that_is_made_again(self):
        """By a process that belongs to the new files, also where the old one has the session."""
        where = self.settings()
        self.dsb("session", "new", self.s, *where)
        (name,) = cli_harness.containers()
        self.replace()
        self.dsb("session", "new", "other", *where)
        pid = cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["State"]["Pid"]
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: json.loads(self.dsb("session", "show", self.s, "--json"))["state"] == "ended", 20))
        self.assertIn("lost", self.dsb("exec", self.s, "-c", "print(1)"))

    def test_gc_goes_on_without_a_backend(self):
        """One plugin that ends the program keeps no other engine from being looked through."""
        bad = os.path.join(BUILD, "tests/plugins/libdsandbox-bad-exit.so")
        process = self.popen("run", "--no-service", *self.settings(), "-c", "print('on', flush=True); import time; time.sleep(100000)")
        self.assertEqual(process.stdout.readline(), "on\n")
        (name,) = cli_harness.containers()
        os.kill(cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["State"]["Pid"], signal.SIGSTOP)
        process.kill()
        process.communicate()
        shutil.copy(bad, os.path.join(self.copy, "backends/libdsandbox-docker-api.so"))
        said = self.dsb("gc", "--base-dir", cli_harness.WORK.base, status=125)
        self.assertRegex(said, "docker-api.* ended in load.*removed with .*" +
                         ("podman" if BACKEND == "podman" else "docker-cli"))
        self.assertEqual(cli_harness.containers(), [])


if __name__ == "__main__":
    cli_harness.main([Replaced])

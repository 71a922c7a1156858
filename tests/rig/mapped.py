#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Rootless Docker, which gives the code's user another id on the host than the one who invokes it: /sandbox cannot be used, and
that is said, with what to do. For root in a guest of vm.sh.
"""
import json
import os
import unittest

from prerequisites import PATIENT, POLICY, RUNTIME, begin_all, end_all, root, write
from units import systemctl, wait_for

HOST = f"unix://{RUNTIME}/docker.sock"
BASE = "/tmp/mapped"
REMEDY = "use rootless Podman, or an engine that does not"


def docker(*argv):
    return root("as-user", "docker", "-H", HOST, *argv, check=False)


def dsandbox(*argv):
    return root("as-user", *PATIENT.split(), "-b", "docker-api", "--host", HOST, "--base-dir", BASE, *argv, check=False)


class RootlessDocker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        end_all()
        begin_all()
        write(POLICY, '{"start_timeout": "600s"}')
        root("as-user", "systemd-run", "--user", "-q", "--unit", "docker", "-p", "Delegate=yes", "rootless-docker")
        wait_for(lambda: docker("images", "-q").stdout)

    @classmethod
    def tearDownClass(cls):
        systemctl("stop", "docker")
        end_all()
        begin_all()

    def nothing_left(self):
        wait_for(lambda: docker("ps", "-aq").stdout == "")
        self.assertEqual([name for name in os.listdir(BASE) if name != ".locks"], [])

    def test_it_is_said_before(self):
        done = dsandbox("doctor")
        self.assertEqual(done.returncode, 125, done)
        self.assertIn(f"{REMEDY}; the way round is --allow-unenforced=volume", done.stdout)
        self.assertEqual(dsandbox("--allow-unenforced=volume", "doctor").returncode, 0)

    def test_it_is_refused(self):
        done = dsandbox("run", "--policy", POLICY, "-c", "print('ran')")
        self.assertEqual((done.returncode, done.stdout), (126, ""), done)
        for words in ("volume: asked", "the code's user cannot enter it", "rootless Docker", REMEDY, "--allow-unenforced=volume"):
            self.assertIn(words, done.stderr)
        self.nothing_left()

    def test_whoever_allows_it_has_it(self):
        """With all the rest in force."""
        done = dsandbox("run", "--json", "--policy", POLICY, "--allow-unenforced=volume", "-c", "import os; print(os.getcwd())")
        result = json.loads(done.stdout)
        self.assertEqual((done.returncode, result["status"], result["stdout"]), (0, "ok", "/\n"), result)
        self.assertEqual({c["name"]: c["verdict"] for c in result["policy"]["controls"] if c["verdict"] != "enforced"}, {"volume": "unenforced"})
        self.nothing_left()


CASES = [RootlessDocker]

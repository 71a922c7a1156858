#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What happens to the engine itself, on a real one: killed, stopped, out of room, its socket gone. It kills engines, so it
needs ones of its own. Environment and last line as in test_cli.py; also

  DSB_TEST_RIG   tests/rig/rig.sh, whose engine (DSB_RIG_DIR and so on as it was started) is the one in DSB_TEST_ENDPOINT

Root runs it: what an engine left is looked for in its storage, in all processes, mounts and control groups.
"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import test_cli
import test_session
from test_cli import AS, BACKEND, ENDPOINT, SETUP, EngineCase, dsandbox, wait_until

RIG = os.environ.get("DSB_TEST_RIG", "")
ENGINE = {"docker-api": "docker", "docker-cli": "docker", "podman": "podman", "podman-rootless": "rootless"}.get(SETUP, "")
SOCKET = ENDPOINT[len("unix://"):]
PLACE = os.path.dirname(os.path.dirname(SOCKET))  # of the engines' sockets, process numbers and logs


def rig(*args, check=True):
    done = subprocess.run(["sh", RIG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"rig.sh {' '.join(args)}: {done.stdout.decode('utf-8', 'replace')}")


def restart():
    """The engine runs again, whatever was done to it."""
    rig("kill", ENGINE, "CONT", check=False)
    rig("start", ENGINE)


def storage():
    """Directories where the engine keeps containers and images, as it says."""
    if BACKEND == "podman":
        store = test_cli.engine_get("/v4.0.0/libpod/info")["store"]
        return [store["graphRoot"], store["runRoot"], store["volumePath"]]
    return [test_cli.engine_get("/info")["DockerRootDir"]]


def traces(identity):
    """Everything of the machine that carries this container's id."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "mountinfo", "cgroup"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    if identity.encode() in file.read():
                        found.append(f"process {pid}: {name}")
            except OSError:
                pass
    places = ["/sys/fs/cgroup", PLACE, *storage()]
    lines = subprocess.run(["find", *places, "-maxdepth", "6", "(", "-name", "diff", "-o", "-name", "merged", ")", "-prune", "-o", "-name",
                            f"*{identity}*", "-print"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
    return found + lines.decode("utf-8", "replace").splitlines()


def identity_of(name):
    return test_cli.engine_get(f"/containers/{name.lstrip('/')}/json")["Id"]


class FaultCase(EngineCase):
    def setUp(self):
        self.addCleanup(restart)

    def begin(self, session, seconds, *options, code="pass"):
        """A run that is in the middle of its code: the process and the container's id."""
        process = self.popen("--session", session, *options, "-c",
                             f"import time\nprint('up', flush=True)\nopen('/sandbox/up', 'w').write('kept')\ntime.sleep({seconds})\n{code}")
        marker = os.path.join(test_cli.WORK.base, session, "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 60))
        time.sleep(0.3)
        (name,) = test_cli.containers()
        return process, identity_of(name)

    def end(self, process, limit):
        begin = time.monotonic()
        out, err = process.communicate(timeout=60)
        seconds = time.monotonic() - begin
        done = test_cli.Done(["…"], process.returncode, out, err, seconds)
        self.assertLess(seconds, limit, done)
        return done

    def gc(self):
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", test_cli.WORK.base)
        self.assertEqual(done.status, 0, done)

    def assert_nothing_left(self, *identities):
        """After gc."""
        self.gc()
        self.assert_clean(20)
        for identity in identities:
            self.assertTrue(wait_until(lambda: not traces(identity), 20), traces(identity))


class Killed(FaultCase):
    """CC-03"""

    def test_in_the_middle_of_a_run(self):
        process, identity = self.begin("killed", 60)
        self.assertNotEqual(traces(identity), [], "the search finds what is there")
        rig("kill", ENGINE)
        done = self.end(process, 5)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (125, "lost", "up\n"), done)
        self.assertRegex(result["failure"]["message"], "^the container ended .*engine stopped.*dsandbox gc")
        # nothing can be started or cleaned now, and it is said how to go on
        self.assert_failure(self.dsb("-c", "pass", limit=30), "unavailable", "start it")
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", test_cli.WORK.base, limit=30)
        self.assertEqual(done.status, 125, done)
        rig("start", ENGINE)
        self.assertEqual(self.run_ok("print(open('/sandbox/up').read())", "--session", "killed")["stdout"], "kept\n")
        self.assert_nothing_left(identity)

    def test_while_it_starts(self):
        """At many moments of the start: an honest failure or the answer, and nothing is left."""
        honest = 0
        for moment in range(8):
            process = self.popen("-c", "print('whole')")
            time.sleep(0.04 * moment)
            rig("kill", ENGINE)
            done = self.end(process, 20)
            result = self.result(done)
            if done.status == 0:
                self.assertEqual((result["status"], result["stdout"]), ("ok", "whole\n"), done)
            else:
                self.assertEqual(done.status, 125, done)
                self.assertIn(result["failure"]["code"], ("unavailable", "lost", "failed", "protocol"), done)
                honest += 1
            rig("start", ENGINE)
        self.assertGreater(honest, 0)
        self.assert_nothing_left()


class KilledSession(test_session.SessionCase, FaultCase):
    """CC-03, a session of the service."""

    def setUp(self):
        test_session.SessionCase.setUp(self)
        FaultCase.setUp(self)

    def begin_execution(self):
        self.run_("x = 1\nopen('/sandbox/f', 'w').write('file')")
        (name,) = test_cli.containers()
        process = test_session.popen("exec", self.s, "--json", "-c", "import time\nprint('up', flush=True)\nopen('/sandbox/up', 'w').close()\ntime.sleep(60)")
        marker = os.path.join(test_cli.WORK.base, self.s, "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 30))
        time.sleep(0.3)
        return process, identity_of(name)

    def finish(self, *identities):
        self.text("session", "rm", self.s, "--files")
        test_session.end_service()
        self.assert_nothing_left(*identities)

    def test_while_code_runs(self):
        process, identity = self.begin_execution()
        rig("kill", ENGINE)
        done = self.end(process, 5)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["state"]["outcome"]), (125, "lost", "lost"), done)
        self.assertRegex(result["failure"]["message"], "engine stopped.*dsandbox gc")
        # the engine is away: the session cannot come back, and is not thrown away either
        again = test_session.dsb("exec", self.s, "--json", "-c", "1", limit=30)
        self.assertEqual(again.status, 125, again)
        self.assertRegex(self.result(again)["failure"]["message"], "start it", again)
        rig("start", ENGINE)
        result = self.run_("print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual(result["stdout"], "file False\n")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertRegex(result["state"]["reason"], "engine stopped.*files were kept")
        self.assertEqual(self.run_("x = 2")["state"]["outcome"], "kept", "said once")
        self.finish(identity)

    def test_while_nothing_runs(self):
        self.run_("x = 1\nopen('/sandbox/f', 'w').write('file')")
        (name,) = test_cli.containers()
        identity = identity_of(name)
        rig("kill", ENGINE)
        rig("start", ENGINE)
        result = self.run_("print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual((result["stdout"], result["state"]["outcome"]), ("file False\n", "lost"))
        self.assertRegex(result["state"]["reason"], "files were kept")
        self.finish(identity)


class Storage(FaultCase):
    DATABASES = (".db", ".sql", ".lock", ".log")  # one for all containers; they keep their pages

    def files(self):
        """What the engine stores, with sizes; of layers only that they are there."""
        found = {}
        for place in storage():
            for path, directories, names in os.walk(place):
                directories[:] = [d for d in directories if d not in ("diff", "merged")]
                found.update((os.path.join(path, d), 0) for d in directories)
                found.update((os.path.join(path, n), self.size(os.path.join(path, n))) for n in names if not n.endswith(self.DATABASES))
        return found

    @staticmethod
    def size(path):
        try:
            return os.lstat(path).st_size
        except OSError:
            return None

    def difference(self, before):
        after = self.files()
        return {p: (before.get(p), after.get(p)) for p in before.keys() | after.keys() if before.get(p) != after.get(p)}

    def test_dk09_the_same_before_and_after(self):
        self.run_ok("pass")
        self.gc()
        self.assert_clean(20)
        before = self.files()
        self.assertGreater(len(before), 20)
        process, identity = self.begin("storage", 30)
        self.assertTrue([p for p in self.difference(before) if identity in p], "the search finds what is there")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        for _ in range(5):
            self.run_ok("open('/tmp/f', 'wb').write(bytes(1 << 20)); print('x' * 100000)")
        self.assertEqual(self.dsb("--timeout", "1s", "-c", "while True: pass").status, 124)
        process = self.popen("--timeout", "1s", "-c", "import time; time.sleep(30)")
        time.sleep(1)
        process.kill()
        process.communicate(timeout=30)
        self.assertTrue(wait_until(lambda: not test_cli.containers(), 20))
        self.gc()
        self.assertTrue(wait_until(lambda: not self.difference(before), 20), self.difference(before))


if __name__ == "__main__":
    if not (SETUP and RIG) or os.getuid() != 0:
        sys.exit("test_engine_faults.py kills engines: it needs DSB_TEST_RIG with a rig of its own, a set-up, and root")
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    test_cli.main([Killed, KilledSession, Storage])

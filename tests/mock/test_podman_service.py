#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The `podman system service` that the backend starts, with a program of that name that only pretends. DSB_TEST_PROGRAM is the
program. Arguments are those of unittest.
"""
import contextlib
import fcntl
import json
import os
import signal
import time
import unittest

from test_program import SLACK, Case, runner, scaled


def has_open(path, pid):
    """Whether the process, or one that it started, has this file open."""
    with contextlib.suppress(OSError):
        if path in [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]:
            return True
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return any(has_open(path, child) for child in file.read().split())
    return False


@unittest.skipIf(os.geteuid() == 0 and os.path.exists("/run/podman/podman.sock"), "a Podman service is running here")
class PodmanService(Case):
    def setUp(self):
        super().setUp()
        self.env = {"PATH": self.dir + ":/usr/bin:/bin", "DOCKER_HOST": None, "CONTAINER_HOST": None}

    def program(self, script):
        path = os.path.join(self.dir, "podman")
        with open(path, "w", encoding="ascii") as out:
            out.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)

    def wait_for(self, condition):
        until = time.monotonic() + scaled(30) * SLACK
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_another_environment(self):
        """One that a session started has none of the shell's proxies, and a build would not get out with it."""
        said = os.path.join(self.dir, "said")
        self.program(f'for socket; do :; done\necho "$socket" "$HTTPS_PROXY" "$REGISTRY_AUTH_FILE" >>{said}\nexit 1')
        for more in ({}, {"HTTPS_PROXY": "http://proxy:1"}, {"REGISTRY_AUTH_FILE": "/auth"}, {}):
            self.failure(self.dsb(*self.run_args("podman"), env={**self.env, **more}), "unavailable")
        with open(said, encoding="ascii") as given:
            rows = [line.rstrip("\n").split(" ") for line in given]
        self.assertEqual([row[1:] for row in rows], [["", ""], ["http://proxy:1", ""], ["", "/auth"], ["", ""]])
        self.assertEqual(len({row[0] for row in rows}), 3, rows)
        self.assertEqual(rows[0], rows[3])

    def test_lock(self):
        """Somebody holds the lock of the service's start for ever."""
        began = os.path.join(self.dir, "began")
        self.program(f"touch {began}; exec sleep 600")
        runtime = os.path.join(self.dir, "run", "dsandbox")
        os.mkdir(runtime, 0o700)
        lock_path = os.path.join(runtime, "podman.lock")
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        begin = time.monotonic()
        done = self.dsb(*self.run_args("podman"), "--engine-timeout", "1", env=self.env)
        self.failure(done, "engine_timeout", "podman system service")
        self.assertLess(time.monotonic() - begin, scaled(3) * SLACK)
        for locked in (True, False):
            with self.subTest(locked=locked):
                if not locked:
                    fcntl.flock(lock, fcntl.LOCK_UN)
                process = self.start(*self.run_args("podman"), env=self.env)
                # It waits for the lock, or for the program that it started.
                self.wait_for(lambda: has_open(os.path.realpath(lock_path), process.pid) if locked else os.path.exists(began))
                process.send_signal(signal.SIGINT)
                begin = time.monotonic()
                done = self.end(process)
                self.assertLess(time.monotonic() - begin, scaled(2) * SLACK)
                self.assertEqual(json.loads(done[1])["status"], "cancelled", done)


if __name__ == "__main__":
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner.main()

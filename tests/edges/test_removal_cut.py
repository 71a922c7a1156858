#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The engine is killed while it removes a container: what is left is removed by the next run. Environment and last line as in
tests/cli/cli_harness.py, and DSB_TEST_RIG: tests/rig/rig.sh, whose engine it is.
"""
import os
import signal
import threading
import time
import unittest

import cli_harness
from cli_harness import WORK, wait_until
from engine_proxy import EngineProxy
from session_harness import SessionCase, dsb, end_service
from small_store import ENGINE, RIG, checked

ROOTLESS = "the engine's monitor and the user's name space are left by the engine that is killed"
MOMENTS = (None, 0.03)


class Killer(EngineProxy):
    """Kills the engine when it is asked to remove a container, or is about to by itself, once."""
    moment = at = armed = None

    def __init__(self):
        self.lock, self.killed = threading.Lock(), threading.Event()
        super().__init__()

    def arm(self, moment, at):
        self.moment, self.at = moment, at
        self.killed.clear()
        self.armed = True

    def kill(self):
        checked("sh", RIG, "kill", ENGINE)
        self.killed.set()

    def on_data(self, data, to_engine, source, seen):
        with self.lock:
            if not (self.armed and self.at in data):
                return True
            self.armed = False
        if self.moment is None:
            self.kill()
        else:
            threading.Timer(self.moment, self.kill).start()
        return True


@unittest.skipUnless(RIG and ENGINE and os.getuid() == 0, "needs root, and an engine of tests/rig")
class Cut(SessionCase):
    def setUp(self):
        super().setUp()
        end_service()
        self.addCleanup(dsb, "gc", *self.where())
        self.engine = Killer()
        self.addCleanup(self.engine.close)
        self.addCleanup(checked, "sh", RIG, "start", ENGINE)
        self.addCleanup(end_service)

    def stop_first_process(self, marker):
        """It would leave by itself, and nobody would have to remove the container."""
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 60))
        (name,) = cli_harness.containers()
        os.kill(cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["State"]["Pid"], signal.SIGSTOP)

    def cut(self, moment, at, remove):
        self.engine.arm(moment, at)
        done = remove()
        self.assertTrue(self.engine.killed.wait(cli_harness.scaled(60)), done)
        checked("sh", RIG, "start", ENGINE)
        after = dsb("run", "--no-service", *self.settings(), "-c", "print(6 * 7)", env=self.engine.env())
        self.assertEqual((after.status, after.stdout), (0, "42\n"), after)
        gone = wait_until(lambda: not cli_harness.containers(), 20)
        self.assertTrue(gone, f"left behind: {cli_harness.containers()} after {done}")
        return done

    def test_session_rm(self):
        for moment in MOMENTS:
            with self.subTest(moment=moment):
                done = dsb("session", "new", self.s, *self.settings(), env=self.engine.env())
                self.assertEqual(done.status, 0, done)
                marker = os.path.join(WORK.base, self.s, "up")
                self.assertEqual(dsb("exec", self.s, "-c", "open('up', 'w').close()").status, 0)
                self.stop_first_process(marker)
                done = self.cut(moment, b"DELETE /", lambda: dsb("session", "rm", "--files", self.s, limit=120))
                left = "could not be removed" in done.stderr  # what the engine had not done before its end
                self.assertTrue(left or moment is not None, done)
                self.assertEqual((done.status, done.stdout), (125, "") if left else (0, self.s + "\n"), done)

    def test_end_of_a_run(self):
        for moment in MOMENTS:
            with self.subTest(moment=moment):
                # the answer, not the output, which may come before it
                done = self.cut(moment, b'"stdout_bytes":6,', lambda: dsb("run", "--no-service", *self.settings(), "-c", "print('whole')",
                                                                        env=self.engine.env(), limit=120))
                self.assertEqual((done.status, done.stdout), (0, "whole\n"), done)


if __name__ == "__main__":
    cli_harness.main([Cut])

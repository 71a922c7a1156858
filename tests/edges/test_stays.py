#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A service that a manager of services keeps, `serve --stay`, beside those that programs start. Environment and last line as in
tests/cli/cli_harness.py.
"""
import os
import shutil
import signal
import subprocess
import time
import unittest

import own_service
import cli_harness

import harness
from harness import FOREVER, Failure, Service, is_gone, wait_for

PLUGINS = os.path.join(os.path.dirname(os.path.dirname(harness.PROGRAM)), "backends")

setUpModule, tearDownModule = own_service.begin, own_service.end


class Stays(cli_harness.EngineCase):
    def setUp(self):
        self.kept = []
        self.service = Service(start=False)
        self.service.log = open(os.path.join(self.service.state, "log"), "ab")
        self.api = self.service.api
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        self.service.wait_up()
        for session in self.api.get("/v1/sessions")["sessions"]:
            self.api.delete(f"/v1/sessions/{session['id']}?files=1")
        for process in self.kept:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(harness.HARD_LIMIT)
        self.api.close()
        if os.path.exists(self.service.socket):
            os.kill(self.service.pid, signal.SIGTERM)
            wait_for(lambda: not os.path.exists(self.service.socket))
        self.api.close()
        self.service.log.close()
        wait_for(lambda: not cli_harness.containers())

    def keep(self, *options, program=(harness.PROGRAM, "serve")):
        process = subprocess.Popen(self.service.command(*program, *options), stdin=subprocess.DEVNULL, stdout=self.service.log,
                                   stderr=self.service.log, cwd="/")
        self.kept.append(process)
        return process

    def serves(self, process):
        """The kept one has come to its turn."""
        def it_does():
            try:
                return self.api.get("/v1/version")["pid"] == process.pid
            except (OSError, Failure, harness.http.client.HTTPException):
                self.api.close()
                return False
        wait_for(it_does)

    def by_a_program(self):
        status, _, err = self.service.tool("start")
        self.assertEqual(status, 0, err)
        return self.service.pid

    def waits(self):
        wait_for(lambda: "waiting for the end of another service" in self.service.said())

    def make(self, code="x = 41"):
        """Who is interrupted on a busy machine keeps his variables."""
        create = {**self.service.where, "set": {"grace": "60s", "timeout": "10m"}}
        self.assertEqual(self.api.run("a", code, create=create)["status"], "ok")

    def value(self):
        result = self.api.run("a", "x")
        self.assertEqual(result["state"]["outcome"], "kept", result)
        return result["results"][-1]["text/plain"]

    def test_it_comes_after_one_that_a_program_started(self):
        pid = self.by_a_program()
        self.make()
        kept = self.keep("--stay")
        self.serves(kept)
        wait_for(lambda: is_gone(pid))
        self.assertEqual(self.value(), "41")

    def test_what_runs_there_is_not_disturbed(self):
        pid = self.by_a_program()
        self.make()
        stream = self.api.stream("/v1/sessions/a/execute", {"code": "x = 42; print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        kept = self.keep("--stay")
        self.waits()
        time.sleep(3)  # it asks once a second
        self.assertEqual(self.service.pid, pid)
        self.api.post("/v1/sessions/a/interrupt")
        self.assertEqual(stream.all().result["status"], "cancelled")
        stream.close()
        self.serves(kept)
        self.assertEqual(self.value(), "42")

    def test_one_with_options_is_left_alone(self):
        """And the one that waits ends when it is told to."""
        other = self.keep("--max-sessions", "5")
        self.serves(other)
        kept = self.keep("--stay")
        self.waits()
        time.sleep(3)
        self.assertIsNone(other.poll())
        kept.send_signal(signal.SIGTERM)
        self.assertEqual(kept.wait(harness.HARD_LIMIT), 0, self.service.said())
        self.assertEqual(self.service.pid, other.pid)

    def test_it_does_not_leave_when_idle(self):
        kept = self.keep("--stay", "--idle", "1s")
        self.serves(kept)
        self.api.close()
        time.sleep(4)
        self.assertIsNone(kept.poll())

    @unittest.skipIf(os.getuid() != 0 or harness.AS, "only root has mount namespaces that the engine does not notice")
    def test_its_files_are_replaced(self):
        """It ends for the new one, with the status that says so, also when it has options; not while something runs."""
        plugins = harness.WORK.dir("plugins", 0o755)
        shutil.copytree(PLUGINS, plugins, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.p"))
        program = ("unshare", "-m", "sh", "-c", f'mount --bind {plugins} {PLUGINS} && exec "$@"', "sh", harness.PROGRAM, "serve")
        kept = self.keep("--stay", "--max-sessions", "5", program=program)
        self.serves(kept)
        self.make()
        stream = self.api.stream("/v1/sessions/a/execute", {"code": "x = 42; print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        path = os.path.join(plugins, next(name for name in os.listdir(plugins) if harness.BACKEND in name and name.endswith(".so")))
        shutil.copy(path, path + ".new")
        os.rename(path + ".new", path)
        with self.assertRaisesRegex(Failure, "try again when what runs has ended"):
            self.api.run("b", "1", create=self.service.where)
        self.api.post("/v1/sessions/a/interrupt")
        stream.all()
        stream.close()
        with self.assertRaisesRegex(Failure, "the service is ending; nothing was done"):
            self.api.run("b", "1", create=self.service.where)
        self.api.close()
        self.assertEqual(kept.wait(harness.HARD_LIMIT), 75, self.service.said())
        self.serves(self.keep("--stay", program=program))
        self.assertEqual(self.value(), "42")


if __name__ == "__main__":
    cli_harness.main([Stays])

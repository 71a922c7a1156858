#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A backend that crashes, aborts, exits, hangs or closes what is not its own, in each operation: its session alone suffers,
within the deadline and with a name, and nothing is left. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import re
import shutil
import signal
import sys
import unittest
import time

import cli_harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../service"))
import harness  # noqa: E402
from harness import Failure, children, wait_for  # noqa: E402
from speed import scaled, setting  # noqa: E402

ONCE = "the service is asked what it makes of a plugin around any backend"
BUILD = os.path.dirname(os.path.dirname(harness.PROGRAM))
FAULT = os.path.join(BUILD, "tests/plugins/libdsandbox-fault.so")
INNER = os.path.join(BUILD, "backends", harness.BACKEND, f"libdsandbox-{harness.BACKEND}.so")
# What is said of each way to fail.
WAYS = {"crash": "crashed in {}: signal 11", "abort": "crashed in {}: signal 6", "exit": "ended in {} with exit status",
        "hang": "did not answer in time in {}", "quiet": "did not answer in time in {}"}
DEADLINE = 40  # seconds, of a hang: the times below, and the service's patience
TIMES = {"engine_timeout": setting(2), "set": {"start_timeout": setting(2), "grace": "100ms"}}


def plugins_in(pid):
    """Files of backends that a process has loaded."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
        return set(re.findall(r"libdsandbox-[^/\n]*\.so", maps.read()))


class Plugins(cli_harness.EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        harness.WORK = harness.Work()
        harness.WORK.path = harness.WORK.dir("plugins", 0o755)
        harness.ALLOW[:] = cls.allow
        cls.fault = harness.WORK.file("", 0o644)
        cls.service = harness.Service(env={"DSB_TEST_INNER": INNER, "DSB_TEST_FAULT": cls.fault})
        cls.addClassCleanup(cls.service.stop)
        cls.api = cls.service.api

    def setUp(self):
        self.pid, self.where = self.service.pid, self.service.where
        self.bad = {**self.where, **TIMES, "plugin": FAULT}
        del self.bad["backend"]
        self.api.run("honest", "n = 1", create=self.where)
        self.addCleanup(self.nothing_left)

    def set_fault(self, text):
        with open(self.fault, "w", encoding="ascii") as file:
            file.write(text)

    def nothing_left(self):
        self.set_fault("")
        self.assertEqual(self.service.pid, self.pid, "the same service as before")
        result = self.api.run("honest", "n", create=self.where)
        self.assertEqual((result["status"], result["results"][0]["text/plain"], result["state"]["outcome"]), ("ok", "1", "kept"))
        for name in ("honest", "bad"):
            try:
                self.api.delete(f"/v1/sessions/{name}?files=1")
            except Failure as failure:
                self.assertEqual(failure.code, "not_found")
        wait_for(lambda: len(children(self.pid)) <= 1)  # one waits ready
        wait_for(lambda: not cli_harness.containers())  # by the service's own doing: nobody asks it to
        self.assertEqual(plugins_in(self.pid), set())
        sockets = os.path.join(self.service.run, "dsandbox/api.sessions")
        self.assertEqual(os.listdir(sockets), [])

    def check(self, words, phase, failure):
        self.assertEqual(failure["code"], "lost", failure)
        self.assertIn("the session's process " + words.format(phase), failure["message"])

    def test_create(self):
        for how, words in WAYS.items():
            with self.subTest(how):
                self.set_fault(f"create:1:{how}")
                begin = time.monotonic()
                with self.assertRaises(Failure) as caught:
                    self.api.post("/v1/sessions", {"id": "bad", **self.bad})
                self.assertLess(time.monotonic() - begin, scaled(DEADLINE))
                self.check(words, "create", {"code": caught.exception.code, "message": caught.exception.message})
                self.set_fault("")
                result = self.api.run("bad", "x = 1", create=self.bad)
                self.assertEqual(result["status"], "ok", result["failure"])
                self.api.delete("/v1/sessions/bad?files=1")

    def test_run(self):
        self.set_fault("create:1:crash")
        result = self.api.post("/v1/run", {"code": "1", **self.bad})
        self.assertEqual(result["status"], "lost")
        self.check(WAYS["crash"], "run", result["failure"])

    def test_execute(self):
        for how, words in list(WAYS.items())[:-1]:
            with self.subTest(how):
                result = self.api.run("bad", "x = 1; open('f', 'w').write('kept')", create=self.bad)
                self.assertEqual(result["status"], "ok", result["failure"])
                self.set_fault(f"read:1:{how}")
                begin = time.monotonic()
                stream = self.api.stream("/v1/sessions/bad/execute", {"code": "x", "timeout": "1s"})
                result = stream.all().result
                stream.close()
                self.assertLess(time.monotonic() - begin, scaled(DEADLINE + 60))  # a picture may take its time, and so may the start
                self.assertEqual(result["status"], "lost")
                self.check(words, "execute", result["failure"])
                self.set_fault("")
                session = self.api.get("/v1/sessions/bad")
                self.assertEqual((session["state"], session["container"]), ("ended", None))
                result = self.api.run("bad", "globals().get('x'), open('f').read()")
                self.assertEqual(result["results"][0]["text/plain"], "(None, 'kept')")
                self.assertEqual(result["state"]["outcome"], "lost")
                self.assertIn(words.format("execute"), result["state"]["reason"])
                self.assertIn("files were kept", result["state"]["reason"])
                self.api.delete("/v1/sessions/bad?files=1")

    def test_close(self):
        for how in ("crash", "exit", "hang"):
            with self.subTest(how):
                result = self.api.run("bad", "x = 1", create=self.bad)
                self.assertEqual(result["status"], "ok", result["failure"])
                self.set_fault(f"destroy:1:{how}")
                begin = time.monotonic()
                with self.assertRaises(harness.Failure) as caught:
                    self.api.delete("/v1/sessions/bad")
                self.assertLess(time.monotonic() - begin, scaled(DEADLINE))
                self.assertEqual((caught.exception.status, caught.exception.code), (500, "lost"))
                self.assertIn("session bad ended, but its container may still be there ('dsandbox gc' removes it)", str(caught.exception))
                self.set_fault("")
                result = self.api.run("bad", "'x' in globals()", create=self.bad)
                self.assertEqual(result["status"], "ok", result["failure"])
                self.assertEqual(result["results"][0]["text/plain"], "False")
                self.api.delete("/v1/sessions/bad?files=1")

    def test_cancel_of_a_hang(self):
        """A call that does not come back, of an execution that nobody wants any more."""
        self.set_fault("create:1:hang")
        body = {"code": "1", "create": {**self.bad, "engine_timeout": "300s"}}
        stream = self.api.stream("/v1/sessions/bad/execute", body)
        wait_for(lambda: not harness.content(self.fault))  # it hangs
        begin = time.monotonic()
        self.assertTrue(self.api.post("/v1/sessions/bad/interrupt")["interrupted"])
        result = stream.all().result
        stream.close()
        self.assertLess(time.monotonic() - begin, scaled(DEADLINE))
        self.check(WAYS["hang"], "create", result["failure"])

    def test_where_they_are_loaded(self):
        """In the process of a session alone."""
        container = self.api.get("/v1/sessions/honest")["container"]
        self.assertEqual(plugins_in(self.owner(container)), {f"libdsandbox-{harness.BACKEND}.so"})
        self.assertEqual(plugins_in(self.pid), set())

    def owner(self, container):
        """Pid of the process that has it."""
        return next(pid for pid in children(self.pid) if container in harness.Engine().ours([pid]))

    def test_killed_process(self):
        """kill -9 of a session's process, idle and busy."""
        self.assertEqual(self.api.run("bad", "x = 1", create=self.where)["status"], "ok")
        container = self.api.get("/v1/sessions/bad")["container"]
        os.kill(self.owner(container), signal.SIGKILL)
        wait_for(lambda: self.api.get("/v1/sessions/bad")["state"] == "ended")
        self.assertIn("signal 9", self.api.get("/v1/sessions/bad")["lost"])
        result = self.api.run("bad", "'x' in globals()")
        self.assertEqual((result["status"], result["state"]["outcome"]), ("ok", "lost"))
        stream = self.api.stream("/v1/sessions/bad/execute", {"code": "print('on', flush=True)\n" + harness.FOREVER})
        stream.until("stdout")
        os.kill(self.owner(self.api.get("/v1/sessions/bad")["container"]), signal.SIGKILL)
        result = stream.all().result
        stream.close()
        self.assertEqual(result["status"], "lost")
        self.check(WAYS["crash"].replace("11", "9"), "execute", result["failure"])


class Installed(harness.Service):
    """With a backend more, as if it were installed."""

    def __init__(self, **more):
        self.backends = harness.WORK.dir("backends", 0o755)
        shutil.copytree(os.path.join(BUILD, "backends"), self.backends, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.p"))
        shutil.copy(FAULT, self.backends)
        super().__init__(**more)

    def command(self, *argv):
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", self.backends,
                os.path.join(BUILD, "backends"), *super().command(*argv)]


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "only root has mounts of its own")
class Collecting(cli_harness.EngineCase):
    def test_gc(self):
        """Of a backend that fails: it is named, and keeps nobody waiting but who asked."""
        harness.WORK = harness.Work()
        harness.ALLOW[:] = self.allow
        fault = harness.WORK.file("", 0o644)
        service = Installed(env={"DSB_TEST_INNER": INNER, "DSB_TEST_FAULT": fault})
        self.addCleanup(service.stop)
        api, pid, body = service.api, service.pid, {"backend": "fault", "host": harness.ENDPOINT, "base_dir": service.base}
        api.run("honest", "n = 1", create=service.where)

        def set_fault(text):
            with open(fault, "w", encoding="ascii") as file:
                file.write(text)

        for how in ("crash", "exit"):
            set_fault(f"list:1:{how}")
            with self.assertRaises(Failure) as caught:
                api.post("/v1/gc", body)
            self.assertEqual(caught.exception.code, "lost")
            self.assertIn("the session's process " + WAYS[how].format("gc"), caught.exception.message)
        self.given_up(api, body, set_fault)
        set_fault("list:1:hang")
        connection = harness.UnixConnection(service.socket)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/gc", json.dumps(body))
        wait_for(lambda: not harness.content(fault))  # it hangs
        self.assertEqual(api.post("/v1/gc", body)["removed"], 0)
        self.assertEqual(api.run("honest", "n")["results"][0]["text/plain"], "1")
        self.assertEqual((service.pid, plugins_in(pid)), (pid, set()))
        api.delete("/v1/sessions/honest?files=1")
        pids = service.pids
        begin = time.monotonic()
        connection.close()
        self.assertEqual(service.stop(), 0, service.said())
        self.assertLess(time.monotonic() - begin, scaled(DEADLINE))
        wait_for(lambda: all(harness.is_gone(one) for one in pids))
        wait_for(lambda: not cli_harness.containers())


    def given_up(self, api, body, set_fault):
        """At the deadline of one of the backend's operations."""
        set_fault("list:1:hang")
        begin = time.monotonic()
        with self.assertRaises(Failure) as caught:
            api.post("/v1/gc", {**body, "engine_timeout": TIMES["engine_timeout"]})
        self.assertEqual(caught.exception.code, "lost")
        self.assertIn(WAYS["hang"].format("gc"), caught.exception.message)
        self.assertLess(time.monotonic() - begin, scaled(DEADLINE))


if __name__ == "__main__":
    cli_harness.main([Plugins, Collecting])

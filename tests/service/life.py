# SPDX-License-Identifier: MIT
"""Queues, the loss of sandboxes, the end of the service, and load, on a real engine."""
import json
import os
import random
import subprocess
import sys
import time
import unittest

import harness
from harness import (AS, EXECUTIONS, FOREVER, SESSIONS, Case, Engine, Service, SessionCase, in_threads, process_size, wait_for)
from speed import set_seconds

MIB = 1 << 20


class Queues(SessionCase):
    options = ("--max-sessions", "4", "--max-running", "2")

    def test_first_come_first_served(self):
        self.be_patient()
        self.ok("order = []")
        first = self.api.stream(self.path("/execute"), {"code": FOREVER})
        first.until("started")
        streams = []
        for i in range(10):
            stream = self.api.stream(self.path("/execute"), {"code": f"order.append({i})"})
            stream.until("accepted")
            streams.append(stream)
        self.assertEqual(self.api.get(self.path())["queued"], 10)
        self.api.post(self.path("/interrupt"))
        for stream in streams:
            self.assertEqual(stream.all().result["status"], "ok")
        self.assertEqual(self.ok("order")["results"][-1]["text/plain"], str(list(range(10))))

    def test_busy_or_wait(self):
        self.ok("1")
        stream = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        self.assertEqual(self.state(), "busy")
        self.refused(409, "busy", self.api.run, self.id, "1", wait=False)
        self.api.post(self.path("/interrupt"))
        stream.all()
        self.assertEqual(self.api.run(self.id, "1", wait=False)["status"], "ok")

    def test_queue_of_a_session_is_limited(self):
        self.ok("1")
        first = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        first.until("stdout")
        streams = []
        for _ in range(64):
            stream = self.api.stream(self.path("/execute"), {"code": "1"})
            stream.until("accepted")
            streams.append(stream)
        self.refused(429, "limit", self.api.run, self.id, "1")
        self.refused(429, "limit", self.api.stream, self.path("/execute"), {"code": "1"})
        self.api.post(self.path("/interrupt"))
        for stream in streams:
            self.assertEqual(stream.all().result["status"], "ok")

    def test_running_ones_are_limited(self):
        """Two places, three who want one: the third waits at the gate, in its turn."""
        ids = [f"gate{i}" for i in range(3)]
        for name in ids:
            self.assertEqual(self.api.run(name, "1", create=self.create)["status"], "ok")
        streams = []
        for name in ids[:2]:
            stream = self.api.stream(f"/v1/sessions/{name}/execute", {"code": "print('on', flush=True)\n" + FOREVER})
            stream.until("stdout")
            streams.append(stream)
        third = self.api.stream(f"/v1/sessions/{ids[2]}/execute", {"code": "print('ran')"})
        third.until("accepted")
        version = self.api.get("/v1/version")
        self.assertEqual((version["executing"], version["queued"]), (2, 1))
        self.refused(409, "busy", self.api.run, ids[2], "1", wait=False)
        self.refused(409, "busy", self.api.post, "/v1/run", {"code": "1", "wait": False, **self.create})
        self.api.post(f"/v1/sessions/{ids[0]}/interrupt")
        self.assertEqual(third.all().result["stdout"], "ran\n")
        self.api.post(f"/v1/sessions/{ids[1]}/interrupt")
        for stream in streams:
            self.assertEqual(stream.all().result["status"], "cancelled")
        for name in ids:
            self.api.delete(f"/v1/sessions/{name}?files=1")

    def test_sessions_are_limited(self):
        for i in range(4):
            self.api.run(f"full{i}", "1", create=self.create)
        self.refused(429, "limit", self.api.run, "full4", "1", create=self.create)
        self.refused(429, "limit", self.api.post, "/v1/sessions", self.create)
        for i in range(4):
            self.api.delete(f"/v1/sessions/full{i}?files=1")

    def test_ending_one_that_is_busy(self):
        self.ok("1")
        running = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        running.until("stdout")
        waiting = self.api.stream(self.path("/execute"), {"code": "1"})
        waiting.until("accepted")
        self.api.delete(self.path())
        self.lost_with_the_session(running)
        self.assertEqual(waiting.until("error")["error"]["code"], "cancelled")

    def lost_with_the_session(self, stream):
        result = stream.all().result
        state = {key: result["state"][key] for key in ("outcome", "reason", "to", "point")}
        self.assertEqual(result["status"], "cancelled")
        self.assertEqual(state, {"outcome": "lost", "reason": "the session ended while this code ran", "to": None, "point": None})

    def test_ending_what_does_not_let_go(self):
        """The interpreter goes back to a rollback point, and then it ends, too."""
        self.ok("1")
        running = self.api.stream(self.path("/execute"), {"code": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                                                          "print('on', flush=True)\n" + FOREVER})
        running.until("stdout")
        self.api.delete(self.path())
        self.lost_with_the_session(running)

    def test_ending_after_an_interrupt(self):
        self.ok("1")
        running = self.api.stream(self.path("/execute"), {"code": "try:\n  print('on', flush=True)\n  while True: pass\n"
                                                          "except KeyboardInterrupt: print('off', flush=True)\n" + FOREVER})
        running.until("stdout")
        self.api.post(f"/v1/executions/{running.id}/interrupt")
        running.until("stdout")
        self.api.delete(self.path())
        self.lost_with_the_session(running)

    def test_life_time_over_while_busy(self):
        self.create = {**self.create, "set": {"life_time": "3s"}}
        result = self.run_code(FOREVER, timeout="60s")
        self.assertIn(result["status"], ("timeout", "cancelled"))  # the sandbox is a little earlier than the service as a rule
        self.assertEqual(result["state"]["outcome"], "lost")

    def test_many_make_one_session(self):
        results = in_threads([lambda: self.run_code("n = globals().get('n', 0) + 1; n") for _ in range(12)])
        self.assertEqual(sorted(int(r["results"][-1]["text/plain"]) for r in results), list(range(1, 13)))


class Recovery(SessionCase):
    def setUp(self):
        super().setUp()
        self.engine = Engine()

    def container(self):
        return self.api.get(self.path())["container"]

    def test_container_killed_while_idle(self):
        self.create = {**self.create, "checkpoint": "always"}
        self.ok("x = 1; open('f', 'w').write('kept')")
        self.engine.kill(self.container())
        wait_for(lambda: self.state() == "ended")
        session = self.api.get(self.path())
        self.assertIsNone(session["container"])
        self.assertIn("the container ended", session["lost"])
        result = self.ok("globals().get('x'), open('f').read()")
        self.assertEqual(result["results"][-1]["text/plain"], "(None, 'kept')")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertIn("files were kept", result["state"]["reason"])
        self.assertEqual(result["state"]["execution"], 2)
        result = self.ok("x = 2")
        self.assertEqual(result["state"]["outcome"], "kept")
        result = self.run_code("import os; os._exit(1)")
        self.assertEqual((result["state"]["outcome"], result["state"]["to"]), ("rolled_back", 3))

    def test_container_killed_while_busy(self):
        self.ok("x = 1")
        stream = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        self.engine.kill(self.container())
        result = stream.all().result
        self.assertEqual((result["status"], result["failure"]["code"], result["stdout"]), ("lost", "lost", "on\n"))
        result = self.ok("globals().get('x')")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertEqual(self.ok("1")["state"]["outcome"], "kept")

    def test_vars_after_a_loss(self):
        self.ok("x = 1")
        self.engine.kill(self.container())
        wait_for(lambda: self.state() == "ended")
        self.assertEqual(self.api.get(self.path("/vars"))["vars"], [])
        self.assertEqual(self.ok("1")["state"]["outcome"], "lost")

    def test_idle_session_ends(self):
        idle = set_seconds(2)
        self.create = {**self.create, "idle_timeout": f"{idle}s"}
        self.ok("x = 1; open('f', 'w').write('kept')")
        time.sleep(0.5 * idle)
        self.ok("x")
        time.sleep(0.6 * idle)
        self.assertEqual(self.state(), "idle")
        wait_for(lambda: not self.api.get("/v1/sessions")["sessions"])
        self.refused(404, "not_found", self.api.get, self.path())
        self.assertEqual(self.api.get(self.path("/files/f")), b"kept")
        result = self.api.run(self.id, "globals().get('x')")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertIn(f"{idle}s", result["state"]["reason"])

    def test_deleting_one_that_has_ended(self):
        self.create = {**self.create, "idle_timeout": "1s"}
        self.ok("open('f', 'w').write('kept')")
        wait_for(lambda: not self.api.get("/v1/sessions")["sessions"])
        self.assertTrue(self.api.delete(self.path("?files=1"))["files_deleted"])
        self.assertFalse(os.path.exists(os.path.join(self.service.base, self.id)))
        self.refused(404, "not_found", self.api.delete, self.path())
        self.refused(404, "not_found", self.api.run, self.id, "1")

    def test_life_time(self):
        life = set_seconds(3)
        self.create = {**self.create, "life_time": f"{life}s"}
        begin = time.monotonic()
        self.ok("x = 1")
        while time.monotonic() - begin < 0.5 * life:
            self.assertEqual(self.ok("x")["state"]["outcome"], "kept")
            time.sleep(0.2)
        wait_for(lambda: not self.api.get("/v1/sessions")["sessions"])
        result = self.api.run(self.id, "globals().get('x')")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertIn("life time", result["state"]["reason"])

    def test_disk_filled_while_idle(self):
        self.create = {**self.create, "set": {"disk": "2MiB"}}
        code = "for i in range(60):\n open(f'fill{i}', 'wb').write(bytes(2000000))"
        self.ok(f"x = 1\nimport subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2)\\n' + {code!r}])")
        wait_for(lambda: self.state() == "ended")
        self.assertIn("disk", self.api.get(self.path())["lost"])

    def test_deleted_is_deleted(self):
        self.ok("x = 1")
        self.api.delete(self.path())
        self.refused(404, "not_found", self.api.run, self.id, "1")
        self.assertEqual(self.ok("1")["state"]["outcome"], "kept")


def limit_files(pid, size):
    """The soft limit, which its own user may change."""
    subprocess.run([*([AS] if AS else []), "prlimit", "--pid", str(pid), f"--fsize={size}:"], check=True, timeout=60)


class Restart(unittest.TestCase):
    """The service itself ends, in all ways."""

    def test_killed(self):
        service = Service()
        self.assertEqual(service.api.run("a", "x = 1; open('f', 'w').write('kept')", create=service.where)["status"], "ok")
        service.api.run("b", "x = 1", create=service.where)
        pids = service.pids
        self.assertEqual(len(Engine().ours(pids)), 2)
        service.kill()
        wait_for(lambda: not Engine().ours(pids))
        records = os.listdir(os.path.join(service.state, "dsandbox/sessions"))
        self.assertEqual(len(records), 2)
        for name in records:
            self.assertEqual(os.stat(os.path.join(service.state, "dsandbox/sessions", name)).st_mode & 0o777, 0o600)
        with Service(run=service.run, state=service.state, base=service.base) as again:
            result = again.api.run("a", "globals().get('x'), open('f').read()")
            self.assertEqual(result["results"][-1]["text/plain"], "(None, 'kept')")
            self.assertEqual(result["state"]["outcome"], "lost")
            self.assertTrue(result["state"]["reason"].startswith("the service ended"), result["state"])
            self.assertEqual(again.api.run("a", "1")["state"]["outcome"], "kept")
            result = again.api.run("b", "1", create=again.where)
            self.assertTrue(result["state"]["reason"].startswith("the service ended"), result["state"])
            for name in "ab":
                again.api.delete(f"/v1/sessions/{name}?files=1")
            self.assertEqual(os.listdir(os.path.join(service.state, "dsandbox/sessions")), [])

    def test_killed_while_busy(self):
        service = Service()
        stream = service.api.stream("/v1/sessions/a/execute", {"code": "print('on', flush=True)\n" + FOREVER, "create": service.where})
        stream.until("stdout")
        one = service.api.stream("/v1/run", {"code": "print('on', flush=True)\n" + FOREVER, **service.where})
        one.until("stdout")
        pids = service.pids
        service.kill()
        wait_for(lambda: not Engine().ours(pids))
        stream.close()
        one.close()

    def test_told_to_end(self):
        service = Service()
        service.api.run("a", "x = 1", create=service.where)
        stream = service.api.stream("/v1/sessions/b/execute", {"code": "print('on', flush=True)\n" + FOREVER, "create": service.where})
        stream.until("stdout")
        one = service.api.stream("/v1/run", {"code": "print('on', flush=True)\n" + FOREVER, **service.where})
        one.until("stdout")
        pids = service.pids
        self.assertEqual(service.stop(), 0, service.said())
        wait_for(lambda: not Engine().ours(pids))
        result = stream.all().result
        self.assertEqual((result["status"], result["state"]["outcome"]), ("cancelled", "lost"))
        self.assertEqual(one.all().result["status"], "cancelled")
        with Service(run=service.run, state=service.state, base=service.base) as again:
            result = again.api.run("a", "1")
            self.assertEqual(result["state"]["outcome"], "lost")
            self.assertIn("the service was told to end", result["state"]["reason"])

    def test_a_session_keeps_it(self):
        idle = set_seconds(3)
        service = Service(idle=f"{idle}s")
        where = service.where
        self.assertEqual(service.api.run("a", "1", create=where)["status"], "ok")
        time.sleep(idle + 1)
        self.assertEqual(service.api.run("a", "1")["status"], "ok")
        service.api.delete("/v1/sessions/a?files=1")
        self.assertEqual(service.process.wait(20), 0)
        service.log.close()

    def test_audit_log_is_rotated(self):
        service = Service(start=False)
        os.mkdir(os.path.join(service.state, "dsandbox"), 0o700)
        path = os.path.join(service.state, "dsandbox", "audit.jsonl")
        for name in ("", ".1", ".2", ".3", ".4"):
            with open(path + name, "w", encoding="utf-8") as old:
                old.write(name + "x" * (10 * MIB if name == "" else 10))
        if harness.AS:
            subprocess.run(["chown", "-R", str(harness.WORK.uid), service.state], check=True)
        service.start()
        with service:
            service.api.post("/v1/run", {"code": "1", **service.where})
            self.assertEqual(len(service.audit()), 1)
            self.assertEqual(sorted(os.listdir(os.path.dirname(path)))[:5],
                             ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl.4"])
            self.assertEqual(os.path.getsize(path + ".1"), 10 * MIB)
            with open(path + ".4", encoding="utf-8") as old:
                self.assertTrue(old.read().startswith(".3"))


    def test_audit_log_without_room(self):
        """Whole lines only, the reason, and how many are missing."""
        service = Service()
        path = os.path.join(service.state, "dsandbox", "audit.jsonl")
        with service:
            service.api.post("/v1/run", {"code": "1", **service.where})
            self.assertEqual(service.api.get("/v1/version")["unrecorded"], 0)
            with open(path, "ab") as log:
                log.write(b'{"earlier": true}\n' * (MIB // 4) + b'{"half": ')
            size = os.path.getsize(path)
            for room in (100, 0):
                limit_files(service.pid, size + room)
                service.api.post("/v1/run", {"code": "2", **service.where})
                self.assertEqual(os.path.getsize(path), size)
                self.assertEqual(service.api.get("/v1/version")["unrecorded"], 1 if room else 2)
            self.assertIn("audit.jsonl: cannot be written: File too large", service.said())
            limit_files(service.pid, "unlimited")
            service.api.post("/v1/run", {"code": "3", **service.where})
            with open(path, "rb") as log:
                lines = log.read().split(b"\n")
            self.assertEqual(lines[-3], b'{"half": ')
            self.assertEqual((json.loads(lines[-2])["status"], lines[-1]), ("ok", b""))
            self.assertIn("2 executions went unrecorded", service.said())
            self.assertEqual(service.api.get("/v1/version")["unrecorded"], 2)


class Load(Case):
    options = ("--max-running", "16")

    def test_200_executions_leave_nothing(self):
        where = self.service.where
        for i in range(20):
            self.api.run("grow", "x = globals().get('x', 0) + 1; print(x)", create=where)
        pid = self.service.pid
        before = process_size(pid)
        for i in range(200):
            result = self.api.run("grow", "x += 1; print(x)")
            self.assertEqual(result["stdout"], f"{i + 21}\n", result)
        after = process_size(pid)
        wait_for(lambda: process_size(pid)[0] <= before[0] + 2)
        self.assertTrue(harness.SANITIZED or after[1] < before[1] + 4 * 1024, (before, after))
        self.api.delete("/v1/sessions/grow?files=1")
        for _ in range(5):
            self.api.run("grow", "1", create=where)
            self.api.delete("/v1/sessions/grow?files=1")
        wait_for(lambda: process_size(pid)[0] <= before[0] + 2)

    def test_sessions_at_once(self):
        """Each has its own nonce, and finds it again every time."""
        where = self.service.where
        rounds = max(EXECUTIONS // SESSIONS, 2)

        def one(number):
            name, nonce = f"many{number}", f"{number}-{random.random()}"
            result = self.api.run(name, f"nonce = '{nonce}'; count = 0", create=where)
            self.assertEqual(result["status"], "ok", result)
            for i in range(rounds - 1):
                result = self.api.run(name, "count += 1; print(nonce, count)")
                self.assertEqual((result["status"], result["stdout"], result["session"]), ("ok", f"{nonce} {i + 1}\n", name), result)
            self.api.delete(f"/v1/sessions/{name}?files=1")
            self.api.close()

        in_threads([lambda n=n: one(n) for n in range(SESSIONS)])
        left = [session["id"] for session in self.api.get("/v1/sessions")["sessions"]]
        self.assertEqual([name for name in left if name.startswith("many")], [])


@unittest.skipUnless(len(sys.argv) == 1, "only some of the tests run")
class Document(unittest.TestCase):
    """Comes last."""

    def test_every_operation_was_used(self):
        document = harness.OPENAPI
        used = {(method, template) for method, template, status in document.used if status.startswith("2")}
        for template, operations in document.root["paths"].items():
            for method in operations:
                with self.subTest(template, method=method):
                    self.assertTrue((method.upper(), template) in used or not template.startswith("/v1/"))


CASES = (Queues, Recovery, Restart, Load, Document)

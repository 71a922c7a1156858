# SPDX-License-Identifier: MIT
"""
A random schedule of executions, ends, deaths, cancels and deletes against one service, with an engine in memory. Seeded:
every client does the same things in the same order again, with DSB_TEST_SEED. DSB_TEST_SCHEDULE is its length in seconds.

The service runs as it was built: with a sanitizer, a finding of it fails the test, in the service and in its processes for
sessions, none of which ends here but as it should.
"""
import contextlib
import json
import os
import random
import signal
import threading
import time
import unittest

import harness
from fake_pid1 import FakePid1
from harness import Failure, Service, in_threads, wait_for

SECONDS = float(os.environ.get("DSB_TEST_SCHEDULE", "10"))
SEED = os.environ.get("DSB_TEST_SEED", "1")
CLIENTS = 6
PLUGIN = os.path.join(os.path.dirname(os.path.dirname(harness.PROGRAM)), "tests/plugins/libdsandbox-memory.so")
# What each session is made with: they end by themselves after a time of rest, of life, or not at all.
IDLE, LIFE = 1, 2
KINDS = [{"idle_timeout": f"{IDLE}s"}, {"idle_timeout": f"{IDLE}s"}, {"life_time": f"{LIFE}s"}, {}, {}, {}]
# What may come of a request to a session that others use, end and kill at the same time.
EXPECTED = {"not_found", "conflict", "cancelled", "busy", "limit", "lost", "protocol", "unavailable"}
STATUSES = {"ok", "cancelled", "lost", "error", "timeout"}


class Client:
    """One of them, with a sequence of choices of its own."""

    def __init__(self, test, number, end):
        self.test, self.end = test, end
        self.random = random.Random(f"{SEED}:{number}")
        self.api = harness.Api(test.service.socket)
        self.done = 0

    def code(self):
        chance = self.random.random()
        code = {"wait": self.random.choice((0, 0, 0.001, 0.02, 0.2)), "out": "x" * self.random.choice((0, 1, 5000, 100000))}
        if chance < 0.08:
            code["die"] = True
        elif chance < 0.1:
            code["garbage"] = True
        elif chance < 0.3:
            code["rest"] = self.random.choice((0, 0.01, IDLE * 0.93, IDLE * 0.95, IDLE * 0.97, IDLE))
        return code

    def body(self, name):
        return {"code": json.dumps(self.code()), "create": self.test.create(name)}

    def execute(self, name):
        result = self.api.post(f"/v1/sessions/{name}/execute", self.body(name))
        self.test.assertIn(result["status"], STATUSES, result)

    def follow(self, name):
        """Some of its events, and perhaps not the end; perhaps with input."""
        body = self.body(name)
        if self.random.random() < 0.3:
            body.update(stdin_open=True, stdin="first")
        stream = self.api.stream(f"/v1/sessions/{name}/execute", body)
        enough = self.random.choice((0, 1, 2, 3, 1000))
        with contextlib.closing(stream):
            for count, (event, _) in enumerate(stream):
                if event == "started" and "stdin" in body:
                    self.api.call("POST", f"/v1/executions/{stream.id}/stdin", "more")
                if count >= enough:
                    break

    def one_shot(self, name):
        self.api.post("/v1/run", {"code": json.dumps(self.code()), **self.test.create(name, session=False)})

    def ask(self, name):
        self.api.get(self.random.choice(("/v1/version", "/v1/sessions", f"/v1/sessions/{name}", f"/v1/sessions/{name}/vars",
                                         f"/v1/sessions/{name}/history", f"/v1/sessions/{name}/files")))

    def tell(self, name):
        self.api.post(f"/v1/sessions/{name}/" + self.random.choice(("interrupt", "interrupt", "interrupt", "reset", "save", "restore")))

    def make(self, name):
        self.api.post("/v1/sessions", {"id": name, "exist_ok": self.random.random() < 0.7, **self.test.create(name)})

    def files(self, name):
        path = f"/v1/sessions/{name}/files/f{self.random.randrange(3)}"
        method = self.random.choice(("PUT", "PUT", "GET", "DELETE"))
        self.api.call(method, path, "text" * self.random.randrange(1000) if method == "PUT" else None)

    def remove(self, name):
        self.api.delete(f"/v1/sessions/{name}{self.random.choice(('', '?files=1'))}")

    def kill(self, name):
        self.test.pid1s[name].kill()

    def run(self):
        acts = [self.execute] * 8 + [self.follow] * 6 + [self.ask] * 4 + [self.tell] * 3 + [self.make, self.files] * 2
        acts += [self.remove, self.remove, self.kill, self.one_shot]
        while time.monotonic() < self.end and not self.test.broken.is_set():
            act, name = self.random.choice(acts), self.random.choice(self.test.shared)
            if act == self.execute and self.random.random() < 0.1:
                time.sleep(self.random.choice((0.05, IDLE * 0.9, IDLE)))  # so that some rest until their end
            try:
                act(name)
            except Failure as failure:
                self.test.assertIn(failure.code, EXPECTED, f"{act.__name__}: {failure}")
            except BaseException:
                self.test.broken.set()
                raise
            self.done += 1
        return self.done


class Schedule(unittest.TestCase):
    long = "random"

    def setUp(self):
        self.service = Service("--max-running", "4", "--max-sessions", "7")
        self.addCleanup(self.service.stop)
        self.broken = threading.Event()
        self.pid1s, self.kinds = {}, {}
        for number, kind in enumerate([*KINDS, {}]):
            name = f"s{number}" if number < len(KINDS) else "honest"
            self.kinds[name] = kind
            self.pid1s[name] = FakePid1(os.path.join(self.service.run, name), os.path.join(self.service.base, name))
            self.addCleanup(self.pid1s[name].close)
        self.shared = [name for name in self.pid1s if name != "honest"]

    def create(self, name, session=True):
        more = self.kinds[name] if session else {}
        return {"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + self.pid1s[name].path, **more}

    def undisturbed(self, end):
        """A session that nobody else touches loses nothing."""
        api, count = harness.Api(self.service.socket), 0
        create = self.create("honest")
        while time.monotonic() < end and not self.broken.is_set():
            count += 1
            result = api.run("honest", json.dumps({"out": str(count)}), create=create)
            self.assertEqual((result["status"], result["stdout"], result["state"]["outcome"], result["state"]["execution"]),
                             ("ok", str(count), "kept", count), result)
            time.sleep(0.02)
        return count

    def clean(self):
        """Nothing of it is left in the service."""
        for name in self.pid1s:
            with contextlib.suppress(Failure):
                self.service.api.delete(f"/v1/sessions/{name}?files=1")
        wait_for(lambda: self.service.api.get("/v1/version")["sessions"] == 0)
        wait_for(lambda: self.service.api.get("/v1/version")["executing"] == 0)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.service.pid}/fd"))

    def test_random_schedule(self):
        pid = self.service.pid
        for name in self.pid1s:  # each thing once: what is loaded stays loaded
            self.service.api.run(name, "{}", create=self.create(name))
        self.clean()
        before = self.descriptors()
        end = time.monotonic() + SECONDS
        clients = [Client(self, number, end) for number in range(CLIENTS)]
        try:
            counts = in_threads([lambda: self.undisturbed(end), *(client.run for client in clients)])
        except BaseException:
            print(self.service.said())
            raise
        self.assertEqual(self.service.pid, pid, "the same service as before")
        self.clean()
        with contextlib.suppress(AssertionError):  # the service sees the end of the clients' connections a little later
            wait_for(lambda: self.descriptors() <= before + 4)
        after = self.descriptors()
        self.assertLessEqual(after, before + 4, "descriptors")
        self.assertEqual(self.service.stop(), 0, self.service.said())
        self.assertEqual(self.service.deaths(), [])
        self.assertGreater(min(counts), 3, counts)
        print(f"seed {SEED}: {counts} requests, descriptors {before} before and {after} after")


class Rest(unittest.TestCase):
    """The end of a session that rests, just before its own time."""

    def test_ends_by_itself_in_the_last_tenth(self):
        with Service() as service:
            pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
            self.addCleanup(pid1.close)
            create = {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path, "idle_timeout": "2s"}
            for _ in range(3):
                self.assertEqual(service.api.run("a", json.dumps({"rest": 1.9}), create=create)["status"], "ok")
                wait_for(lambda: service.api.get("/v1/version")["sessions"] == 0)
                time.sleep(0.5)  # the time that the session had is over, too: nothing may happen then
                self.assertEqual(service.api.get("/v1/version")["sessions"], 0)
            self.assertEqual(service.stop(), 0, service.said())


class Closing(unittest.TestCase):
    ROUNDS = 150

    def test_the_sandbox_ends_meanwhile(self):
        """Its process says so, then that it closed the session, and is gone, all before the service, which is slow, has heard of it."""
        chance, answers = random.Random(SEED), []
        with Service() as service:
            pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
            self.addCleanup(pid1.close)
            create, pid = {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path}, service.pid
            for _ in range(self.ROUNDS):
                service.api.run("a", json.dumps({"rest": 0.01}), create=create)
                time.sleep(chance.uniform(0.007, 0.009))
                delete = threading.Thread(target=lambda: answers.append(service.api.call("DELETE", "/v1/sessions/a?files=1")))
                delete.start()
                time.sleep(chance.uniform(0.0002, 0.0015))
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.01)
                os.kill(pid, signal.SIGCONT)
                delete.join()
            self.assertEqual(len(answers), self.ROUNDS, "one failed, see above")
            self.assertEqual(service.stop(), 0, service.said())


class Records(unittest.TestCase):
    def test_a_living_service_keeps_its_sessions(self):
        with Service() as first:
            pid1 = FakePid1(os.path.join(first.run, "p"), os.path.join(first.base, "a"))
            self.addCleanup(pid1.close)
            create = {"base_dir": first.base, "plugin": PLUGIN, "host": "unix:" + pid1.path}
            self.assertEqual(first.api.run("a", "{}", create=create)["status"], "ok")
            first.api.run("a", json.dumps({"out": "x" * 1000000}))  # it needs other memory than at its start
            with Service(state=first.state, base=first.base) as second:
                with self.assertRaises(Failure) as caught:
                    second.api.run("a", "{}")
                self.assertEqual(caught.exception.code, "not_found")
            self.assertEqual(first.api.run("a", "{}")["state"]["outcome"], "kept")
            first.kill()
            with Service(state=first.state, base=first.base) as third:
                result = third.api.run("a", "{}")
                self.assertEqual((result["status"], result["state"]["outcome"]), ("ok", "lost"))
                self.assertIn("the service ended, and the session without it", result["state"]["reason"])
                third.api.delete("/v1/sessions/a?files=1")

    def test_the_next_service_has_what_there_was(self):
        """Of a service that was killed alone: twice, and with the record of it in the state directory."""
        with Service() as service:
            pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
            self.addCleanup(pid1.close)
            create = {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path, "labels": {"k": "v"},
                      "checkpoint": "always"}
            self.assertEqual(service.api.run("a", "{}", create=create)["status"], "ok")
            before = [service.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history")]
            for _ in range(2):
                service.kill_alone()
                service.start()
                self.assertEqual([service.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history")], before)
            self.assertEqual(service.api.run("a", "{}", create=create)["state"]["outcome"], "kept")
            with self.assertRaises(Failure) as caught:
                service.api.run("a", "{}", create={**create, "checkpoint": "idle"})
            self.assertIn("checkpoint is always, not idle", str(caught.exception))
            service.api.delete("/v1/sessions/a?files=1")


CASES = (Closing, Records, Rest, Schedule)

# SPDX-License-Identifier: MIT
"""A lost answer is not a lost result: Idempotency-Key, results that are kept, and streams that stay. With an engine in memory."""
import json
import os
import time

import harness
from fake_pid1 import FakePid1
from harness import Case, Service, UnixConnection, in_threads, scaled, wait_for
from schedule import PLUGIN
from speed import set_seconds


class Keyed(Case):
    def setUp(self):
        self.id = self._testMethodName[5:][:30]
        self.pid1 = FakePid1(os.path.join(self.service.run, self.id[:20]), os.path.join(self.service.base, self.id))
        self.addCleanup(self.pid1.close)
        self.create = {"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + self.pid1.path}
        self.key = {"Idempotency-Key": self.id}
        self.assertEqual(self.execute({})[0], 200)

    def path(self, rest="/execute"):
        return f"/v1/sessions/{self.id}{rest}"

    def execute(self, code, headers=None, path=None, **more):
        """(status, body)"""
        body = {"code": json.dumps(code), "create": self.create, **more}
        status, _, content = self.api.raw("POST", path or self.path(), json.dumps(body), headers)
        return status, json.loads(content)

    def runs(self):
        return self.api.get(self.path(""))["executions"]


class Again(Keyed):
    def test_the_same_key(self):
        before = self.runs()
        status, first = self.execute({"out": "a"}, self.key)
        self.assertEqual((status, first["status"], first["stdout"]), (200, "ok", "a"))
        self.assertEqual(self.execute({"out": "a"}, self.key), (200, first))
        stream = self.api.stream(self.path(), {"code": json.dumps({"out": "a"}), "create": self.create}, headers=self.key).all()
        self.assertEqual((stream.result, stream.id), (first, first["id"]))
        self.assertEqual(self.api.get(f"/v1/executions/{first['id']}"), first)
        self.assertEqual(self.runs(), before + 1)
        self.assertNotEqual(self.execute({"out": "a"}, {"Idempotency-Key": self.id + "2"})[1]["id"], first["id"])
        self.assertNotEqual(self.execute({"out": "a"})[1]["id"], first["id"])

    def test_the_same_key_for_something_else(self):
        first = self.execute({"out": "a"}, self.key)[1]
        before = self.runs()
        for again in (lambda: self.execute({"out": "b"}, self.key), lambda: self.execute({"out": "a"}, self.key, timeout=5),
                      lambda: self.execute({"out": "a"}, self.key, "/v1/sessions/other/execute")):
            status, answer = again()
            self.assertEqual((status, answer["error"]["code"]), (422, "conflict"))
        self.assertEqual(self.runs(), before)
        self.assertEqual(self.execute({"out": "a"}, self.key)[1], first)

    def test_keys_that_are_none(self):
        for key in ("", "a b", "x" * 256, "\xe4", "a\tb"):
            status, answer = self.execute({}, {"Idempotency-Key": key.encode("latin-1")})
            self.assertEqual((status, answer["error"]["code"]), (400, "invalid"), key)
        self.assertEqual(self.execute({}, {"Idempotency-Key": "x" * 255})[0], 200)

    def test_at_the_same_time(self):
        before = self.runs()
        answers = in_threads([lambda: self.execute({"wait": 1, "out": "a"}, self.key) for _ in range(5)])
        self.assertEqual(answers, [answers[0]] * 5)
        self.assertEqual((answers[0][1]["status"], self.runs()), ("ok", before + 1))

    def test_a_client_that_goes_away(self):
        """The execution goes on, and its result is there for whoever asks again."""
        before = self.runs()
        body = json.dumps({"code": json.dumps({"wait": scaled(1), "out": "a"}), "create": self.create})
        stream = self.api.stream(self.path(), json.loads(body), headers=self.key)
        id = stream.until("accepted")["id"]
        stream.until("started")
        self.assertEqual(self.api.get(f"/v1/executions/{id}"), {"id": id, "state": "running"})
        stream.close()
        status, _, content = self.api.raw("POST", self.path(), body, self.key)
        result = json.loads(content)
        self.assertEqual((status, result["id"], result["status"], result["stdout"]), (200, id, "ok", "a"))
        self.assertEqual((self.api.get(f"/v1/executions/{id}"), self.runs()), (result, before + 1))
        connection = UnixConnection(self.service.socket)  # without a key it is cancelled, as ever
        connection.request("POST", self.path(), body)
        wait_for(lambda: self.api.get(self.path(""))["state"] == "busy")
        connection.close()
        wait_for(lambda: self.api.get(self.path("/history"))["executions"][-1]["status"] == "cancelled")

    def test_what_did_not_run(self):
        """An error is no result: the key is as new."""
        connection = UnixConnection(self.service.socket)
        connection.request("POST", self.path(), json.dumps({"code": json.dumps({"wait": scaled(1)})}))
        wait_for(lambda: self.api.get(self.path(""))["state"] == "busy")
        self.assertEqual(self.execute({"out": "a"}, self.key, wait=False)[1]["error"]["code"], "busy")
        connection.getresponse().read()
        self.assertEqual(self.execute({"out": "a"}, self.key, wait=False)[1]["status"], "ok")
        status, answer = self.execute({}, {"Idempotency-Key": "none"}, "/v1/sessions/no-such/execute", create={"plugin": 1})
        self.assertEqual((status, answer["error"]["code"]), (400, "invalid"))

    def test_cancelled_while_it_waited(self):
        stream = self.api.stream(self.path(), {"code": json.dumps({"wait": 30})})
        stream.until("started")
        second = self.api.stream(self.path(), {"code": json.dumps({"out": "a"})}, headers=self.key)
        id = second.until("accepted")["id"]
        self.assertEqual(self.api.get(f"/v1/executions/{id}"), {"id": id, "state": "waiting"})
        second.close()
        self.assertEqual(self.api.post(f"/v1/executions/{id}/interrupt"), {"interrupted": True})
        self.refused(404, "not_found", self.api.get, f"/v1/executions/{id}")
        self.api.post(self.path("/interrupt"))
        stream.all()
        self.assertEqual(self.execute({"out": "a"}, self.key)[1]["status"], "ok")

    def test_how_much_is_kept(self):
        """The oldest goes first; what is gone does not run again."""
        first, size = self.execute({"out": "a"}, self.key)[1], 900000
        for number in range(20):
            self.execute({"out": "x" * size}, {"Idempotency-Key": f"{self.id}{number}"})
        self.refused(410, "not_found", self.api.get, f"/v1/executions/{first['id']}")
        before = self.runs()
        status, answer = self.execute({"out": "a"}, self.key)
        self.assertEqual((status, answer["error"]["code"], self.runs()), (410, "not_found", before))
        last = self.execute({"out": "x" * size}, {"Idempotency-Key": f"{self.id}19"})[1]
        self.assertEqual((len(last["stdout"]), self.runs()), (size, before))
        self.refused(404, "not_found", self.api.get, f"/v1/executions/{self.execute({})[1]['id']}")

    def test_a_session_that_was_deleted(self):
        first = self.execute({"out": "a"}, self.key)[1]
        self.api.delete(self.path("?files=1"))
        self.refused(404, "not_found", self.api.get, f"/v1/executions/{first['id']}")
        self.assertNotEqual(self.execute({"out": "a"}, self.key)[1]["id"], first["id"])

    def test_a_run_of_its_own(self):
        def run():
            body = {"code": json.dumps({"out": "a"}), **self.create}
            status, _, content = self.api.raw("POST", "/v1/run", json.dumps(body), self.key)
            return status, json.loads(content)["id"]

        self.assertEqual(run(), run())


class Patience(Keyed):
    long = "a comment comes every 15 seconds"

    def test_a_stream_that_is_quiet(self):
        stream = self.api.stream(self.path(), {"code": json.dumps({"wait": 17, "out": "a"})}).all()
        self.assertEqual((stream.result["status"], stream.comments, stream.stdout), ("ok", 1, b"a"))


class Killed(harness.unittest.TestCase):
    """The service is; the session goes on, and the next service knows the key of what runs."""

    def test_the_result_comes_from_the_next_one(self):
        with Service() as service:
            pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
            self.addCleanup(pid1.close)
            create = {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path}
            for wait in (3, 1):  # it runs still when the next one comes, or has ended
                key = {"Idempotency-Key": f"key{wait}"}
                body = {"code": json.dumps({"wait": wait, "out": "a"}), "create": create}
                stream = service.api.stream("/v1/sessions/a/execute", body, headers=key)
                id = stream.until("started")["id"]
                service.kill_alone()
                stream.close()
                time.sleep(2 if wait == 1 else 0)
                service.start()
                status, _, content = service.api.raw("POST", "/v1/sessions/a/execute", json.dumps(body), key)
                result = json.loads(content)
                self.assertEqual((status, result["id"], result["status"], result["stdout"]), (200, id, "ok", "a"))
                self.assertEqual(service.api.get(f"/v1/executions/{id}"), result)
                body["code"] = "{}"
                self.assertEqual(service.api.raw("POST", "/v1/sessions/a/execute", json.dumps(body), key)[0], 422)
            self.assertEqual(service.api.get("/v1/sessions/a")["executions"], 2)
            service.api.delete("/v1/sessions/a?files=1")
            self.assertEqual(service.stop(), 0, service.said())


class Kept(harness.unittest.TestCase):
    def test_an_idle_service_waits_with_them(self):
        idle = set_seconds(3)
        with Service(idle=f"{idle}s") as service:
            pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
            self.addCleanup(pid1.close)
            body = {"code": "{}", "create": {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path,
                                             "idle_timeout": "1s"}}
            headers = {"Idempotency-Key": "a"}
            first = service.api.raw("POST", "/v1/sessions/a/execute", json.dumps(body), headers)[2]
            wait_for(lambda: service.api.get("/v1/version")["sessions"] == 0)
            time.sleep(idle + 1)
            self.assertIsNone(service.process.poll())
            self.assertEqual(service.api.raw("POST", "/v1/sessions/a/execute", json.dumps(body), headers)[2], first)
            self.assertEqual(service.stop(), 0, service.said())


CASES = (Again, Patience, Killed, Kept)

# SPDX-License-Identifier: MIT
"""Tools of the client, which code in a sandbox calls: events and answers over HTTP, on a real engine."""
import time

from harness import SessionCase, scaled, wait_for

# As code could do it that wants more than it was given.
FORGES = """
import json, socket, struct
def ask(name, text):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(search._place)
    sock.sendall(struct.pack("<BI", len(name), len(text)) + name + text)
    head = sock.recv(5, socket.MSG_WAITALL)
    kind, size = struct.unpack("<BI", head)
    return kind, json.loads(sock.recv(size, socket.MSG_WAITALL))
"""


class Tools(SessionCase):
    def setUp(self):
        super().setUp()
        self.be_patient()

    def begin(self, code, tools=("search",), path=None, **more):
        body = {"code": code, "tools": list(tools), **more}
        if path:
            return self.api.stream(path, {**body, **self.create})
        return self.api.stream(self.path("/execute"), {**body, "create": self.create})

    def back(self, stream, call, value=None, **answer):
        return self.api.post(f"/v1/executions/{stream.id}/calls/{call['call']}", answer or {"result": value})

    def end(self, stream, status="ok"):
        result = stream.all().result
        self.assertEqual(result["status"], status, result)
        return result

    def test_call(self):
        stream = self.begin("print(search('a', n=[1, None]))")
        call = stream.until("call")
        self.assertEqual(call, {"call": 1, "tool": "search", "args": ["a"], "kwargs": {"n": [1, None]}})
        self.assertEqual(self.back(stream, call, {"found": True}), {"taken": True})
        result = self.end(stream)
        self.assertEqual((result["stdout"], result["calls_total"]), ("{'found': True}\n", 1))
        row = result["calls"][0]
        self.assertEqual((row["tool"], row["status"], row["arguments_bytes"]), ("search", "ok", 38))
        self.assertGreater(row["answer_bytes"], 13)
        self.assertEqual(self.service.audit()[-1]["calls"], {"total": 1, "refused": 0, "tools": {"search": 1}})
        without = self.ok("'search' in globals()")
        self.assertEqual(without["results"][-1]["text/plain"], "False")
        self.assertNotIn("calls", without)

    def test_call_of_a_run(self):
        stream = self.begin("print(search())", path="/v1/run/events")
        self.back(stream, stream.until("call"), "there")
        self.assertEqual(self.end(stream)["stdout"], "there\n")

    def test_what_an_answer_may_be(self):
        stream = self.begin("for _ in range(4):\n  try: print(search())\n  except KeyError as e: print('raised', e)")
        call = stream.until("call")
        for wrong in ({}, {"result": 1, "error": {"message": "m"}}, {"error": "m"}, {"error": {"type": "E"}}, {"value": 1},
                      {"error": {"message": "m", "more": 1}}, {"error": {"message": 1}}):
            with self.subTest(wrong):
                self.refused(400, "invalid", self.api.post, f"/v1/executions/{stream.id}/calls/1", wrong)
        for number in ("2", "0", "x", "01x", "4294967296"):
            self.refused(404, "not_found", self.api.post, f"/v1/executions/{stream.id}/calls/{number}", {"result": 1})
        self.refused(404, "not_found", self.api.post, "/v1/executions/x-none/calls/1", {"result": 1})
        self.back(stream, call, 2**100)
        self.refused(404, "not_found", self.back, stream, call, 1)
        self.back(stream, stream.until("call"), error={"type": "KeyError", "message": "w: }"})
        self.back(stream, stream.until("call"), {"a": ": }"})
        self.back(stream, stream.until("call"))
        result = self.end(stream)
        self.assertEqual(result["stdout"], "%d\nraised w: }\n{'a': ': }'}\nNone\n" % 2**100)
        self.assertEqual([row["status"] for row in result["calls"]], ["ok", "error", "ok", "ok"])

    def test_what_is_asked_for(self):
        for body, why in (({"tools": ["a b"]}, "digits and _"), ({"tools": ["a", "a"]}, "digits and _"), ({"tools": "a"}, "array"),
                          ({"tools": ["a"] * 65}, "64 tools"), ({"tools": [f"t{i}" for i in range(65)]}, "64 tools")):
            with self.subTest(body):
                answer = self.refused(400, "invalid", self.api.post, self.path("/execute/events"), {"code": "1", "create": self.create, **body})
                self.assertIn(why, str(answer))
        answer = self.refused(400, "invalid", self.api.run, self.id, "1", create=self.create, tools=["a"])
        self.assertIn("events", str(answer))
        answer = self.refused(400, "invalid", self.api.post, self.path("/execute/events"), {"shell": "true", "tools": ["a"], "create": self.create})
        self.assertIn("for code", str(answer))

    def test_forged(self):
        """A name that was not given, arguments that are none: an error inside, and nobody is called."""
        stream = self.begin(FORGES + "for name, text in ((b'other', b'{}'), (b'search', b'{}'), (b'search', b'{\"args\":[],\"kwargs\":[]}'),\n"
                            "    (b'search', b'{\"args\":[' + b'[' * 100 + b']' * 100 + b'],\"kwargs\":{}}'), (b'search', b'\\xff'), (b'open', b'')):\n"
                            "  print(*ask(name, text))\nprint(search())")
        call = stream.until("call")
        self.assertEqual((call["call"], call["tool"]), (7, "search"))
        self.back(stream, call, 1)
        result = self.end(stream)
        lines = result["stdout"].splitlines()
        self.assertEqual([line[0] for line in lines[:6]], ["1"] * 6, lines)
        self.assertIn("there is no tool 'other'", lines[0])
        self.assertEqual([row["status"] for row in result["calls"]], ["refused"] * 6 + ["ok"])
        self.assertEqual(self.service.audit()[-1]["calls"], {"total": 7, "refused": 6, "tools": {"search": 1}})

    def test_too_many_that_nobody_answers(self):
        """64 are under way; whoever gives up and asks again is refused."""
        stream = self.begin(FORGES + "import time\n"
                            "for i in range(70):\n  s = socket.socket(socket.AF_UNIX)\n  s.connect(search._place)\n"
                            "  s.sendall(struct.pack('<BI', 6, 23) + b'search{\"args\":[],\"kwargs\":{}}')\n  time.sleep(.01)\n  s.close()\n"
                            "try: search()\nexcept Exception as e: print(e)")
        calls = [name for name, _ in stream if name == "call"]
        self.assertEqual(len(calls), 64)
        self.assertEqual(stream.result["status"], "ok", stream.result)
        self.assertIn("64 calls are under way", stream.result["stdout"])
        self.assertEqual(stream.result["calls_total"], 71)
        self.assertEqual({row["status"] for row in stream.result["calls"][:64]}, {"abandoned"})

    def test_time_of_a_call(self):
        stream = self.begin("try: search()\nexcept TimeoutError as e: print(e)", call_timeout=0.3)
        call = stream.until("call")
        result = self.end(stream)
        self.assertEqual((result["stdout"], result["calls"][0]["status"]), ("the tool did not answer within 300 ms\n", "timeout"))
        self.refused(404, "not_found", self.back, stream, call, 1)

    def test_time_limit_and_cancel_while_a_call_waits(self):
        stream = self.begin("x = 1\nsearch()", timeout=scaled(1))
        stream.until("call")
        result = self.end(stream, "timeout")
        self.assertEqual((result["state"]["outcome"], result["calls"][0]["status"]), ("kept", "abandoned"))
        stream = self.begin("search()")
        stream.until("call")
        self.api.post(self.path("/interrupt"))
        self.assertEqual(self.end(stream, "cancelled")["state"]["outcome"], "kept")
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "1")

    def test_clock_that_stops(self):
        limit = scaled(.6)
        stream = self.begin("search()\nwhile True: pass", timeout=limit, calls_stop_clock=True)
        call = stream.until("call")
        time.sleep(2 * limit)
        self.back(stream, call)
        result = self.end(stream, "timeout")
        self.assertEqual(result["calls"][0]["status"], "ok")
        self.assertGreater(result["usage"]["wall_ms"], 3000 * limit - 100)

    def test_client_that_goes_while_a_call_waits(self):
        self.ok("x = 1")
        stream = self.begin("search()")
        stream.until("call")
        stream.close()
        wait_for(lambda: self.state() == "idle")
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "1")

    def test_client_that_goes_and_wants_its_result(self):
        """With a key the code runs on: its calls fail, since nobody hears them."""
        key = {"Idempotency-Key": self.id}
        body = {"code": "import time\nsearch()\nfor _ in range(50):\n  time.sleep(.1)\n  try: search()\n  except Exception as e: print(e); break",
                "tools": ["search"], "create": self.create}
        stream = self.api.stream(self.path("/execute"), body, headers=key)
        call = stream.until("call")
        stream.close()
        wait_for(lambda: self.api.get(self.path())["state"] != "idle")
        time.sleep(.3)
        self.back(stream, call)
        wait_for(lambda: self.state() == "idle")
        result = self.api.get(f"/v1/executions/{stream.id}")
        self.assertEqual(result["stdout"], "nobody follows the events of this execution\n", result)

    def test_answers_in_another_order(self):
        stream = self.begin("import asyncio\nprint(await asyncio.gather(*[search(i) for i in range(50)]) == list(range(50)))")
        calls = [stream.until("call") for _ in range(50)]
        for call in reversed(calls):
            self.back(stream, call, call["args"][0])
        self.assertEqual(self.end(stream)["stdout"], "True\n")

    def test_large_answers(self):
        """10 MiB go there whole; more than fit are an error that says so, also among many."""
        stream = self.begin("print(len(search()))\ntry: search()\nexcept Exception as e: print(e)")
        self.back(stream, stream.until("call"), "x" * (10 << 20))
        self.back(stream, stream.until("call"), "x" * (16 << 20))
        result = self.end(stream)
        self.assertEqual(result["stdout"], "10485760\nthe answer takes 16777219 bytes, and 15728640 are possible\n")


CASES = (Tools,)

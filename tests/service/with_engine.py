# SPDX-License-Identifier: MIT
"""Sessions, executions and files on a real engine, through the service."""
import base64
import hashlib
import json
import os
import signal
import tempfile
import time

import harness
from harness import FOREVER, HARD_LIMIT, Failure, SessionCase, process_size, scaled, wait_for
from rest import rest
from speed import setting

MIB = 1 << 20


class Basics(SessionCase):
    def test_one_shot(self):
        body = {"code": "import sys, os\nprint(sys.argv[1:], os.environ['A'], input())", "argv": ["x", "é"], "env": {"A": "b"},
                "stdin": "in\n", **self.create}
        result = self.api.post("/v1/run", body)
        self.assertEqual((result["status"], result["stdout"], result["session"]), ("ok", "['x', 'é'] b in\n", None), result)
        body.update(env=["A=c"], stdin_base64=base64.b64encode(b"bin").decode())
        del body["stdin"]
        self.assertEqual(self.api.post("/v1/run", body)["stdout"], "['x', 'é'] c bin\n")

    def test_life_of_a_session(self):
        made = self.api.post("/v1/sessions", {"id": self.id, "labels": {"a": "b"}, **self.create}, status=201)
        self.assertEqual((made["id"], made["state"], made["labels"]), (self.id, "idle", {"a": "b"}))
        self.assertEqual(made["workdir"], os.path.join(self.service.base, self.id))
        self.assertTrue(made["container"])
        result = self.ok("x = 1")
        self.assertEqual(result["session"], self.id)
        self.assertEqual(result["state"]["outcome"], "kept")
        result = self.ok("x += 1; x")
        self.assertEqual(result["results"][-1]["text/plain"], "2")
        self.assertIn("x", [row["name"] for row in self.api.get(self.path("/vars"))["vars"]])
        place = {"code": "import os\nos.path.joi", "cursor": 21}
        self.assertEqual(self.api.post(self.path("/complete"), {"code": "x = prin", "cursor": 8}),
                         {"matches": ["print"], "start": 4, "end": 8, "truncated": False})
        self.assertEqual(self.api.post(self.path("/complete"), place)["matches"], [])  # that import has not run
        self.assertIn("Type: int", self.api.post(self.path("/inspect"), {"code": "x", "cursor": 1, "detail": True})["text"])
        self.assertEqual(len(self.api.get(self.path("/history"))["executions"]), 2)
        after = self.api.get(self.path())
        self.assertEqual((after["executions"], after["container"]), (2, made["container"]))
        self.ok("def f():\n    return 1 / 0")
        trace = self.run_code("# another text\n\nf()")["error"]["traceback"]
        self.assertIn('File "<execution 4>", line 3, in <module>\n    f()\n', trace)
        self.assertIn('File "<execution 3>", line 2, in f\n    return 1 / 0\n', trace)
        self.assertTrue(self.api.delete(self.path())["ended"])
        self.refused(404, "not_found", self.api.get, self.path())

    def test_environment_of_one_execution(self):
        """It holds for that execution, however that ends; what the code has set in the session comes back."""
        self.create = {**self.create, "checkpoint": "always"}
        shows = "import os; [os.environ.get(n) for n in ('TOKEN', 'OWN', 'MINE', 'LANG')]"
        self.ok("import os; os.environ.update(OWN='session', MINE='code')")
        for env in ({"TOKEN": "secret", "OWN": "other", "LANG": "xx"}, ["TOKEN=secret", "OWN=other", "LANG=xx"]):
            self.assertEqual(self.ok(shows, env=env)["results"][-1]["text/plain"], "['secret', 'other', 'code', 'xx']")
            self.assertEqual(self.ok(shows)["results"][-1]["text/plain"], "[None, 'session', 'code', 'C.UTF-8']")
        for code, status, more in (("1 / 0", "error", {}), ("while True: pass", "timeout", {"timeout": 0.5}),
                                      ("import os; os._exit(3)", "error", {})):
            with self.subTest(code):
                result = self.run_code(code, env={"TOKEN": "secret", "OWN": "other"}, **more)
                self.assertEqual(result["status"], status, result)
                self.assertEqual(self.ok(shows)["results"][-1]["text/plain"], "[None, 'session', 'code', 'C.UTF-8']")

    def test_id_is_chosen(self):
        made = self.api.post("/v1/sessions", self.create, status=201)
        self.api.delete(f"/v1/sessions/{made['id']}?files=1")

    def test_same_id_again(self):
        body = {"id": self.id, **self.create}
        self.api.post("/v1/sessions", body, status=201)
        self.refused(409, "conflict", self.api.post, "/v1/sessions", body)
        self.api.post("/v1/sessions", {"exist_ok": True, **body}, status=200)
        for other in ({"set": {"memory": "300MiB"}}, {"policy": {"pids": 64}}, {"base_dir": "/tmp/other"}, {"image": "other"}):
            name = list((list(other.values())[0] if isinstance(list(other.values())[0], dict) else other).keys())[0]
            self.assertIn(name, self.refused(409, "conflict", self.api.post, "/v1/sessions", {"exist_ok": True, **body, **other}))
            self.refused(409, "conflict", self.api.run, self.id, "1", create={**self.create, **other})
        self.api.run(self.id, "1", create={})

    def test_with_the_settings_of_another(self):
        shape = {"set": {"memory": "200MiB"}, "labels": {"team": "red"}, "checkpoint": "off"}
        first = self.api.post("/v1/sessions", {"id": self.id, **self.create, **shape}, status=201)
        second = self.api.post("/v1/sessions", {"like": self.id}, status=201)
        self.assertNotEqual(second["id"], self.id)
        for member in ("labels", "base_dir", "backend"):
            self.assertEqual(second[member], first[member])
        self.assertEqual(second["policy"]["sha256"], first["policy"]["sha256"])
        # A copy of a copy, with something of its own; as in the first one's place when it is asked for again.
        third = {"id": self.id[:40] + "-3", "like": second["id"], "set": {"pids": 20}}
        made = self.api.post("/v1/sessions", third, status=201)
        asked = {row["name"]: row["asked"] for row in made["policy"]["controls"]}
        self.assertEqual((asked["memory"], asked["pids"]), ("200MiB", "20"))
        self.api.post("/v1/sessions", {**third, "exist_ok": True}, status=200)
        self.refused(409, "conflict", self.api.post, "/v1/sessions", {**third, "exist_ok": True, "set": {"pids": 30}})
        for body, status, code in (({"like": "no-such-one"}, 404, "not_found"), ({"like": 5}, 400, "invalid"), ({"like": "../" + self.id}, 404, "not_found"),
                                   ({"like": self.id, "sett": {}}, 400, "invalid")):
            with self.subTest(body):
                self.refused(status, code, self.api.post, "/v1/sessions", body)
        for name in (second["id"], third["id"]):
            self.api.delete(f"/v1/sessions/{name}?files=1")

    def test_what_is_no_policy_must_be_the_same_too(self):
        body = {"id": self.id, **self.create, "labels": {"team": "red"}}
        self.api.post("/v1/sessions", body, status=201)
        for same in ({}, {"labels": {"team": "red"}}, {"checkpoint": "idle"}):
            self.api.post("/v1/sessions", {"id": self.id, "exist_ok": True, **self.create, **same}, status=200)
        for other, words in (({"labels": {"team": "blue"}}, "labels"), ({"labels": {}}, "labels"), ({"checkpoint": "off"}, "checkpoint is idle, not off"),
                             ({"engine_timeout": "7s"}, "engine_timeout is the default, not 7000 ms"),
                             ({"checkpoint": "always"}, "checkpoint is idle, not always")):
            with self.subTest(other):
                self.assertIn(words, self.refused(409, "conflict", self.api.post, "/v1/sessions", {"id": self.id, "exist_ok": True, **self.create, **other}))
                self.refused(409, "conflict", self.api.run, self.id, "1", create={**self.create, **other})

    def test_an_unknown_image_is_the_same_for_a_session_and_a_run(self):
        where = {**self.create, "image": "localhost/no-such-image:1"}
        said = self.refused(404, "not_found", self.api.post, "/v1/sessions", {"id": self.id, **where})
        for path, body in (("/v1/run", where), (self.path("/execute"), {"create": where})):
            result = self.api.post(path, {"code": "1", **body})
            self.assertEqual((result["status"], result["failure"]), ("error", {"code": "not_found", "message": said}), path)

    def test_refused_policy(self):
        body = {"id": self.id, **self.create, "set": {"runtime": "no-such-runtime"}}
        with self.assertRaises(Failure):
            self.api.post("/v1/sessions", body)
        self.assertEqual(self.api.get("/v1/sessions")["sessions"], [])

    def test_labels(self):
        for i in range(3):
            self.api.post("/v1/sessions", {"id": f"label{i}", "labels": {"n": str(i), "all": ""}, **self.create}, status=201)

        def ids(query):
            return [session["id"] for session in self.api.get("/v1/sessions" + query)["sessions"]]

        self.assertEqual(ids("?label=n=1"), ["label1"])
        self.assertEqual(ids("?label=all"), ["label0", "label1", "label2"])
        self.assertEqual(ids("?label=all&label=n=2"), ["label2"])
        self.assertEqual(ids("?label=n=9"), [])
        for i in range(3):
            self.api.delete(f"/v1/sessions/label{i}?files=1")

    def test_policy_of_a_session(self):
        self.create = {**self.create, "policy": {"memory": "256MiB"}, "set": {"pids": "64"}, "mount": "same_path"}
        result = self.ok("import os; os.path.realpath('.'), open('/proc/mounts').read()")
        asked = {row["name"]: row["asked"] for row in result["policy"]["controls"]}
        self.assertEqual((asked["memory"], asked["pids"]), ("256MiB", "64"))
        self.assertIn(os.path.join(self.service.base, self.id), result["results"][-1]["text/plain"])

    def test_history(self):
        self.ok("1")
        self.run_code("1/0")
        self.run_code("#" * 100000)
        rows = self.api.get(self.path("/history"))["executions"]
        self.assertEqual([(row["n"], row["status"]) for row in rows], [(1, "ok"), (2, "error"), (3, "ok")])
        self.assertEqual(rows[1]["error"]["name"], "ZeroDivisionError")
        self.assertTrue(rows[2]["code_truncated"] and len(rows[2]["code"]) == 65536)

    def test_reset_save_restore(self):
        self.ok("x = [1, 2]\nf = open('/dev/null')")
        self.assertIn("nothing is saved", self.refused(404, "not_found", self.api.post, self.path("/restore")))
        saved = self.api.post(self.path("/save"))
        self.assertIn("x", saved["saved"])
        self.assertIn("f", [row["name"] for row in saved["not_saved"]])
        self.api.post(self.path("/reset"))
        self.assertEqual(self.run_code("x")["error"]["name"], "NameError")
        self.assertIn("x", self.api.post(self.path("/restore"))["restored"])
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "[1, 2]")
        self.api.call("PUT", self.path("/files/.dsandbox-state"), b"no variables")
        self.assertIn("not a file of saved", self.refused(409, "conflict", self.api.post, self.path("/restore")))
        self.ok("import os; os.remove('.dsandbox-state'); os.mkdir('.dsandbox-state')")
        self.refused(409, "conflict", self.api.post, self.path("/save"))

    def test_timeout_of_an_execution(self):
        self.be_patient()
        self.ok("x = 5")
        result = self.run_code(FOREVER, timeout="300ms")
        self.assertEqual((result["status"], result["state"]["outcome"]), ("timeout", "kept"))
        self.assertEqual(self.run_code(FOREVER, timeout=0.3)["status"], "timeout")
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "5")

    def test_crash_goes_back_to_what_was_there_in_quiet(self):
        self.ok("x = 5")
        before = rest(lambda code: self.ok(code)["state"])
        state = self.run_code("x = 6\nimport ctypes; ctypes.string_at(0)")["state"]
        self.assertEqual((state["outcome"], state["point"]), ("rolled_back", "taken"))
        self.assertIn(state["to"], range(before, state["execution"]))
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "5")

    def test_crash_goes_back_to_the_execution_before(self):
        self.create = {**self.create, "checkpoint": "always"}
        self.ok("x = 5")
        result = self.run_code("x = 6\nimport ctypes; ctypes.string_at(0)")
        self.assertEqual((result["status"], result["state"]["outcome"], result["state"]["to"]), ("signal", "rolled_back", 1))
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "5")

    def test_no_checkpoint(self):
        self.create = {**self.create, "checkpoint": "off"}
        self.assertEqual(self.ok("x = 5")["state"]["point"], "off")
        result = self.run_code("import os; os._exit(3)")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertEqual(self.run_code("x")["error"]["name"], "NameError")

    def test_gc(self):
        self.ok("1")
        done = self.api.post("/v1/gc", {"dry_run": True, **{k: v for k, v in self.create.items() if k in ("backend", "host", "base_dir")}})
        self.assertTrue(done["dry_run"])
        self.assertEqual(self.state(), "idle")

    def test_audit_log(self):
        code = "print('audited')"
        self.ok(code)
        self.run_code("1/0")
        rows = [row for row in self.service.audit() if row["session"] == self.id]
        self.assertEqual([row["status"] for row in rows], ["ok", "error"])
        row = rows[0]
        self.assertEqual(sorted(row), ["backend", "code_sha256", "exit_code", "id", "policy_sha256", "session", "status", "time",
                                       "usage", "user"])
        self.assertEqual(row["code_sha256"], hashlib.sha256(code.encode()).hexdigest())
        self.assertEqual(row["user"], f"uid {os.getuid()}")
        history = self.api.get(self.path("/history"))["executions"]
        self.assertEqual([row["id"] for row in history], [row["id"] for row in rows])
        self.assertEqual(os.stat(os.path.join(self.service.state, "dsandbox/audit.jsonl")).st_mode & 0o777, 0o600)

    def command(self, **body):
        return self.api.post(self.path("/execute"), {"create": self.create, **body})

    def test_commands(self):
        self.ok("x = 5")
        for body, out, code in (({"argv": ["echo", "a b"]}, "a b\n", 0), ({"shell": "echo $K; pwd; exit 3", "env": {"K": "v"}}, "v\n/sandbox\n", 3),
                                ({"shell": "pwd", "cwd": "/tmp"}, "/tmp\n", 0), ({"argv": ["cat"], "stdin": "text"}, "text", 0)):
            result = self.command(**body)
            self.assertEqual((result["stdout"], result["exit_code"], result["status"], result["state"]["outcome"]),
                             (out, code, "error" if code else "ok", "kept"))
        self.assertEqual(self.command(shell="echo on; sleep 600", timeout=setting(2))["status"], "timeout")
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "5")
        rows = [row for row in self.service.audit() if row["session"] == self.id]
        self.assertEqual(rows[1]["command_sha256"], hashlib.sha256(b"echo\0a b\0").hexdigest())
        self.assertNotIn("code_sha256", rows[1])
        self.assertEqual(self.api.get(self.path("/history"))["executions"][1]["command"], True)
        run = {key: value for key, value in self.create.items() if key in ("backend", "host", "base_dir", "allow_unenforced")}
        result = self.api.post("/v1/run", {**run, "argv": ["sh", "-c", "exit 9"]})
        self.assertEqual((result["status"], result["exit_code"]), ("error", 9))

    def test_ends_of_commands(self):
        self.create = {**self.create, "set": {"grace": "60s", "output_limit": "1KiB"}}
        self.ok("x = 5")
        for body, code in (({"argv": ["no-such-program"]}, 127), ({"argv": ["/etc/passwd"]}, 126), ({"shell": "no-such-program"}, 127)):
            self.assertEqual(self.command(**body)["exit_code"], code)
        # Its direct child is its end, whoever holds the pipe; its standard input is at its end.
        result = self.command(shell="cat; setsid sleep 600 & sleep 600 & printf 'on\\377'")
        self.assertEqual((result["status"], result["stdout"], base64.b64decode(result["stdout_base64"])), ("ok", "on\ufffd", b"on\xff"))
        self.assertGreater(result["usage"]["memory_peak_bytes"], 0)
        result = self.command(shell="echo part; setsid sleep 600", timeout=setting(2))
        self.assertEqual((result["status"], result["stdout"]), ("timeout", "part\n"))
        result = self.command(shell="yes | head -c 5000")
        self.assertEqual((len(result["stdout"]), result["stdout_bytes"], result["stdout_truncated"]), (1024, 5000, True))
        stream = self.api.stream(self.path("/execute"), {"shell": "trap 'echo int; exit 4' INT; echo on; while :; do sleep .1; done"})
        self.assertEqual(stream.until("stdout")["text"], "on\n")
        self.assertTrue(self.api.post(self.path("/interrupt"))["interrupted"])
        result = stream.all().result
        self.assertEqual((result["status"], result["stdout"], result["state"]["outcome"]), ("cancelled", "on\nint\n", "kept"))
        left = "import os\nx, [p for p in os.listdir('/proc') if p.isdigit() and b'sleep' in open(f'/proc/{p}/cmdline', 'rb').read()]"
        self.assertEqual(self.ok(left)["results"][-1]["text/plain"], "(5, [])")


class Streams(SessionCase):
    def setUp(self):
        super().setUp()
        self.be_patient()

    def test_output_as_it_comes(self):
        stream = self.api.stream(self.path("/execute"), {
            "code": "import sys, time\nfor i in range(3):\n print(i, flush=True); time.sleep(0.3)\nprint('e', file=sys.stderr)",
            "create": self.create})
        stream.until("started")
        begin = time.monotonic()
        stream.until("stdout")
        self.assertLess(time.monotonic() - begin, scaled(5))
        self.assertIsNone(stream.result)
        stream.all()
        self.assertEqual((stream.stdout, stream.stderr), (b"0\n1\n2\n", b"e\n"))
        self.assertEqual((stream.result["status"], stream.result["stdout"], stream.result["id"]), ("ok", "0\n1\n2\n", stream.id))

    def test_characters_that_end_lines_for_some_readers(self):
        text = "a\u0085b\u2028c\u2029d\u2026\u00e9\u0084\u202a"
        body = {"code": f"print({text!a}, end='')", "create": self.create}
        _, _, content = self.api.raw("POST", self.path("/execute/events"), json.dumps(body))
        lines = content.decode().split("\n")
        self.assertEqual(content.decode().splitlines(), lines[:-1])
        data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        self.assertIn({"text": text}, data)
        self.assertEqual(data[-1]["stdout"], text)

    def test_bytes_that_are_no_text(self):
        stream = self.api.stream(self.path("/execute"), {
            "code": "import sys\nfor b in bytes(range(256)) + 'äöü€😀'.encode() * 50:\n sys.stdout.buffer.write(bytes([b])); sys.stdout.flush()",
            "create": self.create}).all()
        self.assertEqual(stream.stdout, bytes(range(256)) + "äöü€😀".encode() * 50)

    def test_characters_are_not_torn(self):
        stream = self.api.stream(self.path("/execute"), {
            "code": "import sys, time\nfor b in '€😀'.encode():\n sys.stdout.buffer.write(bytes([b])); sys.stdout.flush(); time.sleep(0.02)",
            "create": self.create})
        pieces = [data for name, data in stream if name == "stdout"]
        self.assertEqual("".join(piece["text"] for piece in pieces), "€😀")

    def test_stdin_while_it_runs(self):
        stream = self.api.stream(self.path("/execute"), {"code": "for line in iter(input, 'end'):\n print('got', line, flush=True)",
                                                         "stdin_open": True, "create": self.create})
        stream.until("started")
        for i in range(3):
            self.assertEqual(self.api.call("POST", self.path("/stdin"), f"{i}\n".encode())["taken"], 2)
            self.assertEqual(stream.until("stdout")["text"], f"got {i}\n")
        self.api.call("POST", f"/v1/executions/{stream.id}/stdin?end=1", b"end\n")
        self.assertEqual(stream.all().result["status"], "ok")
        self.refused(409, "conflict", self.api.call, "POST", self.path("/stdin"), b"x")
        self.refused(404, "not_found", self.api.call, "POST", f"/v1/executions/{stream.id}/stdin", b"x")

    def test_terminal(self):
        stream = self.api.stream(self.path("/execute"), {
            "shell": "stty -echo size; test -t 2 && echo all >&2; while read x; do stty size; done; exit 3", "terminal": {"rows": 24, "columns": 80},
            "stdin_open": True, "create": self.create})
        window, seen = f"/v1/executions/{stream.until('started') and stream.id}/window", ""
        while "all\r\n" not in seen:
            seen += stream.until("stdout")["text"]
        self.assertEqual(seen, "24 80\r\nall\r\n")
        self.assertEqual(self.api.post(window, {"rows": 50, "columns": 132}), {"resized": True})
        while "50 132\r\n" not in seen:
            self.api.call("POST", self.path("/stdin"), b"\n")
            seen += stream.until("stdout")["text"]
        self.api.call("POST", self.path("/stdin?end=1"), b"")
        result = stream.all().result
        self.assertEqual((result["exit_code"], result["stderr"]), (3, ""), result)
        self.assertTrue(result["stdout"].startswith(seen), result)
        self.refused(404, "not_found", self.api.post, window, {"rows": 1, "columns": 1})
        stream = self.api.stream(self.path("/execute"), {"shell": "echo on; sleep 600"})
        stream.until("stdout")
        self.refused(409, "conflict", self.api.post, f"/v1/executions/{stream.id}/window", {"rows": 1, "columns": 1})
        self.api.post(self.path("/interrupt"))
        self.assertEqual(stream.all().result["status"], "cancelled")

    def test_much_stdin(self):
        stream = self.api.stream(self.path("/execute"), {"code": "import sys, time\ntime.sleep(0.5)\nlen(sys.stdin.buffer.read())",
                                                         "stdin_open": True, "create": self.create})
        stream.until("started")
        self.api.call("POST", self.path("/stdin"), b"x" * 3 * MIB)
        self.api.call("POST", self.path("/stdin?end=1"), b"")
        self.assertEqual(stream.all().result["results"][-1]["text/plain"], str(3 * MIB))

    def test_stdin_that_nobody_reads(self):
        stream = self.api.stream(self.path("/execute"), {"code": "import time; time.sleep(1)", "stdin_open": True,
                                                         "create": self.create})
        stream.until("started")
        self.refused(409, "conflict", self.api.call, "POST", self.path("/stdin"), b"x" * 16 * MIB)
        self.assertEqual(stream.all().result["status"], "ok")

    def test_interrupt(self):
        self.ok("x = 7")
        stream = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        self.assertTrue(self.api.post(self.path("/interrupt"))["interrupted"])
        result = stream.all().result
        self.assertEqual((result["status"], result["state"]["outcome"], result["stdout"]), ("cancelled", "kept", "on\n"))
        self.assertFalse(self.api.post(self.path("/interrupt"))["interrupted"])
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "7")

    def test_interrupt_of_a_one_shot(self):
        stream = self.api.stream("/v1/run", {"code": "print('on', flush=True)\n" + FOREVER, **self.create})
        stream.until("stdout")
        self.assertTrue(self.api.post(f"/v1/executions/{stream.id}/interrupt")["interrupted"])
        self.assertEqual(stream.all().result["status"], "cancelled")

    def test_interrupt_of_one_that_waits(self):
        self.ok("x = 0")
        first = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        first.until("stdout")
        second = self.api.stream(self.path("/execute"), {"code": "x = 1"})
        second.until("accepted")
        self.api.post(f"/v1/executions/{second.id}/interrupt")
        self.assertEqual(second.until("error")["error"]["code"], "cancelled")
        self.api.post(f"/v1/executions/{first.id}/interrupt")
        self.assertEqual(first.all().result["status"], "cancelled")
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "0")

    def test_client_that_goes_away(self):
        self.ok("x = 7")
        before = process_size(self.service.pid)[0]
        stream = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER})
        stream.until("stdout")
        waiting = self.api.stream(self.path("/execute"), {"code": "x = 8"})
        waiting.until("accepted")
        waiting.close()
        wait_for(lambda: self.api.get(self.path())["queued"] == 0)
        stream.close()
        wait_for(lambda: self.state() == "idle")
        self.assertEqual(self.api.get(self.path("/history"))["executions"][-1]["status"], "cancelled")
        wait_for(lambda: process_size(self.service.pid)[0] <= before)
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "7")

    def test_a_lost_answer(self):
        """With a key the code goes on; the same request again gets the result."""
        self.ok("n = 0")
        body, key = {"code": "import time; n += 1; time.sleep(2); print(n)"}, {"Idempotency-Key": self.id}
        stream = self.api.stream(self.path("/execute"), body, headers=key)
        id = stream.until("started")["id"]
        stream.close()
        result = self.api.stream(self.path("/execute"), body, headers=key).all().result
        self.assertEqual((result["id"], result["status"], result["stdout"]), (id, "ok", "1\n"))
        self.assertEqual(self.api.get(f"/v1/executions/{id}"), result)
        self.assertEqual(self.ok("print(n)")["stdout"], "1\n")

    def test_slow_client(self):
        """Who does not read its events holds up neither the session nor anybody else, and gets the result all the same."""
        self.create = {**self.create, "set": {"output_limit": "40MiB"}}
        stream = self.api.stream(self.path("/execute"), {
            "code": "import sys\nfor i in range(30):\n sys.stdout.write('x' * 2**20)", "create": self.create})
        stream.until("started")
        wait_for(lambda: self.state() == "idle", 60)
        self.assertEqual(self.ok("1 + 1")["results"][-1]["text/plain"], "2")
        _, resident = process_size(self.service.pid)
        self.assertTrue(harness.SANITIZED or resident < 64 * 1024, resident)
        events = list(stream)
        dropped = sum(data["bytes"] for name, data in events if name == "dropped")
        self.assertGreater(len(stream.stdout), MIB)
        self.assertGreater(dropped, 0)
        self.assertEqual(len(stream.stdout) + dropped, 30 * MIB)
        self.assertEqual((stream.result["stdout_bytes"], len(stream.result["stdout"])), (30 * MIB, 30 * MIB))

    def test_c_client(self):
        body = json.dumps({"code": "import sys\nfor line in sys.stdin: print('got', line, end='')\nprint('e', file=sys.stderr)",
                           "create": self.create})
        reader, writer = os.pipe()
        process = self.service.popen("sh", "-c", 'exec "$0" stream "$1" "$2" stdin 3>&2', harness.TOOL, self.path("/execute"), body,
                                     stdin=reader)
        os.close(reader)
        os.write(writer, b"a\n")
        time.sleep(0.3)
        os.write(writer, b"b\n" * 50000)
        os.close(writer)
        out, err = process.communicate(timeout=HARD_LIMIT)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(out.decode(), "got a\n" + "got b\n" * 50000)
        self.assertTrue(err.startswith(b"e\n"))
        self.assertEqual(json.loads(err[2:])["status"], "ok")

    def test_c_client_that_reads_late(self):
        """What did not come in time comes with the result: all of it, in order, on both streams, whatever the bytes."""
        out = b"".join(b"%09d\xc3\xa4\n" % i for i in range(2 * MIB))
        err = b"".join(b"%09d\xff\n" % i for i in range(MIB))
        code = ("import sys\nout, err = sys.stdout.buffer, sys.stderr.buffer\n"
                "for j in range(0, 2 * 2**20, 4096):\n"
                " out.write(b''.join(b'%09d\\xc3\\xa4\\n' % i for i in range(j, j + 4096)))\n"
                " err.write(b''.join(b'%09d\\xff\\n' % i for i in range(j // 2, j // 2 + 2048)))\n")
        body = json.dumps({"code": code})
        self.create = {**self.create, "set": {"output_limit": "40MiB", "timeout": "300s"}}
        self.ok("1")
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as result:
            for file in (errors, result):
                os.set_inheritable(file.fileno(), True)
            process = self.service.popen(
                "sh", "-c", f'exec "$0" stream "$1" "$2" 2>&{errors.fileno()} 3>&{result.fileno()}', harness.TOOL, self.path("/execute"), body,
                pass_fds=(errors.fileno(), result.fileno()))
            wait_for(lambda: len(self.api.get(self.path("/history"))["executions"]) == 2, HARD_LIMIT)
            got, _ = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 0)
            self.assertEqual((len(got), got == out), (len(out), True))
            errors.seek(0)
            self.assertEqual(errors.read() == err, True)
            result.seek(0)
            self.assertEqual(json.loads(result.read())["status"], "ok")

    def test_c_client_cancels(self):
        self.ok("x = 9")
        process = self.service.popen("sh", "-c", 'exec "$0" stream "$1" "$2" 3>&2', harness.TOOL, self.path("/execute"),
                                     json.dumps({"code": "print('on', flush=True)\n" + FOREVER}), start_new_session=True)
        self.assertEqual(process.stdout.readline(), b"on\n")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=HARD_LIMIT)
        self.assertIn(b'"cancelled"', err)
        self.assertEqual(self.ok("x")["results"][-1]["text/plain"], "9")


class Files(SessionCase):
    def put(self, name, content):
        return self.api.call("PUT", self.path("/files/" + name), content)

    def test_files(self):
        self.ok("import os; os.makedirs('d/e'); open('d/e/f', 'w').write('inside')")
        self.put("new/file%20with%20space", b"\0outside\xff")
        listed = {row["path"]: row for row in self.api.get(self.path("/files"))["files"]}
        self.assertEqual(listed["d/e/f"]["size"], 6)
        self.assertEqual((listed["d"]["type"], listed["new/file with space"]["type"]), ("directory", "file"))
        self.assertEqual(self.api.get(self.path("/files/d/e/f")), b"inside")
        self.assertEqual(self.api.get(self.path("/files/new/file%20with%20space")), b"\0outside\xff")
        self.put("empty", b"")
        self.assertEqual(self.api.get(self.path("/files/empty")), b"")
        self.assertEqual([row["path"] for row in self.api.get(self.path("/files?path=d"))["files"]], ["d/e", "d/e/f"])
        result = self.ok("sorted(open('new/file with space', 'rb').read())[:2], os.access('new/file with space', os.W_OK)")
        self.assertEqual(result["results"][-1]["text/plain"], "([0, 100], True)")
        self.refused(409, "conflict", self.api.delete, self.path("/files/d"))
        self.api.delete(self.path("/files/d?recursive=1"))
        self.refused(404, "not_found", self.api.get, self.path("/files/d/e/f"))

    def test_paths_that_leave(self):
        self.ok("import os; os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'dir')")
        os.mkfifo(os.path.join(self.service.base, self.id, "fifo"))
        for path in ("../x", "a/../../x", "%2e%2e/x", "/etc/passwd", "%2Fetc%2Fpasswd", "link", "dir/passwd", "fifo", "a//b"):
            with self.assertRaises(Failure, msg=path) as caught:
                self.api.get(self.path("/files/" + path))
            self.assertLess(caught.exception.status, 500, (path, caught.exception))
        with self.assertRaises(Failure):
            self.put("dir/x", b"1")
        self.refused(400, "invalid", self.put, "", b"1")

    def test_names_that_are_no_text(self):
        self.ok(r"import os; open(b'\xff\xfe', 'w').write('1')")
        row = self.api.get(self.path("/files"))["files"][0]
        self.assertEqual(base64.b64decode(row["path_base64"]), b"\xff\xfe")
        self.assertEqual(self.api.get(self.path("/files/%FF%FE")), b"1")

    def test_large_file(self):
        content = os.urandom(20 * MIB)
        self.ok("1")
        self.put("large", content)
        self.assertEqual(self.api.get(self.path("/files/large")), content)

    def test_files_while_code_runs(self):
        stream = self.api.stream(self.path("/execute"), {"code": "print('on', flush=True)\n" + FOREVER, "create": self.create})
        stream.until("stdout")
        self.put("meanwhile", b"1")
        self.assertEqual(self.api.get(self.path("/files/meanwhile")), b"1")
        self.api.post(self.path("/interrupt"))
        stream.all()

    def test_deleting_with_the_session(self):
        self.ok("open('f', 'w').write('1')")
        self.api.delete(self.path())
        self.assertTrue(os.path.exists(os.path.join(self.service.base, self.id, "f")))
        self.assertEqual(self.ok("open('f').read()")["results"][-1]["text/plain"], "'1'")
        self.assertTrue(self.api.delete(self.path("?files=1"))["files_deleted"])
        self.assertFalse(os.path.exists(os.path.join(self.service.base, self.id)))


CASES = (Basics, Streams, Files)

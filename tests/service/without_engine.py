# SPDX-License-Identifier: MIT
"""What can be tested where no engine is: starting and ending, HTTP, limits, the token."""
import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import unittest
from unittest import mock

from harness import (HARD_LIMIT, PROGRAM, Case, Service, process_size, scaled, wait_for)
import harness
import openapi
from speed import set_seconds

sys.path.insert(0, os.path.join(openapi.TOP, "bindings/python"))
import dsandbox  # noqa: E402
from dsandbox import _http as dsandbox_http  # noqa: E402

MIB = 1 << 20


def connect(path, timeout=HARD_LIMIT):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(path)
    return sock


class Starting(unittest.TestCase):
    def test_many_clients_start_one_service(self):
        service = Service(start=False)
        clients = [service.popen(harness.TOOL, "start") for _ in range(30)]
        pids = set()
        for client in clients:
            out, err = client.communicate(timeout=HARD_LIMIT)
            self.assertEqual(client.returncode, 0, err)
            pids.add(json.loads(out)["pid"])
        self.assertEqual(len(pids), 1)
        version = service.api.get("/v1/version")
        self.assertEqual({version["pid"]}, pids)
        os.kill(version["pid"], signal.SIGTERM)
        service.api.close()
        wait_for(lambda: not os.path.exists(f"/proc/{version['pid']}"))

    def test_a_client_that_may_not_start_one(self):
        service = Service(start=False)
        status, _, err = service.tool("call", "GET", "/v1/version")
        self.assertEqual(status, 1)
        self.assertIn("no service answers", err)

    def test_a_service_that_cannot_start_says_why(self):
        service = Service(start=False)
        os.rmdir(service.state)
        with open(service.state, "w", encoding="utf-8"):
            pass
        status, _, err = service.tool("start")
        self.assertEqual(status, 1)
        self.assertIn("state directory", err)

    def test_second_service_on_one_socket(self):
        with Service() as service:
            second = service.popen(PROGRAM, "serve")
            _, err = second.communicate(timeout=HARD_LIMIT)
            self.assertEqual(second.returncode, 125)
            self.assertIn(b"a service has the socket", err)
            service.api.get("/v1/version")

    def test_socket_of_a_dead_service(self):
        service = Service()
        service.kill()
        self.assertTrue(os.path.exists(service.socket))
        status, out, err = service.tool("start")
        self.assertEqual(status, 0, err)
        service.process = None
        pid = json.loads(out)["pid"]
        with open(f"/proc/{pid}/fdinfo/2", encoding="ascii") as log:
            flags = int(next(line for line in log if line.startswith("flags:")).split()[1], 8)
        self.assertTrue(flags & os.O_APPEND, "the service's log")
        os.kill(pid, signal.SIGTERM)

    def test_the_lock_outlives_a_dead_service(self):
        """As with a big one that was killed: the kernel has not yet taken all from it, and nobody answers."""
        service = Service(start=False)
        os.mkdir(os.path.join(service.run, "dsandbox"), 0o700)
        os.chown(os.path.join(service.run, "dsandbox"), harness.WORK.uid, -1)
        lock = os.path.join(service.run, "dsandbox/api.pid")
        with open(lock, "w", encoding="ascii") as held:
            os.chown(lock, harness.WORK.uid, -1)
            fcntl.flock(held, fcntl.LOCK_EX)
            client = service.popen(harness.TOOL, "start")
            second = service.popen(PROGRAM, "serve", "--idle", "1s")
            self.assertIn(b"waiting for the end", second.stderr.readline())
            self.assertIsNone(client.poll(), client.poll() is not None and client.stderr.read())
        out, err = client.communicate(timeout=HARD_LIMIT)
        self.assertEqual(client.returncode, 0, err)
        os.kill(json.loads(out)["pid"], signal.SIGTERM)
        second.communicate(timeout=HARD_LIMIT)

    def test_starts_while_others_are_killed(self):
        """Whoever asks just after a kill gets a service, and a new one."""
        service = Service(start=False)
        last = None
        for _ in range(20):
            status, out, err = service.tool("start")
            self.assertEqual(status, 0, err)
            pid = json.loads(out)["pid"]
            self.assertNotEqual(pid, last)
            os.kill(pid, signal.SIGKILL)
            last = pid

    def test_start_while_another_ends(self):
        service = Service(start=False)
        for _ in range(10):
            status, out, err = service.tool("start")
            self.assertEqual(status, 0, err)
            os.kill(json.loads(out)["pid"], signal.SIGTERM)
            wait_for(lambda: not os.path.exists(service.socket), step=0.001)  # it takes no more, and may not be gone
        wait_for(lambda: not os.path.exists(f"/proc/{json.loads(out)['pid']}"))

    def test_modes(self):
        with Service() as service:
            self.assertEqual(stat.S_IMODE(os.stat(service.socket).st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(service.socket)).st_mode), 0o700)

    def test_directory_that_others_can_write(self):
        run = harness.WORK.dir("run")
        os.mkdir(os.path.join(run, "dsandbox"))
        os.chmod(os.path.join(run, "dsandbox"), 0o777)
        service = Service(run=run, start=False)
        process = service.popen(PROGRAM, "serve")
        _, err = process.communicate(timeout=HARD_LIMIT)
        self.assertEqual(process.returncode, 125)
        self.assertIn(b"not yours alone", err)
        self.assertEqual(service.tool("start")[0], 1)

    def test_bad_options(self):
        service = Service(start=False)
        for options, word in ((["--idle", "0"], b"--idle"), (["--idle", "soon"], b"--idle"), *(
                (["--idle", idle], b"--idle") for idle in ("0x10", "1e1s", "5.", ".5m", "+5", "", "5d")), (["--no-such"], b"no-such"),
                              (["extra"], b"extra"), (["--max-sessions", "0"], b"--max-sessions"),
                              (["--token-file", "/x"], b"--listen"), (["--socket", "relative"], b"absolute")):
            process = service.popen(PROGRAM, "serve", *options)
            _, err = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 125, options)
            self.assertIn(word, err)

    def test_leaves_when_idle(self):
        service = Service(idle="1s", start=False)
        begin = time.monotonic()
        process = service.popen(PROGRAM, "serve", *service.options)
        _, err = process.communicate(timeout=HARD_LIMIT)
        self.assertEqual(process.returncode, 0, err)
        self.assertGreater(time.monotonic() - begin, 0.5)
        self.assertFalse(os.path.exists(service.socket))

    def test_requests_keep_it(self):
        service = Service(idle=f"{set_seconds(5)}s")
        for _ in range(5):
            time.sleep(set_seconds(5) / 4)
            service.api.get("/v1/version")
        self.assertIsNone(service.process.poll())
        service.stop()

    def test_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            service = Service()
            self.assertEqual(service.stop(number), 0)
            self.assertFalse(os.path.exists(service.socket))


class Http(Case):
    def test_version(self):
        version = self.api.get("/v1/version")
        self.assertEqual((version["sessions"], version["executing"], version["queued"]), (0, 0, 0))
        self.assertEqual(version["pid"], self.service.pid)

    def test_documents(self):
        with open(os.path.join(openapi.TOP, "doc/openapi.json"), encoding="utf-8") as document:
            self.assertEqual(self.api.get("/openapi.json"), json.load(document))
        self.assertEqual(self.api.get("/result.schema.json")["title"], "dsandbox.result/1")

    def test_unknown_paths(self):
        for path in ("/", "/v1", "/v2/version", "/v1/version/x", "/v1/sessions/a/nothing", "/v1/%ff",
                     "/openapi.json/x"):
            self.refused(404, "not_found", self.api.get, path)

    def test_unknown_methods(self):
        for method, path in (("PUT", "/v1/version"), ("DELETE", "/v1/sessions"), ("GET", "/v1/run"),
                             ("PATCH", "/v1/sessions/a"), ("GET", "/v1/sessions/a/execute")):
            self.refused(405, "unsupported", self.api.call, method, path)

    def test_the_methods_that_a_path_has(self):
        for method, path, allow in (("PUT", "/v1/version", "GET, HEAD"), ("DELETE", "/v1/sessions", "GET, HEAD, POST"),
                                    ("PATCH", "/v1/sessions/a", "GET, HEAD, DELETE"),
                                    ("POST", "/v1/sessions/a/files/b", "GET, HEAD, PUT, DELETE"),
                                    ("PUT", "/v1/sessions/a/files", "GET, HEAD"), ("QUERY", "/v1/run", "POST")):
            with contextlib.closing(connect(self.service.socket)) as sock:
                sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
                answer = http.client.HTTPResponse(sock)
                answer.begin()
                self.assertEqual((answer.status, answer.getheader("Allow")), (405, allow))

    def test_queries(self):
        for method, path, name in (
                ("GET", "/v1/version?x=1", "x"), ("GET", "/v1/sessions?lable=a", "lable"),
                ("POST", "/v1/sessions?label=a", "label"), ("POST", "/v1/run?wait=0", "wait"),
                ("GET", "/v1/sessions/a/files?pth=d", "pth"), ("GET", "/v1/sessions/a/files/f?path=d", "path"),
                ("GET", "/v1/sessions/a/files?path=d&path=e", "path"), ("PUT", "/v1/sessions/a/files/f?mode=1", "mode"),
                ("DELETE", "/v1/sessions/a?file=1", "file"), ("DELETE", "/v1/sessions/a?files=yes", "files"),
                ("DELETE", "/v1/sessions/a?files", "files"), ("DELETE", "/v1/sessions/a?files=1&files=0", "files"),
                ("DELETE", "/v1/sessions/a?fil%65s=TRUE", "files"), ("DELETE", "/v1/sessions/a?files=%00", "files"),
                ("DELETE", "/v1/sessions/a/files/f?recursive=on", "recursive"),
                ("POST", "/v1/sessions/a/stdin?end=no", "end"), ("POST", "/v1/executions/a/stdin?end=2", "end")):
            message = self.refused(400, "invalid", self.api.call, method, path)
            self.assertIn(f'"{name}"', message, path)
        for flag in ("0", "1", "true", "false"):
            self.refused(404, "not_found", self.api.call, "DELETE", f"/v1/sessions/a?files={flag}")
            self.refused(404, "not_found", self.api.call, "POST", f"/v1/executions/a/stdin?end={flag}")

    def test_unknown_members_are_named(self):
        for path, body in (("/v1/sessions", {"memroy": 1}), ("/v1/run", {"code": "1", "memroy": 1}),
                           ("/v1/sessions/a/execute", {"code": "1", "memroy": 1}), ("/v1/gc", {"memroy": 1}),
                           ("/v1/sessions/a/execute", {"code": "1", "create": {"memroy": 1}})):
            self.assertIn("memroy", self.refused(400, "invalid", self.api.post, path, body))

    def test_wrong_values_are_named(self):
        for member, values in {
                "id": ("", "a/b", "..", "a" * 65, 1, None), "labels": ([], {"a": 1}, {"": "x"}, {"a=b": "x"}),
                "policy": ([], "x", {"memory": "lots"}, {"no_such_key": 1}), "set": ([], {"memory": []}, {"no_such": "1"}),
                "allow_unenforced": ("memory", ["no_such"], [1]), "idle_timeout": (
                    0, -1, "soon", "1d", True, 1e300, "0x10", "0x10s", "1e1s", "1e3", "5.", "5.s", ".5", "+5", " 5", "5 s",
                    "-1s", "nan", "inf", "1s\x00"),
                "engine_timeout": ("0x10", "1e1s", "5."),
                "mount": ("other", 1), "checkpoint": ("yes", 1, True, False, "", "Idle", "idle\0", ["idle"]), "backend": (1, []), "base_dir": ("relative",)}.items():
            for value in values:
                message = self.refused(400, "invalid", self.api.post, "/v1/sessions", {member: value})
                inner = list(value)[0] if isinstance(value, dict) and value else member
                self.assertTrue(member in message or inner in message, (member, value, message))
                if member == "checkpoint":
                    self.assertIn("there are idle, always and off, not", message)

    def test_wrong_executions(self):
        for body in ({}, {"code": 1}, {"code": None}, {"code": "1", "argv": "x"}, {"code": "1", "env": {"A": 1}},
                     {"code": "1", "stdin": "a", "stdin_base64": "YQ=="}, {"code": "1", "timeout": "soon"},
                     {"code": "1", "timeout": "0x10"}, {"code": "1", "timeout": "1e1s"}, {"code": "1", "timeout": "5."},
                     {"code": "1", "stdin_base64": "!!!!"}, {"code": "1", "stdin_base64": "YQ"},
                     {"code": "1", "stdin_base64": "YQ==\n"}, {"code": "1", "stdin_base64": "Y=Q="},
                     {"code": "1", "stdin_base64": "===="}, {"code": "1", "stdin_base64": "YQ-_"},
                     {"code": "1", "wait": "no"}, {"code": "1", "create": []}):
            self.refused(400, "invalid", self.api.post, "/v1/sessions/a/execute", body)
            self.refused(400, "invalid", self.api.post, "/v1/run", body)
        for wrong in ({"env": {"A B": "1"}}, {"env": {"": "1"}}, {"env": {"1A": "1"}}, {"env": ["A"]}, {"env": ["=1"]}, {"env": {"A=B": "1"}},
                      {"env": {f"A{i}": "1" for i in range(257)}}, {"argv": ["x" * (17 * MIB)]}):
            self.refused(400, "invalid", self.api.post, "/v1/sessions/a/execute", {"code": "1", **wrong})
            said = self.refused(400, "invalid", self.api.post, "/v1/run", {"code": "1", **wrong})
            self.assertNotIn("must be a text", said, "it is one")
        for image in ("", "-x", "a b", "x" * 256):
            self.refused(400, "invalid", self.api.post, "/v1/sessions", {"image": image})
            self.refused(400, "invalid", self.api.post, "/v1/run", {"code": "1", "image": image})
        self.refused(400, "invalid", self.api.post, "/v1/run", {"code": "1", "id": "a"})
        self.refused(400, "invalid", self.api.post, "/v1/sessions/-bad/execute", {"code": "1"})

    def test_bodies_that_are_no_json_object(self):
        for body in ("{", "[]", "1", "nul", "{}{}", "{'a':1}", b"\xff", '{"code":"1"', "[" * 1000, '{"a":' * 100):
            self.refused(400, "invalid", self.api.call, "POST", "/v1/run", body)

    def test_bodies_that_two_readers_could_read_in_two_ways(self):
        where = json.dumps(self.service.where)[1:-1]
        for body, part in (('{"code":"1","code":"2"}', "twice"), ('{"code":"1","c\\u006fde":"2"}', "twice"),
                           ('{"code":"1","policy":{"locked":["memory"],"locked":[]}}', "policy.locked"),
                           ('{"code":"1","env":{"A":"1","A":"2"}}', "env.A"), ('{"code":"\\ud800"}', "surrogate"),
                           ('{"code":"\\udc00"}', "surrogate"), ('{"code":"\\ud800\\ud800"}', "surrogate"),
                           ('{"code":"\\ud800x\\udc00"}', "surrogate"), ('{"code":"1","env":{"\\udfff":"1"}}', "surrogate"),
                           ('{"code":"1","timeout":5.}', "5."), ('{"code":"1","timeout":NaN}', "NaN"),
                           ('{"code":"1","timeout":-Infinity}', "-Infinity"), ('{"code":"1","e\\u0000":1}', "NUL")):
            self.assertIn(part, self.refused(400, "invalid", self.api.call, "POST", "/v1/run", body), body)
        for member in ('"code":"\\ud83d\\ude00\\\\ud800"', '"code":"\\u0000"', '"code":"1","timeout":1.5e1',
                       '"code":"1","timeout":"1.5s"', '"code":"1","stdin_base64":""', '"code":"1","stdin_base64":"YWI="'):
            result = self.api.call("POST", "/v1/run", f"{{{member},{where}}}")
            self.assertEqual(result["failure"]["code"], "unavailable", member)

    def test_a_bad_environment_is_the_same_everywhere(self):
        """For each verb of the program, over HTTP and for the Python package: nothing is run, for the same reason."""
        client, where = dsandbox.Client(self.service.socket), self.service.where
        options = {"backend": where["backend"], "host": where["host"]}
        with mock.patch.object(dsandbox.Session, "_open"):  # there is no sandbox, and none is needed
            runs = dsandbox.Sandbox(client=client, **options).run, dsandbox.Session("a", client=client, **options).run
        for name in ("A B", "", "1A", "A-B"):
            said = {}
            for args in (("run",), ("run", "-s", "a"), ("exec", "a")):
                process = self.service.popen(PROGRAM, *args, "--backend", where["backend"], "--host", where["host"], "-c", "1",
                                             "--env", f"{name}=1")
                _, err = process.communicate(timeout=HARD_LIMIT)
                self.assertEqual(process.returncode, 125, err)
                said[args] = err.decode().partition("dsandbox: ")[2].rstrip()
            for path, more in (("/v1/run", where), ("/v1/sessions/a/execute", {"create": where})):
                said[path] = self.refused(400, "invalid", self.api.post, path, {"code": "1", "env": {name: "1"}, **more})
            for run in runs:
                with self.assertRaises(dsandbox.InvalidError) as caught:
                    run("1", env={name: "1"})
                said[run.__qualname__] = caught.exception.message
            self.assertEqual(len(set(said.values())), 1, said)
            self.assertIn(f'env: "{name}=1" must have a name of letters', said["/v1/run"])

    def test_no_such_session(self):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/vars"), ("GET", "/history"), ("GET", "/files"),
                             ("GET", "/files/a"), ("POST", "/reset"), ("POST", "/interrupt"), ("POST", "/save"),
                             ("POST", "/restore"), ("POST", "/stdin")):
            self.refused(404, "not_found", self.api.call, method, "/v1/sessions/none" + path)
        self.refused(404, "not_found", self.api.run, "none", "1")
        self.refused(404, "not_found", self.api.post, "/v1/executions/none/interrupt")

    def test_no_engine(self):
        result = self.api.post("/v1/run", {"code": "1", **self.service.where})
        self.assertEqual((result["status"], result["failure"]["code"]), ("error", "unavailable"))
        self.refused(503, "unavailable", self.api.post, "/v1/sessions", {"id": "a", **self.service.where})
        result = self.api.run("a", "1", create=self.service.where)
        self.assertEqual(result["failure"]["code"], "unavailable")
        wait_for(lambda: self.api.get("/v1/version")["sessions"] == 0)
        self.refused(404, "not_found", self.api.get, "/v1/sessions/a")

    def test_no_engine_as_events(self):
        stream = self.api.stream("/v1/run", {"code": "1", **self.service.where}).all()
        self.assertEqual(stream.result["failure"]["code"], "unavailable")
        for path in ("/v1/run/events", "/v1/sessions/a/execute/events"):
            body = {"code": "1", **(self.service.where if "run" in path else {"create": self.service.where})}
            status, headers, content = self.api.raw("POST", path, json.dumps(body))
            self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
            self.assertIn(b"\nevent: result\ndata: {", content)
        wait_for(lambda: self.api.get("/v1/version")["sessions"] == 0)  # it goes after the answer, and a list has none that ends

    def test_the_c_client(self):
        status, out, _ = self.service.tool("call", "GET", "/v1/sessions")
        self.assertEqual((status, json.loads(out)), (0, {"sessions": []}))
        status, _, err = self.service.tool("call", "GET", "/v1/sessions/none")
        self.assertEqual(status, 1)
        self.assertIn("there is no session 'none'", err)


class Limits(Case):
    def test_body_too_large(self):
        self.refused(413, "limit", self.api.call, "POST", "/v1/run", b" " * (32 * MIB + 1))
        self.api.close()
        self.api.get("/v1/version")

    def said(self, sock):
        """The whole answer, up to the end of the connection."""
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 413 "), answer)
        self.assertEqual(json.loads(body)["error"]["code"], "limit")

    def test_a_body_of_any_size_is_refused_before_it_comes(self):
        for size in (32 * MIB + 1, 64 * MIB, 64 * MIB + 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1):
            with self.subTest(size=size), contextlib.closing(connect(self.service.socket)) as sock:
                sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
                self.said(sock)

    def test_the_clients_say_so(self):
        for size in (32 * MIB + 1, 64 * MIB + 1, 150 * MIB):
            with self.subTest(size=size):
                self.refused(413, "limit", self.api.call, "POST", "/v1/run", b" " * size)
                self.api.close()
                status, _, err = self.service.tool("spaces", "POST", "/v1/run", str(size))
                self.assertEqual(status, 1)
                self.assertIn("the body has more than 32 MiB", err)
                with self.assertRaises(dsandbox.Error) as caught:
                    dsandbox_http.Http(self.service.socket).call("POST", "/v1/run", b" " * size)
                self.assertIn("the body has more than 32 MiB", str(caught.exception))
        self.api.get("/v1/version")

    def test_refusing_leaves_nothing(self):
        before = process_size(self.service.pid)
        for _ in range(100):
            with contextlib.closing(connect(self.service.socket)) as sock:
                sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 10000)
                self.said(sock)
        wait_for(lambda: process_size(self.service.pid)[0] <= before[0])

    def test_chunked_body_is_refused_at_the_limit(self):
        """Without its end, and however long it would be."""
        sock = connect(self.service.socket)
        sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(33):
                sock.sendall(chunk)
        self.said(sock)
        sock.close()
        _, resident = process_size(self.service.pid)
        self.assertTrue(harness.SANITIZED or resident < 200 * 1024, resident)

    def test_body_of_the_largest_size(self):
        self.refused(404, "not_found", self.api.call, "PUT", "/v1/sessions/none/files/a", b"x" * (32 * MIB))
        code = json.dumps({"code": "#" * (32 * MIB - 100)})
        self.assertIn("possible; put data into files", self.refused(400, "invalid", self.api.call, "POST", "/v1/run", code))

    def test_head_too_large(self):
        sock = connect(self.service.socket)
        with self.assertRaises(OSError):
            for _ in range(100):
                sock.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 4000 + b"\r\n")
            answer = sock.recv(4096)
            if not answer or not answer.startswith(b"HTTP/1.1 200"):
                raise OSError("cut, or refused")
        sock.close()
        self.api.get("/v1/version")

    def test_garbage(self):
        for text in (b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /v1/version HTTP/1.0\r\n\r\n",
                     b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET //// HTTP/1.1\r\nHost: [\r\n\r\n", b"GET /v1/version HTTP/1.1\r\n\r\n",
                     b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"GET http://other/v1/version HTTP/1.1\r\nHost: x\r\n\r\n"):
            sock = connect(self.service.socket)
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
            sock.close()
            self.api.get("/v1/version")

    def test_slow_clients_block_nobody(self):
        slow = [connect(self.service.socket) for _ in range(50)]
        for i, sock in enumerate(slow):
            sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"[: 10 + i])
        begin = time.monotonic()
        for _ in range(20):
            self.api.get("/v1/version")
        self.assertLess(time.monotonic() - begin, scaled(5))
        for sock in slow:
            sock.close()

    def test_clients_that_do_not_read(self):
        silent = [connect(self.service.socket) for _ in range(50)]
        for sock in silent:
            sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(20):
            self.api.get("/v1/version")
        for sock in silent:
            sock.close()

    def test_too_many_connections(self):
        """The silent ones go first; whoever says something is served."""
        idle = [connect(self.service.socket) for _ in range(300)]
        self.api.close()
        for _ in range(5):
            self.api.get("/v1/version")
            self.api.close()
        descriptors, _ = process_size(self.service.pid)
        self.assertLess(descriptors, 400)
        for sock in idle:
            sock.close()

    def test_nothing_is_left_of_1000_connections(self):
        before = None
        for i in range(1000):
            self.api.get("/v1/sessions")
            self.api.close()
            if i == 100:
                before = process_size(self.service.pid)
        after = process_size(self.service.pid)
        self.assertLessEqual(after[0], before[0] + 3)
        self.assertTrue(harness.SANITIZED or after[1] < before[1] + 4096, (before, after))


class Patience(Case):
    long = "the service's own deadline"

    def test_half_a_request_is_answered(self):
        """At the deadline, 30 seconds after the connection."""
        with contextlib.closing(connect(self.service.socket)) as sock:
            sock.settimeout(harness.HARD_LIMIT)
            sock.sendall(b"GET /v1/sessions HTTP/1.1\r\nHost: x\r\n")
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertRegex(head, rb"^HTTP/1\.1 408 ")
        self.assertEqual(json.loads(body)["error"], {"code": "invalid", "message": "the head of the request did not come to its end in time"})


class Token(unittest.TestCase):
    WORD = "correct-horse-battery-staple"

    def serve(self, *more, token=None, address="127.0.0.1:0"):
        path = token or harness.WORK.file(self.WORD + "\n")
        service = Service("--listen", address, "--token-file", path, *more)
        line = next(line for line in service.said().splitlines() if "listening on" in line)
        return service, int(line.partition("port ")[2].split(",")[0])

    @staticmethod
    def ask(port, token=None, context=None, path="/v1/version", scheme="Bearer"):
        connection = (http.client.HTTPSConnection("127.0.0.1", port, timeout=scaled(20), context=context) if context
                      else http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(20)))
        connection.request("GET", path, headers={"Authorization": f"{scheme} {token}"} if token is not None else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content)

    def test_token(self):
        service, port = self.serve()
        with service:
            self.assertEqual(self.ask(port, self.WORD)[0], 200)
            for wrong in (None, "", "x", self.WORD[:-1], self.WORD + "x", self.WORD.upper()):
                status, answer = self.ask(port, wrong)
                self.assertEqual((status, answer["error"]["code"]), (401, "denied"), wrong)
                self.assertEqual(self.ask(port, wrong, path="/openapi.json")[0], 401)
            self.assertEqual(self.ask(port, self.WORD, scheme="Basic")[0], 401)
            with contextlib.closing(socket.create_connection(("127.0.0.1", port), scaled(20))) as sock:
                sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
                self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 401 "), "who it is comes first")
            service.api.get("/v1/version")

    def test_token_files(self):
        link = os.path.join(harness.WORK.path, "link")
        os.symlink(harness.WORK.file(self.WORD), link)
        for path, word in ((harness.WORK.file(self.WORD, 0o644), b"chmod 600"), (harness.WORK.file("short"), b"one word"),
                           (harness.WORK.file("two words of it, and more"), b"one word"), (harness.WORK.file(b"\0" * 32), b"one word"),
                           (harness.WORK.file("x" * 5000), b"one word"), (link, b"cannot open"), ("/no/such", b"cannot open"),
                           ("/dev/null", b"regular file"), (None, b"--token-file")):
            service = Service(start=False)
            process = service.popen(PROGRAM, "serve", "--listen", "127.0.0.1:0", *(["--token-file", path] if path else []))
            _, err = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 125, path)
            self.assertIn(word, err)

    def test_not_in_the_clear(self):
        token = harness.WORK.file(self.WORD)
        for address, word in (("0.0.0.0:0", b"--tls-cert"), ("nonsense", b"ADDRESS:PORT"), ("example.org:1", b"ADDRESS:PORT")):
            service = Service(start=False)
            process = service.popen(PROGRAM, "serve", "--listen", address, "--token-file", token)
            _, err = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 125, address)
            self.assertIn(word, err)

    def test_connections_without_a_token_do_not_block_the_socket(self):
        service, port = self.serve()
        with service:
            idle = []
            for _ in range(300):
                idle.append(socket.create_connection(("127.0.0.1", port), 20))
            service.api.get("/v1/version")
            self.assertEqual(self.ask(port, self.WORD)[0], 200)
            for sock in idle:
                sock.close()

    def test_tls(self):
        cert, key = harness.WORK.file(""), harness.WORK.file("")
        try:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            self.skipTest("openssl is not installed")
        service, port = self.serve("--tls-cert", cert, "--tls-key", key, address="0.0.0.0:0")
        with service:
            context = ssl.create_default_context(cafile=cert)
            self.assertEqual(self.ask(port, self.WORD, context)[0], 200)
            self.assertEqual(self.ask(port, "wrong", context)[0], 401)
            with self.assertRaises((OSError, http.client.HTTPException)):
                self.ask(port, self.WORD)
            service.api.get("/v1/version")


CASES = (Starting, Http, Limits, Patience, Token)

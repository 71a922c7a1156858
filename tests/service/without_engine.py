# SPDX-License-Identifier: MIT
"""What can be tested where no engine is: starting and ending, HTTP, limits, the token."""
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import time
import unittest

from harness import (HARD_LIMIT, PROGRAM, Case, Service, process_size, wait_for)
import harness
import schema

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
        os.kill(json.loads(out)["pid"], signal.SIGTERM)

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
        for options, word in ((["--idle", "0"], b"--idle"), (["--idle", "soon"], b"--idle"), (["--no-such"], b"no-such"),
                              (["extra"], b"extra"), (["--max-sessions", "0"], b"--max-sessions"),
                              (["--token-file", "/x"], b"--listen"), (["--socket", "relative"], b"absolute")):
            process = service.popen(PROGRAM, "serve", *options)
            _, err = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 125, options)
            self.assertIn(word, err)

    def test_leaves_when_idle(self):
        service = Service(idle="1s")
        begin = time.monotonic()
        self.assertEqual(service.process.wait(20), 0)
        self.assertGreater(time.monotonic() - begin, 0.5)
        self.assertFalse(os.path.exists(service.socket))
        service.log.close()

    def test_requests_keep_it(self):
        service = Service(idle="2s")
        for _ in range(6):
            time.sleep(0.7)
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
        with open(os.path.join(schema.TOP, "doc/openapi.json"), encoding="utf-8") as document:
            self.assertEqual(self.api.get("/openapi.json"), json.load(document))
        self.assertEqual(self.api.get("/result.schema.json")["title"], "dsandbox.result/1")

    def test_unknown_paths(self):
        for path in ("/", "/v1", "/v1/", "/v2/version", "/v1/version/x", "/v1/sessions/a/nothing", "/v1/%ff", "/v1/a%00b",
                     "/openapi.json/x"):
            self.refused(404, "not_found", self.api.get, path)

    def test_unknown_methods(self):
        for method, path in (("PUT", "/v1/version"), ("DELETE", "/v1/sessions"), ("GET", "/v1/run"),
                             ("PATCH", "/v1/sessions/a"), ("GET", "/v1/sessions/a/execute")):
            self.refused(405, "unsupported", self.api.call, method, path)

    def test_unknown_members_are_named(self):
        for path, body in (("/v1/sessions", {"memroy": 1}), ("/v1/run", {"code": "1", "memroy": 1}),
                           ("/v1/sessions/a/execute", {"code": "1", "memroy": 1}), ("/v1/gc", {"memroy": 1}),
                           ("/v1/sessions/a/execute", {"code": "1", "create": {"memroy": 1}})):
            self.assertIn("memroy", self.refused(400, "invalid", self.api.post, path, body))

    def test_wrong_values_are_named(self):
        for member, values in {
                "id": ("", "a/b", "..", "a" * 65, 1, None), "labels": ([], {"a": 1}, {"": "x"}, {"a=b": "x"}),
                "policy": ([], "x", {"memory": "lots"}, {"no_such_key": 1}), "set": ([], {"memory": []}, {"no_such": "1"}),
                "allow_unenforced": ("memory", ["no_such"], [1]), "idle_timeout": (0, -1, "soon", "1d", True, 1e300),
                "mount": ("other", 1), "checkpoint": ("yes", 1), "backend": (1, []), "base_dir": ("relative",)}.items():
            for value in values:
                message = self.refused(400, "invalid", self.api.post, "/v1/sessions", {member: value})
                inner = list(value)[0] if isinstance(value, dict) and value else member
                self.assertTrue(member in message or inner in message, (member, value, message))

    def test_wrong_executions(self):
        for body in ({}, {"code": 1}, {"code": None}, {"code": "1", "argv": "x"}, {"code": "1", "env": {"A": 1}},
                     {"code": "1", "stdin": "a", "stdin_base64": "YQ=="}, {"code": "1", "timeout": "soon"},
                     {"code": "1", "wait": "no"}, {"code": "1", "create": []}):
            self.refused(400, "invalid", self.api.post, "/v1/sessions/a/execute", body)
            self.refused(400, "invalid", self.api.post, "/v1/run", body)
        self.refused(400, "invalid", self.api.post, "/v1/run", {"code": "1", "id": "a"})
        self.refused(400, "invalid", self.api.post, "/v1/sessions/-bad/execute", {"code": "1"})

    def test_bodies_that_are_no_json_object(self):
        for body in ("{", "[]", "1", "nul", "{}{}", "{'a':1}", b"\xff", '{"code":"\\ud800"', "[" * 1000, '{"a":' * 100):
            self.refused(400, "invalid", self.api.call, "POST", "/v1/run", body)

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
        wait_for(lambda: not self.api.get("/v1/sessions")["sessions"])
        self.refused(404, "not_found", self.api.get, "/v1/sessions/a")

    def test_no_engine_as_events(self):
        stream = self.api.stream("/v1/run", {"code": "1", **self.service.where}).all()
        self.assertEqual(stream.result["failure"]["code"], "unavailable")

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

    def test_chunked_body_too_large(self):
        sock = connect(self.service.socket)
        sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
        for _ in range(33):
            sock.sendall(chunk)
        sock.sendall(b"0\r\n\r\n")
        self.assertIn(b" 413 ", sock.recv(4096).split(b"\r\n")[0])
        sock.close()

    def test_endless_body_is_cut(self):
        sock = connect(self.service.socket)
        sock.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
        with self.assertRaises(OSError):
            for _ in range(200):
                sock.sendall(chunk)
        sock.close()
        _, resident = process_size(self.service.pid)
        self.assertTrue(harness.SANITIZED or resident < 200 * 1024, resident)

    def test_body_of_the_largest_size(self):
        code = json.dumps({"code": "#" * (32 * MIB - 100)})
        self.assertLess(len(code), 32 * MIB)
        self.refused(404, "not_found", self.api.call, "POST", "/v1/sessions/none/execute", code)

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
        self.assertLess(time.monotonic() - begin, 5)
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


class Token(unittest.TestCase):
    WORD = "correct-horse-battery-staple"

    def serve(self, *more, token=None, address="127.0.0.1:0"):
        path = token or harness.WORK.file(self.WORD + "\n")
        service = Service("--listen", address, "--token-file", path, *more)
        line = next(line for line in service.said().splitlines() if "listening on" in line)
        return service, int(line.partition("port ")[2].split(",")[0])

    @staticmethod
    def ask(port, token=None, context=None, path="/v1/version", scheme="Bearer"):
        connection = (http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context) if context
                      else http.client.HTTPConnection("127.0.0.1", port, timeout=20))
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


CASES = (Starting, Http, Limits, Token)

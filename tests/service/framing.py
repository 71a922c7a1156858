# SPDX-License-Identifier: MIT
"""What is a request, byte by byte: everything else is refused, in one shape, and nothing has happened."""
import contextlib
import json
import re
import socket

from harness import HARD_LIMIT, OPENAPI, Case, scaled


class Raw:
    """One connection, for one request, byte by byte."""

    def __init__(self, path, timeout=HARD_LIMIT):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(scaled(timeout))
        self.sock.connect(path)

    def say(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an answer that came early
            self.sock.sendall(data)
        return self

    def end(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        return self

    def answer(self):
        """(status, headers, body) of an answer that ends the connection; (None, {}, b"") where there is none."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.sock.recv(1 << 16):
                data += piece
        self.sock.close()
        if not data:
            return None, {}, b""
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, body


def operations():
    """(method, path with {names}) of everything in the document."""
    for path, methods in OPENAPI.root["paths"].items():
        for method in methods:
            yield method.upper(), path


class Framing(Case):
    def ask(self, text, end=False):
        raw = Raw(self.service.socket).say(text if isinstance(text, bytes) else text.encode("latin-1"))
        return (raw.end() if end else raw).answer()

    def refusal(self, text, status, code, end=False):
        """The answer is an error as the document has it."""
        got, headers, body = self.ask(text, end)
        self.assertEqual(got, status, (text[:200], body))
        self.assertEqual((headers["content-type"], headers["connection"], headers["cache-control"]),
                         ("application/json", "close", "no-store"), text[:200])
        self.assertEqual(int(headers["content-length"]), len(body))
        error = json.loads(body)
        OPENAPI.check(error, OPENAPI.root["components"]["schemas"]["error"])
        self.assertEqual(error["error"]["code"], code, text[:200])
        return headers

    def test_every_operation_with_a_name_in_its_path(self):
        """Decoded once, after it was split: no name leaves its place."""
        tried = 0
        for method, path in operations():
            for name in re.findall(r"\{[a-z]+\}", path):
                for bad in ("..", ".", "%2e%2e", "%2E.", ".%2e", "a%2fb", "..%2f..%2fb", "a%00", "%", "%zz", "", "a/../b", "./a",
                            "a//b", "\xff", "a\\b"):
                    target = path.replace(name, bad)
                    target = re.sub(r"\{[a-z]+\}", "a", target)
                    self.refusal(f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}", 400, "invalid")
                    tried += 1
        self.assertGreater(tried, 200)

    def test_a_name_is_decoded_once(self):
        for target in ("/v1/sessions/%252e%252e/vars", "/v1/sessions/%252e%252e%252fb", "/v1/sessions/..."):
            self.refusal(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found")
        self.assertEqual(self.ask("GET /v%31/%76ersion HTTP/1.1\r\nHost: a\r\n\r\n")[0], 200)
        self.assertEqual(self.ask("GET http://any/v1/version HTTP/1.1\r\nHost: a\r\n\r\n")[0], 200)

    def test_framing(self):
        post = "POST /v1/sessions HTTP/1.1\r\n"
        for head, status, code in (
                ("Host: a\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 400, "invalid"),
                ("Content-Length: 2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: 2, 2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: +2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: -1\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: 0x2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "invalid"),
                ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", 400, "invalid"),
                ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400, "invalid"),
                ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nno\r\n\r\n", 400, "invalid"),
                ("Host: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported"),
                ("Host: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "unsupported"),
                ("Host: a\r\nExpect: gold\r\nContent-Length: 2\r\n\r\n{}", 417, "unsupported"),
                ("Host: a\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\r\nContent-Length : 2\r\n\r\n{}", 400, "invalid"),
                ("Host: a\nContent-Length: 2\n\n{}", 400, "invalid"),
                ("Host: a\r\nA: " + "a" * 65536 + "\r\n\r\n", 431, "limit"),
                ("Host: a\r\n" + "A: b\r\n" * 100 + "\r\n", 431, "limit"),
                ("Host: a\r\nContent-Length: 33554433\r\n\r\n", 413, "limit")):
            self.refusal(post + head, status, code)
        for first, status, code in (("GET /v1/version HTTP/2.0", 505, "unsupported"), ("BREW /v1/version HTTP/1.1", 501, "unsupported"),
                                    ("CONNECT a:1 HTTP/1.1", 501, "unsupported"), ("GET * HTTP/1.1", 400, "invalid"),
                                    ("GET /v1/version", 400, "invalid"), ("OPTIONS /v1/version HTTP/1.1", 405, "unsupported"),
                                    ("GET /v1/version?a b HTTP/1.1", 400, "invalid"), ("GET /v1/versio HTTP/1.1", 404, "not_found")):
            headers = self.refusal(first + "\r\nHost: a\r\n\r\n", status, code)
            self.assertEqual("allow" in headers, status == 405)
        self.assertEqual(self.api.get("/v1/sessions")["sessions"], [])

    def test_a_request_that_was_cut_off(self):
        """At every byte: the end of the stream is not the end of the request."""
        body = b'{"id":"cut"}'
        for whole in (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
                      b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)):
            for size in range(1, len(whole)):
                self.refusal(whole[:size], 400, "invalid", end=True)
        self.assertEqual(self.ask(b"", end=True), (None, {}, b""))
        with open(f"{self.service.state}/dsandbox/audit.jsonl", encoding="utf-8") as log:
            self.assertNotIn("cut", log.read())

    def test_whole_requests(self):
        for text in ("\r\nGET /v1/version HTTP/1.1\r\nHost: a\r\n\r\n", "GET /v1/version HTTP/1.0\r\n\r\n",
                     "GET /v1/version HTTP/1.1\r\nHOST:a\r\nContent-Length: 0\r\n\r\nGET /second HTTP/1.1\r\n"):
            status, _, body = self.ask(text)
            self.assertEqual((status, json.loads(body)["pid"]), (200, self.service.pid))
        status, _, body = self.ask("POST /v1/executions/a/interrupt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "1;x=y\r\n{\r\n01\r\n}\r\n0\r\nA: b\r\n\r\n")
        self.assertEqual((status, json.loads(body)["error"]["code"]), (404, "not_found"))

    def test_head_where_get_is(self):
        for path in ("/v1/version", "/v1/sessions", "/openapi.json", "/v1/sessions/none"):
            status, headers, body = self.ask(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")
            got, same, content = self.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual((status, headers["content-type"], body), (got, same["content-type"], b""), path)
            self.assertEqual(headers["content-length"], str(len(content)))
        self.refusal("PUT /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 405, "unsupported")

    def test_continue(self):
        raw = Raw(self.service.socket).say(b"POST /v1/run HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        self.assertEqual(raw.sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(raw.say(b"{").answer()[0], 400)
        raw = Raw(self.service.socket).say(b"POST /v1/run HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 33554433\r\n\r\n")
        self.assertEqual(raw.answer()[0], 413)


CASES = (Framing,)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What a session has is reached and changed by whole requests to it alone. Environment and last line as in
tests/cli/cli_harness.py.
"""
import own_service
import framing
import harness
import cli_harness

setUpModule, tearDownModule = own_service.begin, own_service.end


class Requests(harness.SessionCase):
    def setUp(self):
        super().setUp()
        self.ok("pass")
        self.api.call("PUT", self.path("/files/kept"), b"old content")

    def kept(self):
        return self.api.call("GET", self.path("/files/kept"))

    def raw(self, text):
        return framing.Raw(self.service.socket).say(text)

    def test_from_one_session_to_another(self):
        other = self.id + "-other"
        self.api.run(other, "pass", create=self.create)
        for method in ("GET", "PUT", "DELETE"):
            for name in ("../../{}/files/kept", "%2e%2e/%2e%2e/{}/files/kept", "..%2f..%2f{}%2ffiles%2fkept", "../../{}"):
                path = f"/v1/sessions/{other}/files/{name.format(self.id)}"
                status, _, body = self.raw(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nnew".encode()).answer()
                self.assertEqual(status, 400, (method, path, body))
        self.assertEqual(self.kept(), b"old content")
        self.assertEqual(self.state(), "idle")
        self.api.delete(f"/v1/sessions/{other}?files=1")

    def test_an_upload_that_was_cut_off(self):
        head = f"PUT {self.path('/files/kept')} HTTP/1.1\r\nHost: a\r\n".encode()
        for rest in (b"Content-Length: 11\r\n\r\nnew", b"Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n", b"Transfer-Encoding: chunked\r\n\r\n",
                     b"Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n0\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\nxyz\r\n",
                     b"Transfer-Encoding: chunked\r\n\r\nB\r\nnew"):
            self.assertEqual(self.raw(head + rest).end().answer()[0], 400, rest)
            self.assertEqual(self.kept(), b"old content", rest)
        listing = self.api.get(self.path("/files"))["files"]
        self.assertEqual([row["path"] for row in listing], ["kept"])
        self.assertEqual(self.raw(head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n0\r\n\r\n").answer()[0], 200)
        self.assertEqual(self.kept(), b"new")

    def test_a_session_whose_policy_was_cut_off(self):
        """The absence of a body stands for the default policy; half a request does not."""
        before = self.api.get("/v1/sessions")["sessions"]
        for rest in (b"Content-Length: 30\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1e\r\n",
                     b"Content-Length: 30\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n0\r\n"):
            self.assertEqual(self.raw(b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n" + rest).end().answer()[0], 400, rest)
        self.assertEqual(len(self.api.get("/v1/sessions")["sessions"]), len(before))


if __name__ == "__main__":
    cli_harness.main([Requests])

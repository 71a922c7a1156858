# SPDX-License-Identifier: MIT
"""What the tests of /mcp share: a service that listens on TCP, and a client that says exactly what a test wants."""
import http.client
import json

import mcp_harness  # noqa: F401, which knows where the others are
import own_service
import harness
from cli_harness import scaled
from mcp_harness import META, VERSION

TOKEN = "correct-horse-battery-staple"
ABOUT = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}
BOTH = "application/json, text/event-stream"


class McpService(harness.Service):
    """With a port; `more` is what sessions of /mcp are made with beside what they need here."""

    def __init__(self, *options, **more):
        super().__init__("--listen", "127.0.0.1:0", "--token-file", harness.WORK.file(TOKEN), *options, start=False)
        self.options += ["--mcp", harness.WORK.file(json.dumps({**self.where, **more}))]
        self.start()
        line = next(line for line in self.said().splitlines() if "listening on" in line)
        self.port = int(line.partition("port ")[2].split(",")[0])
        self.url = f"http://127.0.0.1:{self.port}/mcp"


def front_of(service):
    """Processes that answer /mcp for this service."""
    found = []
    for pid in harness.children(service.pid):
        with open(f"/proc/{pid}/comm", encoding="ascii") as name:
            if name.read().strip() == "dsandbox-mcp":
                found.append(pid)
    return found


class Answer:
    """Status, fields and, as they come, messages."""

    def __init__(self, connection):
        self.connection, self.http = connection, connection.getresponse()
        self.status, self.type = self.http.status, self.http.headers.get("Content-Type")

    def __iter__(self):
        """Of a stream, or the one message."""
        if self.type != "text/event-stream":
            body = self.http.read()
            if body:
                yield json.loads(body)
            return
        data = None
        for line in self.http:
            line = line.rstrip(b"\n")
            if line.startswith(b"data: "):
                data = json.loads(line[6:])
            elif not line and data is not None:
                yield data
                data = None

    def last(self):
        """The response; those before it are in `notes`."""
        *self.notes, last = self
        return last

    def close(self):
        """Without waiting for the rest."""
        self.http.close()
        self.connection.close()


class Client:
    def __init__(self, service, era="modern", token=TOKEN):
        self.port, self.era, self.token, self.number, self.session = service.port, era, token, 0, None
        if era == "legacy":
            answer = self.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "test", "version": "1"})
            self.session = answer.http.headers["Mcp-Session-Id"]
            self.agreed = answer.last()["result"]
            assert self.note("notifications/initialized").status == 202

    def raw_begin(self, body, method="POST", **fields):
        """A connection whose answer may be on its way. Fields of None are left out; their names have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=scaled(60))
        usual = {"Authorization": f"Bearer {self.token}" if self.token else None, "Content-Type": "application/json", "Accept": BOTH,
                 "Mcp-Session-Id": self.session}
        headers = {**usual, **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection.request(method, "/mcp", body, {name: value for name, value in headers.items() if value is not None})
        return connection

    def raw(self, body, method="POST", **fields):
        return Answer(self.raw_begin(body, method, **fields))

    def note(self, method, **params):
        return self.raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def request(self, method, token=None, fields=None, **params):
        self.number += 1
        modern = self.era == "modern"
        meta = {**(META if modern else {}), **({"progressToken": token} if token is not None else {})}
        if meta:
            params.setdefault("_meta", meta)
        own = {"MCP_Protocol_Version": VERSION, "Mcp_Method": method, "Mcp_Name": params.get(ABOUT.get(method))} if modern else {}
        message = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        return self.raw(json.dumps(message), **{**own, **(fields or {})})

    def result(self, method, **params):
        message = self.request(method, **params).last()
        if "error" in message:
            raise AssertionError(f"{method}: {message['error']}")
        return message["result"]

    def call(self, name, token=None, **arguments):
        """A tool; the answer, which may be on its way."""
        return self.request("tools/call", token=token, name=name, arguments=arguments)

    def tool(self, name, **arguments):
        message = self.call(name, **arguments).last()
        if "error" in message:
            raise AssertionError(f"{name}: {message['error']}")
        return message["result"]

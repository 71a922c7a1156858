# SPDX-License-Identifier: MIT
"""
An engine that only pretends: enough of Docker's API for the program to get as far as a test wants, and hooks to stop
it there. `hang` has the steps that are never answered, `answers` replaces (status, body) of a step, or is asked for it.
"""
import json
import os
import re
import socket
import socketserver
import threading

ID = "0123456789abcdef" * 4
INFO = {"ServerVersion": "20.10.24", "DefaultRuntime": "runc", "CgroupVersion": "1", "CgroupDriver": "cgroupfs",
        "OperatingSystem": "Test", "SecurityOptions": ["name=seccomp,profile=default"], "MemoryLimit": True,
        "SwapLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
STEPS = [
    ("ping", "GET", r"/_ping"),
    ("ping", "HEAD", r"(/v[\d.]+)?/_ping"),
    ("info", "GET", r"/v[\d.]+/info"),
    ("version", "GET", r"(/v[\d.]+)?/version"),
    ("image", "GET", r"/v[\d.]+/images/.*/json"),
    ("build", "POST", r"/v[\d.]+/build"),
    ("import", "POST", r"/v[\d.]+/images/create"),
    ("create", "POST", r"/v[\d.]+/containers/create"),
    ("inspect", "GET", r"/v[\d.]+/containers/[^/]+/json"),
    ("attach", "POST", r"/v[\d.]+/containers/[^/]+/attach"),
    ("start", "POST", r"/v[\d.]+/containers/[^/]+/start"),
    ("kill", "POST", r"/v[\d.]+/containers/[^/]+/kill"),
    ("remove", "DELETE", r"/v[\d.]+/containers/[^/]+"),
    ("list", "GET", r"/v[\d.]+/containers/json"),
]


def inspected(body):
    """What Docker would say about a container that was made with this body."""
    host = dict(body["HostConfig"])
    host.setdefault("CapAdd", None)
    mounts = [{"Type": "bind", "Source": m["Source"], "Destination": m["Target"], "RW": not m["ReadOnly"]}
              for m in host["Mounts"]]
    host.setdefault("Runtime", "runc")
    return {"Id": ID, "State": {"Running": False}, "Config": {"User": body["User"]}, "HostConfig": host, "Mounts": mounts}


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def server_bind(self):
        self.socket.bind(self.server_address)

    def handle_error(self, request, client_address):
        pass


class Engine:
    """On a unix socket (`path`) or, without one, on a port of 127.0.0.1, with TLS when there is a context."""

    def __init__(self, path=None, tls=None):
        self.hang, self.hung, self.answers, self.requests, self.uploads = set(), threading.Event(), {}, [], []
        self.created = None
        self.stop = threading.Event()
        self.path, self.tls = path, tls
        engine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                engine.serve(self.rfile, self.wfile, self.connection)

        class Listener(Server):
            address_family = socket.AF_UNIX if path else socket.AF_INET

            def get_request(self):
                connection, address = super().get_request()
                connection.settimeout(30)
                return (tls.wrap_socket(connection, server_side=True), address) if tls else (connection, address)

        self.server = Listener(path or ("127.0.0.1", 0), Handler)
        if path:
            os.chmod(path, 0o777)
        self.port = None if path else self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        if self.path:
            os.unlink(self.path)

    def read_body(self, rfile, headers):
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int(rfile.readline().split(b";")[0], 16)
                body += rfile.read(size)
                rfile.readline()
                if size == 0:
                    return body
        return rfile.read(int(headers.get("content-length", "0")))

    def serve(self, rfile, wfile, connection):
        if rfile.peek(1)[:1] == b"\x16":  # TLS, which a plain server takes for a bad request
            wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
            return
        while not self.stop.is_set():
            line = rfile.readline(65536).decode("latin-1").split()
            if len(line) < 3:
                return
            headers = {}
            while True:
                header = rfile.readline(65536).decode("latin-1").strip()
                if not header:
                    break
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            path = line[1].partition("?")[0]
            step = next((s for s, m, p in STEPS if m == line[0] and re.fullmatch(p, path)), "unknown")
            body = self.read_body(rfile, headers)
            self.requests.append((step, line[1]))
            if step in self.hang:
                self.hung.set()
                self.stop.wait(60)
                return
            if step == "create":
                self.created = json.loads(body)
            if step in ("build", "import"):
                self.uploads.append(body)
            if step == "attach":
                wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                self.stop.wait(60)
                return
            other = self.answers.get(step)
            status, answer = (other() if callable(other) else other) or self.answer(step)
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            text = b"" if line[0] == "HEAD" else text
            wfile.write(b"HTTP/1.1 %d X\r\nApi-Version: 1.41\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text)

    def answer(self, step):
        return {"ping": (200, b"OK"), "info": (200, INFO), "image": (200, {"Id": "sha256:" + ID}),
                "version": (200, {"ApiVersion": "1.41", "Version": "20.10.24", "MinAPIVersion": "1.12", "Os": "linux",
                                  "Arch": "amd64", "Components": [{"Name": "Engine", "Version": "20.10.24"}]}),
                "create": (201, {"Id": ID, "Warnings": []}), "start": (204, b""), "kill": (204, b""),
                "remove": (204, b""), "list": (200, []), "build": (200, {"stream": "built"}),
                "import": (200, {"status": "sha256:" + ID}),
                "inspect": (200, inspected(self.created) if self.created else {})}.get(step, (404, {"message": "no"}))

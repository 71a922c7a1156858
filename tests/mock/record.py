#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Records the exchanges of every operation with a real engine into a fixture, without anything of this machine in it:

    record.py DRIVE PLUGIN SOCKET GUEST NAME OUT.json

DRIVE is the program tests/mock/drive of the build tree, PLUGIN the plugin file, SOCKET the engine's, GUEST a guest
directory with dsb-init, NAME what the fixture says it is of. The image dsandbox-sandbox:latest must be there.
"""
import base64
import http.client
import json
import os
import re
import resource
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

ID = "c0ffee0123456789" * 4
STEPS = [
    ("ping", "GET", r"/_ping"), ("info", "GET", r".*/info"), ("image", "GET", r".*/images/.*/json"),
    ("import", "POST", r".*/images/(create|import)"), ("create", "POST", r".*/containers/create"),
    ("inspect", "GET", r".*/containers/[^/]+/json"), ("attach", "POST", r".*/containers/[^/]+/attach"),
    ("start", "POST", r".*/containers/[^/]+/start"),
    ("remove", "DELETE", r".*/containers/[^/]+"),
    ("list", "GET", r".*/containers/json"),
]
HEADERS = {"api-version", "libpod-api-version", "content-type", "server", "docker-experimental", "ostype",
           "connection", "upgrade", "cache-control", "pragma", "buildah-version"}
# What is kept of large answers: what the code reads, and some more beside it.
KEEP = {
    "info": {"ServerVersion", "DefaultRuntime", "SecurityOptions", "CgroupVersion", "CgroupDriver", "MemoryLimit",
             "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "PidsLimit", "OSType", "Architecture", "host", "version"},
    "host": {"arch", "cgroupManager", "cgroupVersion", "cgroupControllers", "ociRuntime", "os", "security",
             "serviceIsRemote"},
    "version": {"APIVersion", "Version"}, "ociRuntime": {"name"},
    "image": {"Id", "RepoTags", "Config", "Architecture", "Os"},
    "inspect": {"Id", "Name", "Image", "State", "Config", "HostConfig", "Mounts", "EffectiveCaps", "BoundingCaps",
                "OCIRuntime"},
    "State": {"Status", "Running", "OOMKilled", "ExitCode"},
    "list": {"Id", "Names", "Labels", "State", "Status"},
}


class Recorder:
    def __init__(self, engine, replace):
        self.engine, self.replace, self.found = engine, replace, {}

    def scrub(self, text):
        for old, new in self.replace:
            text = text.replace(old, new)
        return text

    def prune(self, value, key):
        if isinstance(value, list):
            return [self.prune(v, key) for v in value]
        if isinstance(value, dict):
            return {k: self.prune(v, k) for k, v in value.items() if key not in KEEP or k in KEEP[key]}
        return self.scrub(value) if isinstance(value, str) else value

    def add(self, step, method, path, status, headers, framing, body):
        if step in self.found:
            return
        entry = {"name": step, "method": method, "path": self.scrub(path), "status": status, "framing": framing,
                 "headers": [f"{k}: {v}" for k, v in headers if k.lower() in HEADERS]}
        try:
            value = json.loads(body)
            if not isinstance(value, (dict, list)):
                raise ValueError
            entry["json"] = self.prune(value, step)
        except ValueError:
            entry["base64" if step == "attach" else "text"] = (
                base64.b64encode(body).decode() if step == "attach" else self.scrub(body.decode()))
        self.found[step] = entry
        if step == "create":
            self.replace.insert(0, (value["Id"], ID))
            entry["json"]["Id"] = ID

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.engine)
            data = b""
            while b"\r\n\r\n" not in data:
                more = client.recv(65536)
                if not more:
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            match = re.search(rb"(?i)content-length: *(\d+)", head)
            while match and len(body) < int(match[1]):
                body += client.recv(65536)
            method, path = head.split(b" ")[:2]
            method, path = method.decode(), path.decode().partition("?")[0]
            step = next((s for s, m, p in STEPS if m == method and re.fullmatch(p, path)), None)
            engine.sendall(head + b"\r\n\r\n" + body)
            if step == "attach":
                self.attach(client, engine, method, path)
                return
            answer = http.client.HTTPResponse(engine, method=method)
            answer.begin()
            headers = answer.getheaders()
            framing = "chunked" if answer.chunked else "length" if answer.length is not None and answer.status != 204 else "none"
            content = answer.read()
            status = f"HTTP/1.1 {answer.status} {answer.reason}"
            if step:
                self.add(step, method, path, status, headers, framing, content)
            lines = [status] + [f"{k}: {v}" for k, v in headers if k.lower() not in ("transfer-encoding", "content-length")]
            if answer.status != 204:
                lines.append(f"Content-Length: {len(content)}")
            client.sendall("\r\n".join(lines).encode() + b"\r\nConnection: close\r\n\r\n" + content)

    def attach(self, client, engine, method, path):
        data = b""
        while b"\r\n\r\n" not in data:
            data += engine.recv(1)
        client.sendall(data)
        lines = data.decode().split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
        stream = b""
        engine.settimeout(20)
        while len(stream) < 208:
            more = engine.recv(65536)
            if not more:
                break
            stream += more
            client.sendall(more)
        time.sleep(0.3)
        engine.settimeout(0.1)
        try:
            while True:
                more = engine.recv(65536)
                if not more:
                    break
                stream += more
        except OSError:
            pass
        self.add("attach", method, path, lines[0], headers, "upgrade", hello_only(stream))
        client.recv(1)  # until the driver has gone


def hello_only(stream):
    """The engine's frames, with a hello in them that tells of no machine."""
    payload, at = b"", 0
    while at + 8 <= len(stream):
        kind, size = stream[at], struct.unpack(">I", stream[at + 4:at + 8])[0]
        payload += stream[at + 8:at + 8 + size] if kind == 1 else b""
        at += 8 + size
    size, frame, execution = struct.unpack("<IBI", payload[:9])
    hello = json.loads(payload[9:9 + size])
    hello["mounts"] = [m for m in hello["mounts"] if m["target"] in ("/sandbox", "/tmp")]
    for mount in hello["mounts"]:
        mount["super_options"] = "rw"
    hello["devices"], hello["volume"] = ["null", "zero"], {"dev": 1, "ino": 1, "use": ""}
    hello["namespaces"] = {k: 4026531835 + n for n, k in enumerate(hello["namespaces"])}
    text = json.dumps(hello, separators=(",", ":")).encode()
    inner = struct.pack("<IBI", len(text), frame, execution) + text
    out = struct.pack(">BBBBI", 2, 0, 0, 0, 5) + b"note\n"
    for i in range(0, len(inner), 400):  # several frames
        piece = inner[i:i + 400]
        out += struct.pack(">BBBBI", 1, 0, 0, 0, len(piece)) + piece
    return out


def limit_like(engine):
    """The podman plugin reads the process limit of whoever listens, and here that is us."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(engine)
        pid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        hard = re.search(r"Max processes +\S+ +(\S+)", file.read())[1]
    if hard != "unlimited":
        resource.setrlimit(resource.RLIMIT_NPROC, (int(hard), int(hard)))


def remove_import(engine, prefix):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(engine)
        connection.sendall(f"DELETE {prefix}/images/dsandbox-recorded:latest HTTP/1.1\r\nHost: x\r\n"
                           "Connection: close\r\n\r\n".encode())
        connection.recv(65536)


def main():
    drive, plugin, engine, guest, name, out = sys.argv[1:]
    rootless = "rootless" in name
    limit_like(engine)
    # beside the engine's own files, which its user can reach
    work = tempfile.mkdtemp(prefix="dsb-record.", dir="/tmp")
    os.chmod(work, 0o755)
    session = os.path.join(work, "session")
    os.mkdir(session)
    os.chmod(session, 0o777)
    shutil.copytree(guest, os.path.join(work, "guest"))
    with open(os.path.join(work, "guest", "seccomp.json"), "w", encoding="ascii") as file:
        file.write('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}')
    recorder = Recorder(engine, [(os.path.join(work, "guest"), "/srv/guest"), (session, "/srv/session")])
    proxy = os.path.join(work, "proxy.sock")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            recorder.serve(self.request)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    server = Server(proxy, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = subprocess.run([drive, plugin, "unix://" + proxy, work, session, os.path.join(work, "guest"),
                           "rootless" if rootless else "rootful"], timeout=300, check=False)
    server.shutdown()
    if "import" in recorder.found:
        remove_import(engine, recorder.found["import"]["path"].split("/images/")[0])
    shutil.rmtree(work, ignore_errors=True)
    exchanges = [recorder.found[s] for s, _, _ in STEPS if s in recorder.found]
    text = json.dumps({"of": name, "exchanges": exchanges}, indent=1)
    missing = {s for s, _, _ in STEPS} - set(recorder.found)
    if done.returncode or missing or "/tmp/dsb" in text or socket.gethostname() in text:
        sys.exit(f"record.py: status {done.returncode}, missing {missing}; machine in it: "
                 f"{'/tmp/dsb' in text or socket.gethostname() in text}")
    with open(out, "w", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()

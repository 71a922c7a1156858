# SPDX-License-Identifier: MIT
"""
Process 1 of containers of the engine in memory (tests/plugins/memory.c), which does in milliseconds what real code does in
seconds: sessions can end, die and be cancelled thousands of times a minute. The code of an execution is a JSON object:

    {"wait": S}         take that long; a cancel ends it
    {"out": TEXT}       write to stdout first             {"times": N}        so often
    {"keep": TEXT}      a variable, which {"give": true} writes to stdout
    {"echo": true}      write to stdout what comes on stdin, to its end
    {"die": true}       hang up in place of an answer          {"garbage": true}   break the protocol
    {"rest": S}         hang up so long after the answer, as an idle container does
"""
import contextlib
import json
import os
import select
import signal
import socket
import struct
import threading
import time

HELLO_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unit/hello-docker.json")
HELLO, CONFIG, EXEC, STDIN, STDOUT, STDERR, DONE, ACK, CANCEL, FAILURE, REPORT, READY, CONTROL, ANSWER = range(1, 15)
CLAIM = 17
PROTOCOL, HEAD, SESSION, WAITS = 7, 48, 1, 8
KEPT = {"outcome": "kept", "reason": None, "to": None, "point": "taken"}
REPORTED = {"result": {"text/plain": "1", "application/json": [[[[[1]]]]]}, "displays": [], "error": None, "count": 1,
            "vars": {"created": [{"name": "x", "type": "int"}], "changed": [], "deleted": [], "truncated": False}}

ANSWERS = {"vars": {"vars": [], "truncated": False}, "reset": {}, "save": {"saved": ["x"], "not_saved": []},
           "restore": {"restored": ["x"], "not_restored": []}, "exit": {}}


def command(payload):
    """Flags, text and name of what the host wants (guest/PROTOCOL.md)."""
    protocol, flags = struct.unpack_from("<2I", payload)
    assert protocol == PROTOCOL, payload
    texts, at = [], HEAD
    for _ in range(2):
        size, = struct.unpack_from("<I", payload, at)
        texts.append(payload[at + 4:at + 4 + size].decode())
        at += 4 + size
    return (flags, *texts)


class HungUp(Exception):
    pass


class Container(threading.Thread):
    """One connection."""

    def __init__(self, connection, workdir):
        super().__init__(daemon=True)
        self.connection, self.workdir = connection, workdir
        self.pid, = struct.unpack_from("i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.buffer, self.session, self.leave, self.kept = b"", False, None, ""
        self.waits, self.claims, self.executions = False, 0, 0

    def kill_process(self):
        """Of the host, at the other end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def say(self, kind, number, payload=b""):
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.connection.sendall(struct.pack("<IBI", len(payload), kind, number) + payload)

    def volume(self, info):
        name = ".dsandbox-0123456789abcdef"
        with open(os.path.join(self.workdir, name), "wb") as file:
            os.fchown(file.fileno(), info.st_uid, info.st_gid)
        return {"dev": info.st_dev, "ino": info.st_ino, "use": "", "file": name}

    def hello(self):
        with open(HELLO_FILE, encoding="utf-8") as file:
            hello = json.load(file)
        info = os.stat(self.workdir)
        hello.update(uid=[info.st_uid] * 4, gid=[info.st_gid] * 4, groups=[info.st_gid], volume=self.volume(info),
                     namespaces={name: i + 1 for i, name in enumerate(("pid", "ipc", "uts", "net", "mnt", "cgroup", "user"))})
        self.say(HELLO, 0, hello)

    def hear(self, seconds):
        """The next frame, None when nothing comes in time."""
        end = time.monotonic() + seconds
        while len(self.buffer) < 9 or len(self.buffer) < 9 + struct.unpack_from("<I", self.buffer)[0]:
            if not select.select([self.connection], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            data = self.connection.recv(65536)
            if not data:
                raise HungUp
            self.buffer += data
        size, kind, number = struct.unpack_from("<IBI", self.buffer)
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        return kind, number, payload

    def echo(self, number):
        """What comes on stdin: an empty piece is its end."""
        while True:
            kind, _, payload = self.hear(60) or (STDIN, number, b"")
            if kind == CANCEL or not payload:
                return
            self.say(STDOUT, number, payload)

    def execute(self, number, code):
        self.kept = code.get("keep", self.kept)
        if "out" in code or "give" in code:
            for _ in range(code.get("times", 1)):
                self.say(STDOUT, number, code.get("out", self.kept).encode())
        if "echo" in code:
            self.echo(number)
        status, end = "exited", time.monotonic() + code.get("wait", 0)
        while status == "exited" and time.monotonic() < end:
            frame = self.hear(end - time.monotonic())
            if frame is not None and frame[0] == CANCEL:
                status = "cancelled"
        if code.get("die"):
            raise HungUp
        if code.get("garbage"):
            self.say(DONE, number, b"garbage")
            return
        self.say(REPORT, number, REPORTED)
        done = {"status": status, "exit_code": 0 if status == "exited" else -1, "signal": 0, "wall_ms": 1, "cpu_ms": 1}
        self.say(DONE, number, {**done, "state": KEPT} if self.session else done)
        if "rest" in code:
            self.leave = time.monotonic() + code["rest"]

    def turn(self):
        left = 600 if self.leave is None else self.leave - time.monotonic()
        frame = self.hear(max(left, 0))
        if frame is None:
            raise HungUp
        kind, number, payload = frame
        assert kind in (CONFIG, CLAIM) or not self.waits, kind
        if kind == CONFIG:
            flags = command(payload)[0]
            self.session, self.waits = bool(flags & SESSION), bool(flags & WAITS)
            modules, = struct.unpack_from("<I", payload, 8)
            if modules or flags & (SESSION | WAITS):
                self.say(READY, 0, {})
        elif kind == CLAIM:
            assert self.waits
            self.waits, self.claims = False, self.claims + 1
        elif kind == EXEC:
            self.leave = None
            self.executions += 1
            self.execute(number, json.loads(command(payload)[1]))
        elif kind == CONTROL:
            self.say(ANSWER, number, ANSWERS[command(payload)[2]])
        elif kind == ACK and not self.session:
            raise HungUp

    def run(self):
        with contextlib.suppress(OSError, HungUp), self.connection:
            self.hello()
            while True:
                self.turn()


class FakePid1:
    """Listens for the containers of one session directory, or of whatever directory they say (None)."""

    def __init__(self, path, workdir=None):
        self.path, self.workdir = path, workdir
        self.containers, self.all = [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, address = self.listener.accept()
            except OSError:
                return
            container = Container(connection, self.workdir or address.decode().partition(" ")[2])
            self.containers = [old for old in self.containers if old.is_alive()] + [container]
            self.all.append(container)
            container.start()

    def kill(self):
        """All that live, as the machine would."""
        for container in self.containers:
            with contextlib.suppress(OSError):
                container.connection.shutdown(socket.SHUT_RDWR)

    def waiting(self):
        return [container for container in self.all if container.waits and container.is_alive()]

    def kill_waiting(self):
        for container in self.waiting():
            with contextlib.suppress(OSError):
                container.connection.shutdown(socket.SHUT_RDWR)

    def kill_processes(self):
        for container in self.waiting():
            container.kill_process()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.kill()

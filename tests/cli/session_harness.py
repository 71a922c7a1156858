# SPDX-License-Identifier: MIT
"""What black-box tests of sessions share: a service of one's own, sessions in it, the program on a terminal."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time

import cli_harness
from cli_harness import AS, BACKEND, EngineCase, wait_until


def environment(more):
    """A place of our own for the service: its socket, its log, its records."""
    work = cli_harness.WORK
    return {"XDG_RUNTIME_DIR": work.run, "XDG_STATE_HOME": os.path.join(work.path, "state"), **(more or {})}


def command(args, more=None):
    env = cli_harness.environment(**environment(more))
    if not AS:
        return [cli_harness.PROGRAM, *args], env
    kept = {k: v for k, v in env.items() if k not in ("PATH", "HOME")}
    return [AS, "env", *(f"{k}={v}" for k, v in kept.items()), cli_harness.PROGRAM, *args], env


def popen(*args, env=None, **how):
    argv, env = command(args, env)
    how.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", **how)


def dsb(*args, limit=60, **how):
    return cli_harness.dsandbox(*args, limit=limit, start=popen, **how)


def service_facts():
    """What the service that answers at our socket says of itself, or None."""
    path = os.path.join(cli_harness.WORK.run, "dsandbox/api.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(cli_harness.scaled(10))
        try:
            sock.connect(path)
            sock.sendall(b"GET /v1/version HTTP/1.1\r\nHost: dsandbox\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        except OSError:
            return None
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def service_pid():
    return (service_facts() or {"pid": None})["pid"]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return ") Z" in file.read()
    except OSError:
        return True


def end_service(number=signal.SIGINT):
    """With its sessions; with SIGTERM and SIGKILL they go on."""
    pid = service_pid()
    if pid is not None:
        os.kill(pid, number)
        wait_until(lambda: is_gone(pid), 30)


def kill_all():
    """SIGKILL of the service and of the processes of its sessions, which would go on."""
    pid = service_pid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(name) == pid]
    for one in (pid, *pids):
        with contextlib.suppress(ProcessLookupError):  # one that waited ends with its service
            os.kill(one, signal.SIGKILL)
    wait_until(lambda: all(is_gone(one) for one in (pid, *pids)), 30)


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


class SessionCase(EngineCase):
    """A service of its own for each class; `s` makes a name that no other test uses."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        end_service()

    @classmethod
    def tearDownClass(cls):
        end_service()

    def setUp(self):
        self.s = re.sub("[^a-z0-9]", "-", self.id().split(".", 1)[1].lower())[-60:].lstrip("-")

    @staticmethod
    def where():
        """For what needs an engine, and no sandbox."""
        return ["--backend", BACKEND, "--base-dir", cli_harness.WORK.base]

    def settings(self):
        options = self.where()
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        return options

    @staticmethod
    def patient():
        """For code that ends when it is interrupted: on a busy machine within its grace, too, or its variables would go back."""
        return ["--policy", cli_harness.WORK.file('{"grace": "60s"}')]

    def new(self, *args, session=None):
        done = dsb("session", "new", session or self.s, *self.settings(), *args)
        self.assertEqual((done.status, done.stdout), (0, (session or self.s) + "\n"), done)

    def run_(self, code, *args, session=None, status="ok"):
        """run --session ID, as JSON."""
        done = dsb("run", "--json", "--session", session or self.s, *self.settings(), *cli_harness.LONG, *args, "-c", code)
        result = self.result(done)
        self.assertEqual(result["status"], status, done)
        return result

    def text(self, *args, status=0, **how):
        done = dsb(*args, **how)
        self.assertEqual(done.status, status, done)
        return done

    def json(self, *args):
        done = self.text(*args, "-o", "json")
        return json.loads(done.stdout)


class Terminal:
    """The program on a terminal of its own, or what begins it there."""

    def __init__(self, *args, columns=100, leader=()):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (40, columns)) if hasattr(termios, "tcsetwinsize") else None
        self.before = termios.tcgetattr(self.master)
        argv, env = command(args, {"TERM": "vt100"})
        self.process = subprocess.Popen([*leader, *argv], env=env, stdin=slave, stdout=slave, stderr=slave, cwd="/", preexec_fn=self.own, close_fds=True)
        os.close(slave)
        self.seen = ""

    @staticmethod
    def own():
        os.setsid()
        import fcntl
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += piece.decode("utf-8", "replace")
        return bool(piece)

    def expect(self, pattern, seconds=30):
        """Reads until the pattern has come, and takes all up to its end."""
        end = time.monotonic() + cli_harness.scaled(seconds)
        while not (match := re.search(pattern, self.seen, re.S)):
            left = end - time.monotonic()
            if left <= 0 or (not self.read(left) and self.process.poll() is not None):
                raise AssertionError(f"{pattern!r} did not come; there is {self.seen!r}")
        text, self.seen = self.seen[:match.end()], self.seen[match.end():]
        return text

    def send(self, text):
        os.write(self.master, text.encode())

    def line(self, text):
        """At the prompt."""
        self.expect(r"(>>>|\.\.\.) ")
        self.send(text + "\r")

    def end(self, seconds=30):
        limit = time.monotonic() + cli_harness.scaled(seconds)
        while self.process.poll() is None and time.monotonic() < limit:
            self.read(0.1)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        return status

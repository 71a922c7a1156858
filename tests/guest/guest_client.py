# SPDX-License-Identifier: MIT
"""dsb-init without any engine: a frame client on two pipes. The guest directory comes from DSB_GUEST_DIR."""
import functools
import json
import os
import select
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
from speed import scaled  # noqa: E402

GUEST = os.path.abspath(os.environ.get("DSB_GUEST_DIR", "."))
HELLO, CONFIG, EXEC, STDIN, STDOUT, STDERR, DONE, ACK, CANCEL, FAILURE, REPORT, READY, CONTROL, ANSWER = range(1, 15)
# The system's interpreter, as in an image: what is first in the tester's own PATH may be a script that looks for one, or have
# a site of its own that takes longer than all the rest of a start.
PATH = "/usr/local/bin:/usr/bin:/bin:" + os.environ.get("PATH", "")
MAX_WAIT = 60


@functools.lru_cache
def namespaces():
    """A command prefix that makes its command pid 1, or None."""
    prefix = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc"]
    for extra in ([], ["--user", "--map-root-user"]):
        try:
            out = subprocess.run(
                prefix[:1] + extra + prefix[1:] + ["sh", "-c", "echo $$"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ).stdout
        except OSError:
            return None
        if out == b"1\n":
            return prefix[:1] + extra + prefix[1:]
    return None


def once(test):
    """
    What neither the kernel nor dsb-init does in another way for pid 1 than for any other process: what the interpreter makes
    of code, what is read from a frame. It is asked as pid 1, which is what dsb-init is in a sandbox.
    """
    test.once = True
    return test


def as_process(case):
    """A class of tests as an ordinary process. Where there is no pid 1 to be, it has all of them."""
    for name in dir(case) if namespaces() else ():
        if getattr(getattr(case, name), "once", False):
            setattr(case, name, None)
    return case


PROTOCOL = 7
SESSION, OUTPUT_KILL, WAITS = 1, 1, 8
NO_INTERPRETER, PROGRAM, TERMINAL = 16, 4, 8
CLAIM, WINDOW = 17, 19
CHECKPOINT = {"off": 0, "always": 2, "idle": 6}
CONFIG_NUMBERS = {"idle_ms": 20000, "life_ms": 60000, "results_limit": 8 << 20, "memory": 0}
EXEC_NUMBERS = {"timeout_ms": 20000, "grace_ms": 500, "output_limit": 1 << 20}


def part(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<I", len(data)) + data


def command(flags=0, numbers=(), text="", name="", argv=(), env=(), protocol=PROTOCOL):
    """The payload of config, exec and control (PROTOCOL.md)."""
    pairs = list(dict(env).items())
    numbers = list(numbers) + [0] * (4 - len(numbers))
    head = struct.pack("<4I4Q", protocol, flags, len(argv), len(pairs), *numbers)
    return head + b"".join(map(part, [text, name, *argv, *[word for pair in pairs for word in pair]]))


def config_command(session=False, checkpoint="always", env=(), preload=(), waits=False, no_interpreter=False, **numbers):
    flags = ((SESSION | CHECKPOINT[checkpoint]) if session else 0) | (WAITS if waits else 0)
    flags |= NO_INTERPRETER if no_interpreter else 0
    return command(flags, {**CONFIG_NUMBERS, **numbers}.values(), argv=preload, env=env)


def exec_command(code, filename="", argv=(), env=(), output_kill=False, **numbers):
    return command(OUTPUT_KILL if output_kill else 0, {**EXEC_NUMBERS, **numbers}.values(), code, filename, argv, env)


def program_command(argv, directory="", env=(), output_kill=False, window=None, **numbers):
    """window: rows and columns of a terminal."""
    flags = PROGRAM | (OUTPUT_KILL if output_kill else 0) | (TERMINAL if window else 0)
    rows, columns = window or (0, 0)
    return command(flags, [*{**EXEC_NUMBERS, **numbers}.values(), rows << 16 | columns], "", directory, argv, env)


def control_command(op, timeout_ms=30000, **members):
    return command(0, [timeout_ms], name=op, env=members)


def frame(kind, payload=b"", execution=1):
    return struct.pack("<IBI", len(payload), kind, execution) + payload


def golden(name):
    """The bytes of a file that the host's writer is tested with as well."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/command-%s.hex" % name), encoding="utf-8") as f:
        return bytes.fromhex("".join(line.partition("#")[0] for line in f))


class Guest:
    def __init__(self, prefix=(), env=None):
        base = {"PATH": PATH, "LANG": "C.UTF-8"}
        base.update(env or {})
        self.process = subprocess.Popen(
            list(prefix) + [os.path.join(GUEST, "dsb-init")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=base,
            bufsize=0,
        )
        self.buffer = b""
        self.frames = []

    def send(self, kind, payload=b"", execution=1):
        self.raw(frame(kind, payload, execution))

    def raw(self, data):
        while data:
            data = data[self.process.stdin.write(data) :]

    def receive(self, wait=MAX_WAIT):
        """The next frame, or None at the end of the stream."""
        end = time.monotonic() + scaled(wait)
        while True:
            if len(self.buffer) >= 9:
                size, kind, execution = struct.unpack_from("<IBI", self.buffer)
                if len(self.buffer) >= 9 + size:
                    payload, self.buffer = self.buffer[9 : 9 + size], self.buffer[9 + size :]
                    self.frames.append((kind, execution, payload))
                    return self.frames[-1]
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            if not ready:
                raise AssertionError("no frame in time")
            data = self.process.stdout.read(1 << 16)
            if not data:
                return None
            self.buffer += data

    def until(self, *kinds):
        while True:
            frame = self.receive()
            if frame is None or frame[0] in kinds:
                return frame

    def configure(self, **options):
        kind, execution, payload = self.receive()
        assert (kind, execution) == (HELLO, 0), (kind, execution)
        self.send(CONFIG, config_command(**options), 0)
        return json.loads(payload)

    def execute(self, code, **options):
        self.send(EXEC, exec_command(code, **{"filename": "main.py", **options}))

    def stream(self, kind):
        return b"".join(p for k, _, p in self.frames if k == kind)

    def close(self):
        for f in (self.process.stdin, self.process.stdout):
            if not f.closed:
                f.close()
        try:
            self.process.wait(MAX_WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("dsb-init does not end")


class Outcome:
    def __init__(self, guest, done):
        self.done = json.loads(done[2])
        self.out = guest.stream(STDOUT)
        self.err = guest.stream(STDERR)
        reports = [p for k, _, p in guest.frames if k == REPORT]
        assert len(reports) <= 1
        self.report = json.loads(reports[0]) if reports else None
        self.result = self.report and self.report["result"]


class GuestCase:
    """For a TestCase: prefix is what runs dsb-init."""
    prefix = ()

    def start(self, **config):
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        self.hello = guest.configure(**config)
        return guest

    def run_code(self, code, stdin=b"", config=None, **options):
        guest = self.start(**(config or {}))
        guest.execute(code, **options)
        for i in range(0, len(stdin), 1 << 16):
            guest.send(STDIN, stdin[i : i + (1 << 16)])
        guest.send(STDIN)
        done = guest.until(DONE, FAILURE)
        self.assertIsNotNone(done, "the stream ended")
        self.assertEqual(done[0], DONE, done)
        guest.send(ACK)
        self.assertIsNone(guest.receive(), "something came after done")
        self.assertEqual(guest.process.wait(MAX_WAIT), 0)
        return Outcome(guest, done)

    def failure(self, guest):
        frame = guest.until(FAILURE, DONE)
        self.assertIsNotNone(frame)
        self.assertEqual(frame[0], FAILURE)
        message = json.loads(frame[2])["message"]
        self.assertIsNone(guest.receive())
        return message

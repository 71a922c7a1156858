#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Hostile executions, deaths and cancels against one service, at random: nothing is lost but what was killed, no process of a
session ends but as it should, and the service itself has as many descriptors and as much memory afterwards as before. Those
processes end with their sessions: what they had is not measured.

DSB_TEST_SOAK: its length in seconds (60); DSB_TEST_SEED: another sequence; DSB_TEST_PROGRAM of a build with a sanitizer, and
ASAN_OPTIONS or TSAN_OPTIONS set: what that finds in the service or a session's process fails the test, leaks at their ends
included, and memory is not compared, since a sanitizer keeps what is freed. Everything else as in tests/cli/cli_harness.py.
"""
import contextlib
import os
import random
import sys
import threading
import time

from common import cli_harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../service"))
import harness  # noqa: E402
from harness import Failure, in_threads, process_size, wait_for  # noqa: E402

ONCE = "the service is the victim"
SECONDS = float(os.environ.get("DSB_TEST_SOAK", "60"))
SEED = os.environ.get("DSB_TEST_SEED", "1")
ATTACKERS, HONEST = 3, 2
GROWTH_KIB = 6 * 1024  # of memory, that is no growth: what an allocator keeps
SHOW = "class J:\n def __init__(s, v): s.v = v\n def _repr_json_(s): return s.v\ndef deep(n): return [deep(n - 1)] if n else 1\n"

# What code does to us; with what it may end with. `kills`: it may take its own interpreter, or all of its sandbox, with it.
HOSTILE = [
    # what it shows, at and above every limit
    *[(SHOW + f"display(J(deep({n})))\nJ(deep({n}))", False) for n in (27, 28, 29, 30, 31, 40, 500)],
    (SHOW + "J({str(i): i for i in range(70000)})", False),
    (SHOW + "display(*[J('\\0' * 60000)] * 30)", False),
    ("'x' * (64 << 20)", True),
    ("class Bad:\n def __repr__(self): raise SystemExit(7)\nBad()", False),
    ("globals().update({f'v{i}': i for i in range(5000)})", False),
    ("raise type('E' * 5000, (Exception,), {})('\\ud800' * 100000)", False),
    # what it prints
    ("import os\nfor i in range(3000): os.write(1, bytes(range(256)) * 16)", False),
    ("import sys\nfor i in range(20000): print('é', i, file=(sys.stdout, sys.stderr)[i % 2])", False),
    # how it ends
    ("import os; os._exit(3)", True),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", True),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", True),
    ("import ctypes; ctypes.string_at(0)", True),
    ("import sys; sys.exit(9)", False),
    ("while True: pass", False),
    ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", True),
    ("import time\ntry:\n  while True: time.sleep(0.01)\nexcept BaseException:\n  time.sleep(100)", True),
    # what it takes
    ("x = [bytearray(1 << 20) for _ in range(2000)]", True),
    ("import os, time\nfor i in range(400):\n  if os.fork() == 0: time.sleep(60)", True),
    ("import threading, time\nfor i in range(400): threading.Thread(target=time.sleep, args=(1,), daemon=True).start()", True),
    ("import os\nheld = []\ntry:\n  while True: held.append(os.pipe())\nexcept OSError: pass", True),
    ("for i in range(300): open(f'{i:0200}', 'w').write('x')", False),
    ("import os\nfor i in range(60):\n  os.makedirs('d' * 100, exist_ok=True); os.chdir('d' * 100)\nos.chdir('/sandbox')", False),
    # what it does to those who look after it
    ("import os\nfor fd in range(3, 1024):\n  try: os.write(fd, b'\\xff' * 4096)\n  except OSError: pass", True),
    ("import os\nos.closerange(0, 1024)", True),
    ("import os, signal\nfor pid in range(1, 400):\n  try: os.kill(pid, signal.SIGKILL)\n  except OSError: pass", True),
    ("import gc\nfor o in gc.get_objects():\n  if type(o) is dict and len(o) > 200: o.clear()", True),
    ("import sys\nfor m in list(sys.modules): sys.modules[m] = None", True),
]
# Statuses of code that did not end when it was told to, and was killed with its interpreter.
KILLED = {"oom", "disk_limit", "timeout"}
# What the service may answer to a request when its session ends or is full at that moment.
EXPECTED = {"not_found", "cancelled", "busy", "conflict", "limit", "lost", "failed"}


class Attacker:
    """One session that is attacked from within and without, with a sequence of choices of its own."""

    def __init__(self, test, number, end):
        self.test, self.end, self.name = test, end, f"attacker{number}"
        self.random = random.Random(f"{SEED}:{number}")
        self.api = harness.Api(test.service.socket)
        self.kept = None  # what its variable is, as far as anybody can know
        self.spoilt = False  # its interpreter has run code that may have broken it, and lives
        self.done = self.lost = 0
        self.last = self.before = ""

    def execute(self, code, timeout):
        return self.api.run(self.name, code, create={**self.test.create, "idle_timeout": "5s"}, timeout=timeout)

    def hostile(self):
        code, kills = self.random.choice(HOSTILE)
        self.last = code
        result = self.execute(code, 2)
        self.judge(result, kills)

    def judge(self, result, kills):
        outcome = result["state"]["outcome"] if result["state"] else "lost"
        allowed = kills or self.spoilt or self.kept is None or result["status"] in KILLED
        if outcome != "kept":
            self.lost += 1
            self.test.assertTrue(allowed, f"lost without need by {self.last!r}: {result['status']} {result['state']} {result['failure']}")
        if outcome != "kept" or kills:
            self.kept = None
        self.spoilt = outcome != "lost" and (kills or self.spoilt)

    def followed(self):
        """The client goes away at some event; or somebody cancels."""
        code, _ = self.random.choice(HOSTILE)
        self.last, self.kept, self.spoilt = code, None, True
        body = {"code": code, "timeout": 2, "create": {**self.test.create, "idle_timeout": "5s"}}
        stream = self.api.stream(f"/v1/sessions/{self.name}/execute", body)
        with contextlib.closing(stream):
            for count, (event, _) in enumerate(stream):
                if event == "started" and self.random.random() < 0.5:
                    self.api.post(f"/v1/executions/{stream.id}/interrupt")
                if count > self.random.randrange(20):
                    break

    def honest(self):
        """What it had is there, unless something was allowed to take it."""
        self.before, self.last = self.last, "an honest execution"
        value = self.random.randrange(1 << 30)
        result = self.execute(f"before = globals().get('kept'); kept = {value}; print(before)", 60)
        if not self.spoilt and self.kept is not None:
            said = result["status"], result["state"]["outcome"], result["stdout"]
            self.test.assertEqual(said, ("ok", "kept", f"{self.kept}\n"), f"after {self.before!r}: {result['failure']}")
        self.judge(result, self.spoilt)
        self.kept = value if result["status"] == "ok" else None

    def die(self):
        """The engine kills its container."""
        self.kept, self.spoilt = None, True
        with contextlib.suppress(Failure):
            container = self.api.get(f"/v1/sessions/{self.name}")["container"]
            if container:
                with contextlib.suppress(AssertionError):
                    self.test.engine.kill(container)

    def remove(self):
        self.kept, self.spoilt = None, False
        self.api.delete(f"/v1/sessions/{self.name}{self.random.choice(('', '?files=1'))}")

    def one_shot(self):
        code, _ = self.random.choice(HOSTILE)
        self.last = code
        self.api.post("/v1/run", {"code": code, "timeout": 2, **self.test.create})

    def look(self):
        self.api.get(f"/v1/sessions/{self.name}" + self.random.choice(("", "/vars", "/files", "/history")))

    def run(self):
        acts = [self.hostile] * 8 + [self.honest] * 8 + [self.followed] * 4 + [self.look] * 2 + [self.die, self.remove, self.one_shot]
        while time.monotonic() < self.end and not self.test.broken.is_set():
            act = self.random.choice(acts)
            try:
                act()
            except Failure as failure:
                self.kept, self.spoilt = None, True
                self.test.assertIn(failure.code, EXPECTED, f"{act.__name__} after {self.last!r}: {failure}")
            except BaseException:
                self.test.broken.set()
                raise
            self.done += 1
        return self.done


class Soak(cli_harness.EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        harness.WORK = harness.Work()
        harness.WORK.path = harness.WORK.dir("soak", 0o755)
        harness.ALLOW[:] = cls.allow

    def setUp(self):
        self.service = harness.Service("--max-running", "4")
        self.addCleanup(self.service.stop)
        self.create, self.engine, self.broken = self.service.where, harness.Engine(), threading.Event()

    def undisturbed(self, number, end):
        """A session that nobody attacks keeps its variables, through all of it."""
        api, count, create = harness.Api(self.service.socket), 0, self.create
        while time.monotonic() < end and not self.broken.is_set():
            count += 1
            result = api.run(f"honest{number}", "n = globals().get('n', 0) + 1; print(n)", create=create, timeout=60)
            said = result["status"], result["stdout"], result["state"]["outcome"], result["state"]["execution"]
            if said != ("ok", f"{count}\n", "kept", count):
                self.broken.set()
            self.assertEqual(said, ("ok", f"{count}\n", "kept", count), result["failure"])
            time.sleep(0.05)
        return count

    def round(self, seconds):
        """(executions of each, what each lost, size of the service when all is gone)."""
        end = time.monotonic() + seconds
        attackers = [Attacker(self, number, end) for number in range(ATTACKERS)]
        honest = [lambda number=number: self.undisturbed(number, end) for number in range(HONEST)]
        counts = in_threads([*honest, *(attacker.run for attacker in attackers)])
        api = self.service.api
        for session in api.get("/v1/sessions")["sessions"]:
            with contextlib.suppress(Failure):
                api.delete(f"/v1/sessions/{session['id']}?files=1")
        wait_for(lambda: {api.get("/v1/version")[key] for key in ("sessions", "executing", "queued")} == {0}, 120)
        wait_for(lambda: not self.engine.ours(self.service.pids), 120)
        return counts, [attacker.lost for attacker in attackers], process_size(self.service.pid)

    def test_soak(self):
        pid = self.service.pid
        try:
            _, _, before = self.round(min(SECONDS / 4, 30))  # what is loaded once stays
            counts, lost, after = self.round(SECONDS)
        except BaseException:
            print(self.service.said())
            raise
        self.assertEqual(self.service.pid, pid, "the same service as before")
        self.assertLessEqual(after[0], before[0] + 2, "descriptors")
        self.assertTrue(harness.SANITIZED or after[1] <= before[1] + GROWTH_KIB, ("memory", before, after))
        self.assertGreater(min(counts), 1, counts)
        self.assertEqual(self.service.stop(), 0, self.service.said())
        self.assertEqual(self.service.deaths(), [])
        print(f"seed {SEED}, {SECONDS:g} s: {counts} requests, {lost} losses; descriptors and KiB {before} before, {after} after")


if __name__ == "__main__":
    cli_harness.main([Soak])

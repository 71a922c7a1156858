#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Faults of the engine, of the machine and of callers in a random order, with honest executions between them: every answer is
right or names its real reason, no variable is lost that the rules keep, and nothing is left.

DSB_TEST_MIXTURE: its length in seconds (45); DSB_TEST_SEED: another sequence; DSB_TEST_RIG: tests/rig/rig.sh, whose engine is
the one in DSB_TEST_ENDPOINT and may be stopped and killed. Everything else as in tests/cli/cli_harness.py.
"""
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time

import own_service  # noqa: F401 (where harness lies)
import harness
import cli_harness
from cli_harness import BACKEND, wait_until
from session_harness import SessionCase, command, dsb, end_service, is_gone, popen, service_pid
from test_short import CODE, REASONS, with_limit

ROOTLESS = "the engine is a process of the user's, and its containers are those of his name spaces"
SECONDS = float(os.environ.get("DSB_TEST_MIXTURE", "45"))
SEED = os.environ.get("DSB_TEST_SEED", "1")
RIG = os.environ.get("DSB_TEST_RIG", "")
ENGINE = {"docker-api": "docker", "docker-cli": "docker", "podman": "podman", "podman-rootless": "rootless"}.get(cli_harness.SETUP)
NAMES = ("ann", "bob", "cid")
# The file has the old number or the new one, wherever the code is stopped.
COUNT = "import os; n = globals().get('n', 0) + 1; open('new', 'w').write(str(n)); os.replace('new', 'n'); "
SHORTAGES = ((resource.RLIMIT_NOFILE, range(4, 30)), (resource.RLIMIT_AS, [size << 20 for size in (8, 24, 40, 64, 512)]),
             (resource.RLIMIT_FSIZE, (0, 1, 4096, 1 << 20)))
GROWTH_KIB = 6 * 1024  # of memory, that is no growth: what an allocator keeps


def rig(*args):
    done = subprocess.run(["sh", RIG, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"rig.sh {' '.join(args)}: {done.stderr}")


class Mixture(SessionCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.counts = dict.fromkeys(NAMES)  # what n may be in each: a set; None: it may be lost, too
        self.log = []
        for name in NAMES:
            self.assertEqual(dsb("session", "new", name, *self.settings(), *self.patient()).status, 0)
            self.counts[name] = {0}

    def tearDown(self):
        dsb("session", "rm", "--all", "--files")

    def choose(self):
        return self.random.choice(NAMES)

    def may_lose(self, *names):
        for name in names:
            self.counts[name] = None

    # --- honest ---------------------------------------------------------------------

    def judge(self, name, done):
        """An execution that nothing disturbed: it counts on, and a loss is one that had a reason."""
        self.assertEqual(done.status, 0, done)
        value, known = int(done.stdout), self.counts[name]
        if known is not None:
            self.assertIn(value - 1, known, f"variables of {name} were lost: {done}")
            self.assertEqual(done.stderr, "", done)
        elif done.stderr:
            self.assertRegex(done.stderr, r"^dsandbox: variables were lost: .+; files were kept\n$")
            self.assertEqual(value, 1, done)
        self.counts[name] = {value}

    def honest(self):
        name = self.choose()
        self.judge(name, dsb("exec", name, "-c", COUNT + "print(n)", limit=120))

    def one_shot(self):
        number = self.random.randrange(1 << 30)
        done = dsb("run", *self.settings(), "-c", f"print({number})", limit=120)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, f"{number}\n", ""), done)

    def files(self):
        """Files stay whatever happens to variables."""
        name = self.choose()
        done = dsb("exec", name, "-c", "import os; print(open('n').read() if os.path.exists('n') else 0)", limit=120)
        self.assertEqual(done.status, 0, done)
        if self.counts[name] is not None:
            self.assertIn(int(done.stdout), self.counts[name], done)

    # --- the code and its caller ------------------------------------------------------

    def running(self, name, seconds):
        """A program that follows an execution which has begun."""
        process = popen("exec", name, "-c", f"import time; print('up', flush=True); time.sleep({seconds}); {COUNT}print(n)")
        self.assertEqual(process.stdout.readline(), b"up\n", process)
        return process

    def end(self, process, limit=120):
        out, err = process.communicate(timeout=cli_harness.scaled(limit))
        return cli_harness.Done(["exec"], process.returncode, out, err, 0)

    def hostile(self):
        name = self.choose()
        ways = [("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137), ("x = [bytearray(1 << 20) for _ in range(4000)]", 137),
                ("import os; os._exit(3)", 3), ("import time; time.sleep(60)", 124), ("raise SystemExit(5)", 5)]
        if "memory" in self.allow:  # nothing would end it
            del ways[1]
        code, status = self.random.choice(ways)
        done = dsb("exec", name, "--timeout", "1s" if status == 124 else "60s", "-c", code, limit=120)
        if status != 137 or done.status != 1:  # Python may see the end of memory first
            self.assertEqual(done.status, status, (code, done))
        if status in (137, 3):
            self.may_lose(name)

    def signalled(self):
        """The program's own end cancels the code; killed, it goes on or is cancelled."""
        name, number = self.choose(), self.random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL))
        process = self.running(name, 5)
        time.sleep(self.random.uniform(0, 0.3))
        process.send_signal(number)
        done = self.end(process)
        if number == signal.SIGKILL:
            self.assertEqual(done.status, -number, done)
            if self.counts[name] is not None:
                self.counts[name] |= {value + 1 for value in self.counts[name]}
        else:
            self.assertIn(done.status, (128 + number, 130), done)
            self.assertTrue(self.counts[name] is None or "lost" not in done.stderr, done)

    def cut(self):
        """A request that breaks off somewhere."""
        name = self.choose()
        self.assertEqual(dsb("exec", name, "-c", "1", limit=120).status, 0)  # there is a service
        body = json.dumps({"code": COUNT + "print(n)"}).encode()
        text = b"POST /v1/sessions/%s/execute HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (name.encode(), len(body), body)
        size = self.random.choice((self.random.randrange(1, len(text)), len(text)))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(os.path.join(cli_harness.WORK.run, "dsandbox/api.sock"))
            sock.sendall(text[:size])
            time.sleep(self.random.uniform(0, 0.1))
        if self.counts[name] is not None and size == len(text):
            self.counts[name] |= {value + 1 for value in self.counts[name]}

    # --- the machine ------------------------------------------------------------------

    def short(self):
        """A program that may have too little."""
        kind, values = self.random.choice(SHORTAGES)
        value = self.random.choice(values)
        verb = self.random.choice((("--no-service", "--backend", BACKEND, "run", "--base-dir", cli_harness.WORK.base, "-c", CODE),
                                   ("exec", self.choose(), "-c", "print(6 * 7)"), ("session", "ls")))
        if self.allow and "run" in verb:
            verb = (*verb, "--allow-unenforced=" + ",".join(self.allow))
        argv, env = command(verb)
        argv, first = with_limit(argv, kind, value)
        try:
            process = subprocess.run(argv, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120,
                                     preexec_fn=first)
        except subprocess.SubprocessError as error:
            self.assertIn("preexec_fn", str(error))
            return
        done = cli_harness.Done(verb, process.returncode, process.stdout, process.stderr, 0)
        if done.status != 0:
            self.assertIn(done.status, (125, 127), done)
            self.assertTrue(any(word in (done.stdout + done.stderr).lower() for word in REASONS[kind]), (kind, value, str(done)))

    # --- our own processes --------------------------------------------------------------

    def a_session_dies(self):
        name = self.choose()
        self.assertEqual(dsb("exec", name, "-c", "1", limit=120).status, 0)
        sockets = os.listdir(os.path.join(cli_harness.WORK.run, "dsandbox/api.sessions"))
        pid, = [int(one.rpartition("@")[2]) for one in sockets if one.rpartition("@")[0] == name]
        os.kill(pid, signal.SIGKILL)

        def is_known():
            return json.loads(dsb("session", "show", name, "--json").stdout)["state"] == "ended"

        self.assertTrue(wait_until(is_known, 20))  # until then an execution is lost with it
        self.may_lose(name)

    def the_service_ends(self):
        """Killed, or for the next one, it loses nothing."""
        number = self.random.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        end_service(number)
        if number == signal.SIGINT:
            self.may_lose(*NAMES)

    # --- the engine ---------------------------------------------------------------------

    def the_engine_stops(self):
        """It answers late; nothing is wrong."""
        name = self.choose()
        process = self.running(name, 0.2)
        rig("kill", ENGINE, "STOP")
        time.sleep(self.random.uniform(0.2, 2))
        rig("kill", ENGINE, "CONT")
        self.judge(name, self.end(process))

    def the_engine_dies(self):
        name = self.choose()
        process = self.running(name, 0.5)
        try:
            rig("kill", ENGINE, "KILL")
            done = self.end(process)
        finally:
            rig("start", ENGINE)
        self.may_lose(*NAMES)
        if done.status != 0:
            self.assertEqual(done.status, 125, done)
            self.assertRegex(done.stderr, "(?i)lost|engine|connection|socket|stream")

    # --- all of it ----------------------------------------------------------------------

    def acts(self):
        acts = [self.honest] * 10 + [self.one_shot] * 2 + [self.files] * 3
        acts += [self.hostile, self.signalled, self.cut, self.short] * 2 + [self.a_session_dies, self.the_service_ends]
        return acts + ([self.the_engine_stops, self.the_engine_dies] if RIG else [])

    def size(self):
        """Of the service, after each session has done something; the sessions' processes are its children."""
        for name in NAMES:
            dsb("exec", name, "-c", "print(1)", limit=120)
        return harness.process_size(service_pid())

    def mix(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            act = self.random.choice(self.acts())
            before = [f"{self.counts}", act.__name__]
            try:
                act()
            except BaseException:
                print(f"seed {SEED}, after {self.log[-6:]}, now {before}")
                raise
            self.log.append(act.__name__)

    def test_mixture(self):
        self.mix(SECONDS)
        end_service()
        first = self.size()
        self.may_lose(*NAMES)
        for _ in range(10):
            for act in (self.honest, self.one_shot, self.hostile, self.signalled, self.cut, self.files):
                act()
        last = self.size()
        self.assertLessEqual(last[0], first[0] + 2, "descriptors")
        self.assertLessEqual(last[1], first[1] + GROWTH_KIB, "memory")
        pids = [service_pid(), *harness.children(service_pid())]
        self.assertEqual(dsb("session", "rm", "--all", "--files", limit=120).status, 0)
        self.assertTrue(wait_until(lambda: not cli_harness.containers(), 60), cli_harness.containers())
        end_service()
        self.assertTrue(wait_until(lambda: all(map(is_gone, pids)), 30), pids)
        dsb("--backend", BACKEND, "--no-service", "gc", "--base-dir", cli_harness.WORK.base)
        left = [name for name in os.listdir(cli_harness.WORK.base) if re.match(r"\.run-|ann|bob|cid", name)]
        self.assertEqual(left, [])
        print(f"seed {SEED}, {SECONDS:g} s: {len(self.log)} acts; descriptors and KiB {first} before, {last} after")


if __name__ == "__main__":
    cli_harness.main([Mixture])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A program, its child, a session's process or all of them killed between the creation of a container and its start: nobody
holds its stream then, and somebody has to remove it; and the program in each phase, which is a request to the engine.
Environment and last line as in tests/cli/cli_harness.py.
"""
import os
import re
import signal
import threading

import cli_harness
from cli_harness import wait_until
from engine_proxy import EngineProxy
from session_harness import SessionCase, dsb, end_service, is_gone, kill_all, parent_of, popen

ROOTLESS = "who made the container is another user's process, in name spaces of his"
# The engine has not heard of it, has made it and nobody knows, and it was to be started just now.
POINTS = (("/containers/create", "request"), ("/containers/create", "answer"), ("/attach", "request"))


class Hold:
    def __init__(self, words, what):
        self.words, self.what = words, what
        self.held, self.going, self.answered = threading.Event(), threading.Event(), threading.Event()

    def is_it(self, data):
        return data.startswith(b"POST ") and self.words in data.split(b"\r\n", 1)[0]

    def wait(self):
        self.held.set()
        self.going.wait()


class Nth(Hold):
    """Whichever request it is."""
    REQUEST = re.compile(rb"(GET|HEAD|POST|DELETE) /")

    def __init__(self, number):
        super().__init__(b"", "request")
        self.number, self.line, self.lock = number, None, threading.Lock()

    def is_it(self, data):
        if not self.REQUEST.match(data):
            return False
        with self.lock:
            self.number -= 1
            if self.number == -1:
                self.line = re.sub(r"[0-9a-f]{12,}", "ID", data.split(b"\r\n", 1)[0].decode())
            return self.number == -1


class Between(EngineProxy):
    """Holds one request, or its answer, until release()."""
    now = None

    def hold(self, words, what):
        self.now = Hold(words.encode(), what)
        return self.now

    def hold_number(self, number):
        self.now = Nth(number)
        return self.now

    def on_data(self, data, to_engine, source, seen):
        hold = self.now
        if to_engine and hold is not None and hold.is_it(data):
            seen.append(hold)
            if hold.what == "request":
                hold.wait()
        elif not to_engine and seen:
            seen[-1].answered.set()
            if seen[-1].what == "answer":
                seen[-1].wait()
        return True

    def release(self):
        hold, self.now = self.now, None
        if hold is not None:
            hold.going.set()

    def release_soon(self):
        """After a first look at what is there; then what is held comes all the same."""
        hold, self.now = self.now, None
        threading.Timer(0.5, hold.going.set).start()
        return hold.answered

    def close(self):
        self.release()
        super().close()


def none_there():
    return wait_until(lambda: not cli_harness.containers(), 10)


def child_of(pid):
    return next(int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(name) == pid)


class Killed(SessionCase):
    def setUp(self):
        super().setUp()
        end_service()
        self.engine = Between()
        self.addCleanup(self.engine.close)
        self.env = self.engine.env()
        # By the same way to the engine, by which notes of what was begun there are known.
        self.addCleanup(dsb, "gc", *self.where(), env=self.env)
        self.addCleanup(end_service)
        self.assertTrue(none_there(), cli_harness.containers())

    def stopped(self, point, *args):
        hold = self.engine.hold(*point)
        process = popen(*args, *self.settings(), env=self.env)
        self.assertTrue(hold.held.wait(60), process)
        return process

    def dsb(self, *args):
        done = dsb(*args, *(self.where() if args == ("gc",) else self.settings()), env=self.env)
        self.assertEqual(done.status, 0, done)

    def nothing_left(self):
        self.assertTrue(none_there(), cli_harness.containers())
        locks = os.path.join(cli_harness.WORK.base, ".locks")
        self.assertEqual([name for name in os.listdir(locks) if name.startswith(".run-")], [])

    def one_there(self):
        self.assertTrue(wait_until(lambda: len(cli_harness.containers()) == 1, 10), cli_harness.containers())

    def test_program_and_child(self):
        """The next run removes it."""
        for point in POINTS:
            with self.subTest(point):
                process = self.stopped(point, "run", "--no-service", "-c", "1")
                child = child_of(process.pid)
                process.kill()
                process.communicate()
                self.assertTrue(wait_until(lambda child=child: is_gone(child), 10))
                self.engine.release()
                self.one_there()
                self.dsb("run", "--no-service", "-c", "1")
                self.nothing_left()

    def test_gc(self):
        process = self.stopped(POINTS[0], "run", "--no-service", "-c", "1")
        process.kill()
        process.communicate()
        answered = self.engine.release_soon()
        self.dsb("gc")
        self.assertTrue(answered.wait(60))
        self.nothing_left()

    def test_child_alone(self):
        """The program removes it, before it ends."""
        for point in POINTS:
            with self.subTest(point):
                process = self.stopped(point, "run", "--no-service", "-c", "1")
                os.kill(child_of(process.pid), signal.SIGKILL)
                answered = self.engine.release_soon()
                err = process.communicate(timeout=60)[1].decode()
                self.assertTrue(answered.wait(60))
                self.assertEqual(process.returncode, 125, err)
                self.assertRegex(err, f"crashed in {'start' if point == POINTS[2] else 'create'}: signal 9")
                self.assertTrue(none_there(), cli_harness.containers())
                self.nothing_left()

    def test_process_of_a_session(self):
        """The service has it removed."""
        for point in POINTS:
            with self.subTest(point):
                process = self.stopped(point, "session", "new", self.s)
                (name,) = os.listdir(os.path.join(cli_harness.WORK.run, "dsandbox/api.sessions"))
                os.kill(int(name.rpartition("@")[2]), signal.SIGKILL)
                answered = self.engine.release_soon()
                err = process.communicate(timeout=60)[1].decode()
                self.assertTrue(answered.wait(60))
                self.assertEqual(process.returncode, 125, err)
                self.assertIn("crashed in create: signal 9", err)
                self.nothing_left()

    def test_service_and_session(self):
        """The next session removes it."""
        for point in POINTS:
            with self.subTest(point):
                process = self.stopped(point, "session", "new", self.s)
                kill_all()
                process.kill()
                process.communicate()
                self.engine.release()
                self.one_there()
                self.dsb("session", "new", "other")
                self.one_there()
                self.assertEqual(dsb("session", "rm", "other", env=self.env).status, 0)
                self.nothing_left()
                end_service()


    def test_program_in_each_phase(self):
        """What a killed one leaves a single gc removes."""
        lines = []
        while len(lines) < 20:  # one that finds something to remove asks more
            hold = self.engine.hold_number(len(lines))
            process = popen("run", "--no-service", "-c", "print('whole')", *self.settings(), env=self.env)
            while not hold.held.wait(0.05) and process.poll() is None:
                pass
            if not hold.held.is_set():
                break
            with self.subTest(hold.line):
                lines.append(hold.line)
                child = child_of(process.pid)
                process.kill()
                process.communicate()
                self.assertTrue(wait_until(lambda child=child: is_gone(child), 10))
                self.engine.release()
                self.dsb("gc")
                self.nothing_left()
                self.assertEqual([name for name in os.listdir(cli_harness.WORK.base) if name.startswith(".run-")], [])
        self.engine.release()
        out, err = process.communicate()
        self.assertEqual((process.returncode, out, err), (0, b"whole\n", b""))
        text = "\n".join(lines)
        for phase in ("/containers/create", "/attach", "/start", "/json"):
            self.assertIn(phase, text)
        print(f"killed at {len(lines)} requests: {lines}")


if __name__ == "__main__":
    cli_harness.main([Killed])

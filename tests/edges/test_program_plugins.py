#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The program without the service, and a backend that crashes, aborts, exits, hangs or closes what is not its own: what it
did is said with its name, within the deadline, `--json` gives its object, one Ctrl-C is enough, and nothing is left.
Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import signal
import subprocess
import time

import cli_harness
from signals import send
from speed import scaled, set_seconds
from cli_harness import BACKEND, Done, containers, wait_until

ONCE = "the program is asked what it makes of a plugin around any backend"
BUILD = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
FAULT = os.path.join(BUILD, "tests/plugins/libdsandbox-fault.so")
INNER = os.path.join(BUILD, "backends", BACKEND, f"libdsandbox-{BACKEND}.so")
WAYS = {"crash": "crashed in {}: signal 11", "abort": "crashed in {}: signal 6", "exit": "ended in {} with exit status",
        "hang": "did not answer in time in {}", "quiet": "did not answer in time in {}"}
HANGS = ("hang", "quiet")
LOUD_WAYS = [how for how in WAYS if how != "quiet"]
ENGINE_TIMEOUT = set_seconds(2)
DEADLINE = 3 * ENGINE_TIMEOUT + 10  # of one operation
STREAM = 10  # of one of the stream, which does not wait for anything
CANCELLED = 10  # of one operation after a signal
REST = 10  # the program's own start, and the engine's work
PLAIN = ("run", "-c", "print(1)")
UNABLE = ("--runtime", "nope", *PLAIN)  # it cannot be made, and is removed; after an answer a sandbox goes by itself


class ProgramPlugins(cli_harness.EngineCase):
    def setUp(self):
        super().setUp()
        self.base = cli_harness.WORK.dir(f"base-{self.id()}", 0o700)
        self.told = False  # that something is left
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        """But for what could not be removed by a backend that fails every time."""
        if self.told:
            self.finish(self.begin("", "gc"), REST)
        self.assertTrue(wait_until(lambda: not containers(), 20), containers())
        self.assertEqual([name for name in os.listdir(self.base) if name.startswith(".run-")], [])
        self.assertEqual(self.processes(), [])

    def processes(self):
        """Those of the programs that we started."""
        mark = f"DSB_TEST_BASE={self.base}\0".encode()
        return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if mark in cli_harness.read(f"/proc/{pid}/environ")]

    def begin(self, fault, *args, engine_timeout=ENGINE_TIMEOUT, **more):
        file = cli_harness.WORK.file(fault)
        os.chmod(file, 0o666)
        env = {"DSB_TEST_INNER": INNER, "DSB_TEST_FAULT": file, "DSB_TEST_BASE": self.base, **more}
        options = ["--no-service", "--plugin", FAULT, "--engine-timeout", str(engine_timeout)]
        if not {"backend", "image"} & set(args):
            options += ["--base-dir", self.base]
        if self.allow and {"run", "doctor"} & set(args):
            options.append("--allow-unenforced=" + ",".join(self.allow))
        process = cli_harness.start(*options, *args, env=env, start_new_session=True)
        process.fault = file
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def finish(self, process, limit):
        try:
            out, err = process.communicate(timeout=scaled(limit))
        except subprocess.TimeoutExpired:
            self.fail(f"it still runs after {limit} s: {process.args}")
        self.told |= b"may still be there: 'dsandbox gc'" in err
        return Done(process.args, process.returncode, out, err, 0)

    def until_it_hangs(self, process):
        self.assertTrue(wait_until(lambda: not cli_harness.read(process.fault), 30), "it does not come to the fault")

    def check(self, how, operation, done, json_=False):
        words = WAYS[how].format(operation)
        self.assertEqual(done.status, 125, done)
        self.assertIn("backend fault " + words, done.stderr, done)
        if not json_:
            return
        (line,) = done.stdout.splitlines()
        result = json.loads(line)
        self.assertEqual((result["status"], result["failure"]["code"]), ("lost", "lost"), done)
        self.assertIn(words, result["failure"]["message"], done)
        self.result(done)

    def each_way(self, ways, cases, *options):
        """Cases have arguments and operations, which have names. What hangs waits for its deadline beside the rest."""
        waiting = [(how, name, self.begin(f"{operation}:1:{how}", *options, *args))
                   for how in ways if how in HANGS for args, operation, name in cases]
        for how in (how for how in ways if how not in HANGS):
            for args, operation, name in cases:
                self.ends_well(how, name, self.begin(f"{operation}:1:{how}", *options, *args), "--json" in options)
        for how, name, process in waiting:
            self.ends_well(how, name, process, "--json" in options)

    def ends_well(self, how, name, process, json_=False):
        with self.subTest(name, how=how, args=process.args[-3:]):
            self.check(how, name, self.finish(process, REST + (2 * DEADLINE if how in HANGS else 0)), json_)

    def test_run(self):
        self.each_way(WAYS, [(PLAIN, "open", "open"), (PLAIN, "create", "create"), (PLAIN, "start", "start"),
                             (PLAIN, "read", "stream.read"), (UNABLE, "destroy", "destroy")], "--json")

    def test_run_in_text(self):
        for operation, name, how, args in (("create", "create", "crash", PLAIN), ("read", "stream.read", "hang", PLAIN),
                                           ("destroy", "destroy", "exit", UNABLE)):
            with self.subTest(operation, how=how):
                done = self.finish(self.begin(f"{operation}:1:{how}", *args), REST + 2 * DEADLINE)
                self.check(how, name, done)
                self.assertEqual(done.stdout, "", done)

    def test_container_is_removed(self):
        """Of a run whose code began: what is there is removed before the answer."""
        done = self.finish(self.begin("read:3:crash", "--json", *PLAIN), REST + REST)
        self.check("crash", "stream.read", done, json_=True)
        self.assertEqual(containers(), [])
        self.assertNotIn("may still be there", done.stdout)

    def test_gc(self):
        self.each_way(LOUD_WAYS, [(("gc",), "list", "list")], "--json")

    def test_gc_of_a_container(self):
        """As it is to be removed, which was made and never started."""
        process = self.begin("start:1:hang", *PLAIN)
        self.until_it_hangs(process)
        process.kill()
        process.communicate(timeout=scaled(10))
        self.told = True
        self.assertEqual(len(containers()), 1, containers())
        self.each_way(("crash", "hang"), [(("gc",), "destroy", "destroy")], "--json")
        self.assertEqual(len(containers()), 1, containers())

    def test_listings(self):
        """What is asked of one backend is a problem of that one; the rest of the answer is there."""
        for how in LOUD_WAYS:
            cases = [("open", ("doctor",)), ("describe", ("backend", "ls")), ("open", ("backend", "show")),
                     ("describe", ("doctor",)), ("close", ("backend", "ls"))]
            started = [(operation, verb, self.begin(f"{operation}:1:{how}", "--json", *verb)) for operation, verb in cases]
            for operation, verb, process in started:
                with self.subTest(verb, operation=operation, how=how):
                    done = self.finish(process, REST + 2 * DEADLINE)
                    answer = json.loads(done.stdout)
                    doctor = verb == ("doctor",)
                    twice = how != "hang"  # that empties the file, so that the doctor's second question has its answer
                    self.assertEqual(done.status, 125 if doctor and twice else 0, done)
                    row = answer["backends"][0] if doctor else answer[0] if verb[1] == "ls" else answer
                    words = "the backend fault " + WAYS[how].format(operation)
                    self.assertIn(words, row["problem"])
                    self.assertEqual((row["usable"], row["engine"]), (False, None))
                    if doctor and twice:
                        bad = {finding["name"]: finding for finding in answer["findings"] if not finding["good"] and finding["needed"]}
                        self.assertIn(words, bad["engine"]["found"])
                        self.assertFalse(answer["good"] or answer["usable"])

    def test_listings_in_text(self):
        for verb in (("doctor",), ("backend", "ls"), ("backend", "show", "fault")):
            done = self.finish(self.begin("open:1:crash", *verb), REST)
            self.assertIn("the backend fault crashed in open: signal 11", done.stdout, done)

    def test_image_build(self):
        """Its time has no limit, but one signal is enough."""
        for how in ("crash", "exit"):
            self.check(how, "image_make", self.finish(self.begin(f"image_make:1:{how}", "--json", "image", "build"), REST), json_=True)
        files = cli_harness.WORK.dir("image-files", 0o700)
        process = self.begin("image_make:1:hang", "image", "build", TMPDIR=files)
        self.until_it_hangs(process)
        self.assertEqual(len(os.listdir(files)), 1, "its files are there")
        process.send_signal(signal.SIGINT)
        done = self.finish(process, CANCELLED + REST)
        self.assertEqual(done.status, 130, done)
        self.assertIn(WAYS["hang"].format("image_make"), done.stderr)
        self.assertEqual(os.listdir(files), [])

    def test_one_signal_is_enough(self):
        cases = [(number, status, case) for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143))
                 for case in (("create", "create", PLAIN), ("read", "stream.read", PLAIN), ("destroy", "destroy", UNABLE))]
        started = []
        for number, status, (operation, name, args) in cases:
            process = self.begin(f"{operation}:1:hang", "--json", *args, engine_timeout=300)
            self.until_it_hangs(process)
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            started.append((process, status, name))
        for process, status, name in started:
            with self.subTest(name, status=status):
                done = self.finish(process, 2 * CANCELLED + REST)
                self.assertEqual(done.status, status, done)
                self.assertIn(WAYS["hang"].format(name), done.stderr)
                (line,) = done.stdout.splitlines()
                self.assertIn(WAYS["hang"].format(name), json.loads(line)["failure"]["message"])

    def test_third_signal(self):
        """For whom one is not quick enough."""
        process = self.begin("create:1:hang", *PLAIN, engine_timeout=300)
        self.until_it_hangs(process)
        send(process, signal.SIGINT, 3)
        begin = time.monotonic()
        self.assertEqual(self.finish(process, REST).status, -signal.SIGINT)
        self.assertLess(time.monotonic() - begin, CANCELLED - 2)
        self.assertTrue(wait_until(lambda: not self.processes(), 5), self.processes())
        self.told = True  # by the manual: nobody had the time to remove anything

    def test_kill_of_the_program(self):
        """Nothing of it goes on without it."""
        process = self.begin("create:1:hang", *PLAIN)
        self.until_it_hangs(process)
        process.kill()
        process.communicate(timeout=scaled(10))  # its pipes are closed
        self.assertTrue(wait_until(lambda: not self.processes(), 5), self.processes())
        self.finish(self.begin("", "gc"), REST)

    def test_stopped_for_a_while(self):
        """What a terminal stops, and goes on later, did not hang meanwhile."""
        process = self.begin("", "run", "--timeout", "60", "-c", "import time; print('on', flush=True); time.sleep(3); print('off')")
        self.assertEqual(process.stdout.readline(), b"on\n")
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(STREAM + 2)
        os.killpg(process.pid, signal.SIGCONT)
        done = self.finish(process, REST)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "off\n", ""), done)


if __name__ == "__main__":
    cli_harness.main([ProgramPlugins])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
One thing fails for once: a thread, a descriptor, a process or a write, in the service or in the process of a session. Who
met it has an answer that names the reason, or notices nothing; nobody else does, and nothing is left. The engine is one
in memory (tests/plugins/memory.c).

The Nth call of the kind fails, alone or with some after it, for N from 1 to the last one of a fixed course of requests.
DSB_TEST_INJECT=all tries every N; otherwise DSB_TEST_SEED chooses some. The last line is "N passed, N failed, N skipped".
"""
import contextlib
import errno
import glob
import json
import os
import random
import signal
import sys
import time
import unittest

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "service"), os.path.join(TESTS, "rig")]
import harness  # noqa: E402
import runner  # noqa: E402
from fake_pid1 import FakePid1  # noqa: E402
from harness import Failure, Service, children, wait_for  # noqa: E402
from injector import CLASSES, DESCRIPTORS, DISK, ERRORS, PROCESSES, SENT, THREADS, Injector, words  # noqa: E402
from speed import scaled  # noqa: E402

BUILT = os.path.join(os.path.dirname(os.path.dirname(harness.PROGRAM)), "tests")
PLUGIN = os.path.join(BUILT, "plugins/libdsandbox-memory.so")
LIBRARY = os.path.join(BUILT, "inject/libinject.so")
ALL = os.environ.get("DSB_TEST_INJECT") == "all"
SEED = os.environ.get("DSB_TEST_SEED", "1")
SAMPLE = int(os.environ.get("DSB_TEST_INJECT_SAMPLE", "10"))
ANSWER_SECONDS = 30
SPANS = 1, 4  # what tries again, or in another way, is not always better off
LARGE = "y" * 150000  # more than a frame holds


class OneShot(FakePid1):
    """The directory of a run has a name of its own."""

    def __init__(self, path, base):
        self.base = base
        super().__init__(path, None)

    @property
    def workdir(self):
        """Who gave up may have taken it away before we look."""
        return max(glob.glob(os.path.join(self.base, ".run-*")), key=self.made, default=os.path.join(self.base, ".run-gone"))

    @staticmethod
    def made(path):
        with contextlib.suppress(FileNotFoundError):
            return os.path.getmtime(path)
        return 0

    @workdir.setter
    def workdir(self, _):
        pass


class Steps:
    """The course of requests. What is not as it should be, and names no reason, is in `wrong`."""

    def __init__(self, test, reason):
        self.test, self.api, self.reason = test, harness.Api(test.service.socket), reason
        self.create, self.run_where = test.create(test.pid1s["b"]), test.create(test.pid1s["run"])
        self.refused, self.wrong, self.made = [], [], False

    def __call__(self, name, call, good):
        begin = time.monotonic()
        try:
            answer = call()
            if good(answer):
                return answer
            said = self.why(answer)
        except Failure as failure:
            said = f"{failure.status} {failure.code}: {failure.message}"
            if failure.code == "not_found" and self.refused:
                return None  # what was to be there was refused
        except Exception as error:  # pylint: disable=broad-except
            self.api.close()
            said = f"no answer after {time.monotonic() - begin:.1f} s: {error!r}"
        (self.refused if self.reason in said.lower() and "cancelled" not in said else self.wrong).append(f"{name}: {said}")
        return None

    @staticmethod
    def why(answer):
        if not isinstance(answer, dict):
            return f"wrong: {answer!r:.300}"
        failure, state = answer.get("failure") or {}, answer.get("state")
        lost = state.get("reason") if isinstance(state, dict) else None
        if answer.get("status") == "ok":
            return f"ok, and wrong: state {state}, {str(answer)[:300]}" if lost is None else f"came back: {lost}"
        return f"{answer.get('status')}: {failure.get('code')}: {failure.get('message')}" if failure else str(answer)[:600]

    def execute(self, code, **more):
        return self.api.post("/v1/sessions/b/execute", {"code": json.dumps(code), "create": self.create, **more})

    @staticmethod
    def printed(text):
        return lambda r: r["status"] == "ok" and (r["stdout"], r["state"]["outcome"]) == (text, "kept")

    def streamed(self):
        """With input that comes later."""
        body = {"code": json.dumps({"echo": True}), "create": self.create, "stdin_open": True, "stdin": "first "}
        stream = self.api.stream("/v1/sessions/b/execute", body, ANSWER_SECONDS)
        with contextlib.closing(stream):
            for event, data in stream:
                if event == "started":
                    with contextlib.suppress(Failure):  # it has ended: the stream says why
                        self.api.call("POST", f"/v1/executions/{stream.id}/stdin?end=1", "second")
                if event == "error":
                    raise Failure(200, data["error"])
            return {**stream.result, "stdout": stream.stdout.decode()}

    def cancelled(self):
        stream = self.api.stream("/v1/sessions/b/execute", {"code": '{"wait": 600}', "create": self.create}, ANSWER_SECONDS)
        with contextlib.closing(stream):
            for event, data in stream:
                if event == "started":
                    with contextlib.suppress(Failure):
                        self.api.post(f"/v1/executions/{stream.id}/interrupt")
                if event == "error":
                    raise Failure(200, data["error"])
            return stream.result

    def files(self):
        path = "/v1/sessions/b/files"
        self("put", lambda: self.api.call("PUT", path + "/d/f", "content" * 30000), lambda _: True)
        there = self("get", lambda: self.api.get(path + "/d/f"), lambda r: r == b"content" * 30000)
        if there is not None:
            self("list", lambda: self.api.get(path), lambda r: "d/f" in [row["path"] for row in r["files"]])

    def all(self):
        self("new", lambda: self.api.post("/v1/sessions", {"id": "b", "exist_ok": True, **self.create}), lambda r: r["state"] == "idle")
        self("exec", lambda: self.execute({"out": "x"}), self.printed("x"))
        self("large", lambda: self.execute({"out": LARGE}), self.printed(LARGE))
        self("stdin", lambda: self.execute({"echo": True}, stdin="in"), self.printed("in"))
        self("stream", self.streamed, self.printed("first second"))
        if not self.refused:
            self("record", lambda: self.test.records("b"), lambda names: len(names) == 1)
        self.files()
        self("cancel", self.cancelled, lambda r: r["status"] == "cancelled")
        self("vars", lambda: self.api.get("/v1/sessions/b/vars"), lambda r: r == {"vars": [], "truncated": False})
        self("delete", lambda: self.api.delete("/v1/sessions/b?files=1"), lambda r: r["files_deleted"])
        self("anew", lambda: self.execute({"echo": True}, stdin="in"), self.printed("in"))
        if self.refused and self.refused[-1].startswith("anew: 500"):  # not as one that could not make its sandbox
            self("none", lambda: self.api.get("/v1/sessions"), lambda r: [row["id"] for row in r["sessions"]] == ["a"])
        self("delete again", lambda: self.api.delete("/v1/sessions/b?files=1"), lambda r: r["files_deleted"])
        self("run", lambda: self.api.post("/v1/run", {"code": '{"out": "one"}', **self.run_where}),
             lambda r: (r["status"], r["stdout"]) == ("ok", "one"))
        self.api.close()


def some(count, what):
    """Of the numbers from 1."""
    numbers = list(range(1, count + 1))
    return numbers if ALL or count <= SAMPLE else sorted(random.Random(f"{SEED}{what}").sample(numbers, SAMPLE))


class Inject(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        path = harness.WORK.file("")
        self.injector = Injector(LIBRARY, path)
        self.addCleanup(self.injector.close)
        env = dict(self.injector.env)
        if "ASAN_OPTIONS" in os.environ:
            env["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        self.service = Service(env=env, idle="600s")
        self.addCleanup(self.service.stop)
        os.makedirs(self.service.base, 0o700, exist_ok=True)
        base, run = self.service.base, self.service.run
        self.pid1s = {name: FakePid1(os.path.join(run, name), os.path.join(base, name)) for name in "ab"}
        self.pid1s["run"] = OneShot(os.path.join(run, "run"), base)
        for pid1 in self.pid1s.values():
            self.addCleanup(pid1.close)
        self.api = self.service.api
        self.pid = self.service.pid
        self.kept = 0
        self.check(self.api.run("a", '{"keep": "variable"}', create=self.create(self.pid1s["a"])), "")
        self.a = next(pid for pid in children(self.pid) if self.is_of_a(pid))

    def warm(self):
        """What is loaded once is there."""
        for _ in range(3):
            self.course()
        self.restore()
        wait_for(lambda: len(children(self.pid)) == 2)
        wait_for(lambda: self.state()["containers"] == 0)
        self.before = self.state()

    def course(self):
        steps = Steps(self, "nothing may be refused")
        steps.all()
        self.assertEqual((steps.refused, steps.wrong), ([], []), self.service.said())

    def create(self, pid1):
        return {"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path}

    def is_of_a(self, pid):
        return os.path.exists(os.path.join(self.service.run, f"dsandbox/api.sessions/a@{pid}"))

    def check(self, result, printed):
        self.kept += 1
        self.assertEqual((result["status"], result["stdout"], result["state"]["outcome"], result["state"]["execution"]),
                         ("ok", printed, "kept", self.kept), result)

    # --- what there is of the service --------------------------------------------------

    def kinds(self, pid):
        """Of its descriptors."""
        found = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{pid}/fd/{number}").split("[")[0].split(":")[0])
        return sorted(found)

    def tree(self, top):
        return sorted(os.path.relpath(os.path.join(folder, name), top) for folder, folders, names in os.walk(top)
                      for name in folders + names)

    def records(self, name):
        return [path for path in os.listdir(os.path.join(self.service.state, "dsandbox/sessions")) if path.startswith(name)]

    def state(self):
        return {"descriptors": self.kinds(self.pid), "threads": len(os.listdir(f"/proc/{self.pid}/task")),
                "children": len(children(self.pid)), "a": self.kinds(self.a), "base": self.tree(self.service.base),
                "records": len(self.records("")),
                "sockets": os.listdir(os.path.join(self.service.run, "dsandbox/api.sessions")),
                "containers": sum(c.is_alive() for name in ("b", "run") for c in self.pid1s[name].containers)}

    def restore(self):
        with contextlib.suppress(Failure):
            self.api.delete("/v1/sessions/b?files=1")

    def make_b(self, reason):
        """The process that waits for the next session may have been started in the shortage, and ends with its reason."""
        body = {"id": "b", **self.create(self.pid1s["b"])}
        try:
            self.api.post("/v1/sessions", body)
        except Failure as failure:
            if reason not in failure.message.lower():
                raise
            self.api.post("/v1/sessions", body)

    def as_before(self):
        """What is different from before; waits a while for it to become the same."""
        deadline = time.monotonic() + scaled(12)
        while True:
            now = {}
            with contextlib.suppress(OSError):
                now = self.state()
            if now == self.before:
                return []
            if time.monotonic() > deadline:
                return [f"{key}: {now.get(key)} instead of {value}" for key, value in self.before.items() if now.get(key) != value]
            time.sleep(0.02)

    # --- one fault -----------------------------------------------------------------------

    def fault(self, kind, code, nth, process, span=1):
        """What is wrong after it; None: there are not so many calls."""
        self.injector.arm(kind, code, nth, process, [self.a], span)
        reason = words(code if kind != DESCRIPTORS else errno.EMFILE)  # those that are sent know only this one
        steps = Steps(self, reason)
        steps.all()
        self.injector.disarm()
        where, wrong = self.injector.fired, steps.wrong
        if nth > 0 and where is None:
            return None
        try:
            self.check(self.api.run("a", '{"give": true}'), "variable")
            if self.service.pid != self.pid:
                wrong.append("another service")
            self.restore()
            if span > 1:  # a note in a lock that could not be taken back goes with the next session
                self.make_b(reason)
                self.restore()
            wrong += self.as_before()
        except Exception as error:  # pylint: disable=broad-except
            wrong.append(f"afterwards: {error!r}")
        paid = [text for text in steps.refused if ": came back: " not in text]  # that is how the next one hears of a loss
        if len(paid) > 1 and span == 1:
            wrong.append(f"more than one paid for it: {paid}")
        if os.environ.get("DSB_TEST_INJECT_VERBOSE"):
            print(f"{process} {CLASSES[kind]} {nth}: {where}\n    {steps.refused} {wrong}", flush=True)
        return [f"{where}: {text}" for text in wrong]

    def every(self, kind, process):
        self.warm()
        self.assertEqual(self.fault(kind, 0, 0, process), [])
        count = self.injector.count
        fired, numbers = 0, some(count, f"{process}{kind}")
        for nth in numbers:
            code, span = ERRORS[kind][nth % len(ERRORS[kind])], SPANS[nth // 2 % len(SPANS)]
            with self.subTest(process=process, nth=nth, of=count, code=code, span=span):
                wrong = self.fault(kind, code, nth, process, span)
                fired += wrong is not None
                self.assertEqual(wrong or [], [], self.service.said()[-1500:])
        print(f"{process}, {CLASSES[kind]}: {count} calls, {fired} of {len(numbers)} failed")

    def test_broker_descriptors(self):
        self.every(DESCRIPTORS, "dsandbox-serve")

    def test_broker_threads(self):
        """It has made all of its threads: none is missed, also in its first answers."""
        self.injector.arm(THREADS, errno.EAGAIN, 1, "dsandbox-serve")
        self.course()
        self.assertIsNone(self.injector.fired)
        self.assertEqual(self.service.pid, self.pid)

    def test_broker_processes(self):
        self.every(PROCESSES, "dsandbox-serve")

    def test_broker_disk(self):
        self.every(DISK, "dsandbox-serve")

    def test_session_descriptors(self):
        self.every(DESCRIPTORS, "dsandbox-session")

    def test_session_threads(self):
        self.every(THREADS, "dsandbox-session")

    def test_session_processes(self):
        self.every(PROCESSES, "dsandbox-session")

    def test_session_disk(self):
        self.every(DISK, "dsandbox-session")


    def test_descriptors_that_may_not_be_sent(self):
        """A sandbox of the same user can bring that about for as long as it lives: it costs no session its variables."""
        large = json.dumps({"out": LARGE})
        for process, code, failed in (("dsandbox-serve", "{}", "nothing was run"), ("dsandbox-session", large, "its result could not be handed over")):
            with self.subTest(process):
                self.injector.arm(SENT, errno.ETOOMANYREFS, 1, process, span=1 << 20)
                for name, ask in (("in a session", lambda: self.api.run("a", code)),
                                  ("one-shot", lambda: self.api.post("/v1/run", {"code": code, **self.create(self.pid1s["run"])}))):
                    with self.subTest(name):
                        said = ""
                        try:
                            said = str(ask())
                        except Failure as failure:
                            said = failure.message
                        self.assertIn(failed, said)
                        self.assertIn("Too many references: this user", said)
                self.injector.disarm()
                result = self.api.run("a", '{"give": true}')
                self.assertEqual((result["status"], result["stdout"], result["state"]["outcome"]), ("ok", "variable", "kept"), result)


class Start(unittest.TestCase):
    """The service begins, or says what it is short of."""

    def begin(self, injector, kind, code, nth, span=1):
        """(whether it is up, what it said)"""
        service = Service(start=False, env=injector.env)
        injector.arm(kind, code, nth, "dsandbox-serve", span=span)
        process = service.popen(harness.PROGRAM, "serve", "--idle", "600s")
        up = None
        while up is None:
            try:
                service.api.get("/v1/version")
                up = True
            except OSError:
                service.api.close()
                up = False if process.poll() is not None else None
                time.sleep(0.005)
        injector.disarm()
        service.api.close()
        if up:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=harness.HARD_LIMIT)
        self.assertEqual(process.returncode, 0 if up else 125, err)
        return up, err.decode()

    def every(self, kind):
        injector = Injector(LIBRARY, harness.WORK.file(""))
        self.addCleanup(injector.close)
        self.begin(injector, kind, 0, 0)
        count = injector.count
        for nth in some(count, f"start{kind}"):
            code, span = ERRORS[kind][nth % len(ERRORS[kind])], SPANS[nth // 2 % len(SPANS)]
            with self.subTest(nth=nth, of=count, code=code, span=span):
                up, said = self.begin(injector, kind, code, nth, span)
                self.assertTrue(up or words(code) in said.lower(), f"{injector.fired}: {said}")
        print(f"start, {CLASSES[kind]}: {count} calls")

    def test_descriptors(self):
        self.every(DESCRIPTORS)

    def test_threads(self):
        self.every(THREADS)

    def test_processes(self):
        self.every(PROCESSES)

    def test_disk(self):
        self.every(DISK)


class Program(unittest.TestCase):
    """The program without a service: a run, and what it leaves."""

    def setUp(self):
        self.injector = Injector(LIBRARY, harness.WORK.file(""))
        self.addCleanup(self.injector.close)
        self.service = Service(start=False, env=self.injector.env)
        os.makedirs(self.service.base, 0o700, exist_ok=True)
        self.pid1 = OneShot(os.path.join(self.service.run, "run"), self.service.base)
        self.addCleanup(self.pid1.close)

    def run_once(self, kind, code, nth, span=1):
        """(exit status, the object of the result, what else was said)"""
        self.injector.arm(kind, code, nth, "dsandbox", span=span)
        where = ["--plugin", PLUGIN, "--host", "unix:" + self.pid1.path, "--base-dir", self.service.base]
        process = self.service.popen(harness.PROGRAM, "--no-service", "--json", *where, "run", "-c", '{"out": "one"}')
        out, err = process.communicate(timeout=harness.HARD_LIMIT)
        self.injector.disarm()
        return process.returncode, out.decode(), err.decode()

    def left(self):
        return [name for name in os.listdir(self.service.base) if name != ".locks"] + \
               os.listdir(os.path.join(self.service.base, ".locks")) + [c for c in self.pid1.containers if c.is_alive()]

    def judge(self, code, status, out, err):
        """It did its work, or named the reason in one object."""
        if status == 0:
            self.assertEqual(json.loads(out)["stdout"], "one")
            return
        self.assertEqual(status, 125, (status, out, err))
        failure = json.loads(out)["failure"] if out else {"message": err}
        self.assertIn(code, failure["message"].lower(), (out, err))

    def every(self, kind):
        self.assertEqual(self.run_once(kind, 0, 0)[0], 0)
        count = self.injector.count
        for nth in some(count, f"program{kind}"):
            code, span = ERRORS[kind][nth % len(ERRORS[kind])], SPANS[nth // 2 % len(SPANS)]
            with self.subTest(nth=nth, of=count, code=code, span=span):
                done = self.run_once(kind, code, nth, span)
                where = self.injector.fired
                try:
                    self.judge(words(code if kind != DESCRIPTORS else errno.EMFILE), *done)
                    wait_for(lambda: not self.left())
                except AssertionError as error:
                    raise AssertionError(f"{where}: {error} {self.left()}") from None
        print(f"program, {CLASSES[kind]}: {count} calls")

    def test_descriptors(self):
        self.every(DESCRIPTORS)

    def test_threads(self):
        self.every(THREADS)

    def test_processes(self):
        self.every(PROCESSES)

    def test_disk(self):
        self.every(DISK)


CASES = (Start, Program, Inject)


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in CASES)


def main():
    harness.begin()
    try:
        result = runner.run()
    finally:
        harness.end()
    runner.end(result)


if __name__ == "__main__":
    main()

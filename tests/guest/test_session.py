#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Session mode of dsb-init and session.py, without any engine; the client is guest_client.py's.

Every case runs as pid 1 of new namespaces and, where it can differ, as an ordinary process; what would reach
foreign processes (kill of -1) runs in namespaces only.
"""
import base64
import json
import os
import re
import shutil
import tempfile
import time
import unittest

from guest_client import (ACK, ANSWER, CANCEL, CONTROL, DONE, EXEC, FAILURE, READY, REPORT, STDERR, STDIN, STDOUT, Guest,
                        as_process, control_command, exec_command, namespaces, once, program_command, scaled)
import runner

BACKGROUND = 15
CRASHES = (
    ("import ctypes\nctypes.string_at(0)", "signal", "signal 11"),
    ("import os\nos._exit(3)", "exited", "exit status 3"),
    ("import os\nos.kill(os.getpid(), 9)", "signal", "signal 9"),
    ("import os\nos.abort()", "signal", "signal 6"),
)
IGNORES = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"


class Result:
    def __init__(self, guest, done):
        self.done = json.loads(done[2])
        self.status, self.code, self.state = self.done["status"], self.done["exit_code"], self.done["state"]
        self.outcome = self.state["outcome"]
        behind = [json.loads(p) for k, _, p in guest.frames if k == BACKGROUND]
        assert len(behind) <= 1
        self.background = behind[0] if behind else None
        self.out, self.err = guest.stream(STDOUT).decode(), guest.stream(STDERR).decode()
        reports = [p for k, _, p in guest.frames if k == REPORT]
        assert len(reports) <= 1
        self.report = json.loads(reports[0]) if reports else None
        self.value = self.report and self.report["result"] and self.report["result"]["text/plain"]


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return set(map(int, f.read().split()))


def pid_inside(pid):
    """As the process itself sees it, 0 when it has gone meanwhile."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return next(int(line.split()[-1]) for line in f if line.startswith("NSpid:"))
    except OSError:
        return 0


class Session:
    def __init__(self, prefix, env=None, config_env=None, **config):
        self.guest = Guest(prefix, env)
        if config_env:
            config["env"] = config_env
        self.hello = self.guest.configure(session=True, **config)
        self.number = 0

    def send(self, code, **options):
        self.number += 1
        self.guest.frames.clear()
        self.guest.send(EXEC, exec_command(code, **{"timeout_ms": 30000, **options}), self.number)

    def send_program(self, argv, **options):
        self.number += 1
        self.guest.frames.clear()
        self.guest.send(EXEC, program_command(argv, **{"timeout_ms": 30000, **options}), self.number)

    def finish(self):
        done = self.guest.until(DONE, FAILURE)
        assert done is not None, "the stream ended"
        assert done[0] == DONE, done
        assert done[1] == self.number, done
        assert all(n == self.number for k, n, _ in self.guest.frames if k not in (READY, ANSWER)), self.guest.frames
        result = Result(self.guest, done)
        self.guest.send(ACK, b"", self.number)
        return result

    def run(self, code, stdin=None, **options):
        self.send(code, **options)
        if stdin is not None:
            self.guest.send(STDIN, stdin, self.number)
            self.guest.send(STDIN, b"", self.number)
        return self.finish()

    def program(self, *argv, stdin=b"", **options):
        self.send_program(argv, **options)
        for data in (stdin, b"") if stdin else (b"",):
            self.guest.send(STDIN, data, self.number)
        return self.finish()

    def control(self, op, **members):
        self.guest.send(CONTROL, control_command(op, **members), 1 << 31)
        frame = self.guest.until(ANSWER, FAILURE)
        assert frame is not None and frame[:2] == (ANSWER, 1 << 31), frame
        return json.loads(frame[2])

    def pid(self):
        """Of dsb-init as the test sees it."""
        pid = self.guest.process.pid
        with open("/proc/%d/comm" % pid) as f:
            if f.read().strip() == "dsb-init":
                return pid
        return min(children(pid))

    def children(self):
        return children(self.pid())


class Base:
    prefix = ()

    def start(self, env=None, prefix=None, **config):
        session = Session(self.prefix if prefix is None else prefix, env, **config)
        self.addCleanup(session.guest.close)
        return session

    def kept(self, result, **more):
        self.assertEqual((result.outcome, result.state["reason"], result.state["to"]), ("kept", None, None), result.err)
        self.assertEqual((result.status, result.code), (more.get("status", "exited"), more.get("code", 0)), result.err)
        return result

    def directory(self):
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path)
        return path

    def await_file(self, path):
        until = time.monotonic() + scaled(30)
        while not os.path.exists(path):
            self.assertLess(time.monotonic(), until, path)
            time.sleep(.01)

    def ten(self, s):
        s.run("import os\nn = 0")
        for i in range(9):
            self.kept(s.run("n += 1\nn"))
        return s


class Cases(Base):
    # --- what persists

    @once
    def test_variables_persist(self):
        s = self.start()
        self.kept(s.run("import math, os\nx = [1]\ndef f(): return len(x)\nos.chdir('/')\nclass A: pass\na = A()"))
        self.kept(s.run("x.append(math.pi)"))
        r = self.kept(s.run("f(), os.getcwd(), isinstance(a, A), __name__"))
        self.assertEqual(r.value, "(2, '/', True, '__main__')")
        self.assertEqual(r.state["point"], "taken")

    @once
    def test_arguments_and_environment(self):
        s = self.start()
        s.run("import os, sys\nsys.path.append('/p')", filename="a.py", argv=["1"], env={"A": "b"})
        r = s.run("sys.argv, os.environ.get('A'), sys.path[0], sys.path[-1]", filename="b.py", argv=["2", "3"])
        self.assertEqual(r.value, "(['/sandbox/b.py', '2', '3'], None, '/sandbox', '/p')")
        s.run("os.environ['C'] = 'd'")
        self.assertEqual(s.run("dict(os.environ)").value, "{'C': 'd'}")
        # What a file has of itself is gone for code without one.
        has = "[name in globals() for name in ('__file__', '__cached__')]"
        self.assertEqual([s.run(has, filename=name).value for name in ("b.py", "")], ["[True, True]", "[False, False]"])

    @once
    def test_environment_of_one_execution(self):
        s = self.start(config_env={"A": "b", "TZ": "UTC"})
        self.assertEqual(s.run("import os, time\nos.environ['A'], os.environ['E'], time.tzname[0]",
                               env={"A": "c", "E": "f", "TZ": "XYZ-3"}).value, "('c', 'f', 'XYZ')")
        self.assertEqual(s.run("dict(os.environ), time.tzname[0]").value, "({'A': 'b', 'TZ': 'UTC'}, 'UTC')")
        # What the code sets or removes itself is its own.
        s.run("os.environ['A'] = 'mine'\ndel os.environ['E']\nos.environ['G'] = 'h'", env={"A": "c", "E": "f"})
        self.assertEqual(s.run("dict(os.environ)").value, "{'A': 'mine', 'TZ': 'UTC', 'G': 'h'}")

    @once
    def test_environment_of_the_config(self):
        s = self.start(config_env={"A": "b"}, checkpoint="off")
        self.assertEqual(s.run("import os\ndict(os.environ)").value, "{'A': 'b'}")
        s.run("os._exit(1)")
        self.assertEqual(s.run("import os\ndict(os.environ)").value, "{'A': 'b'}")

    @once
    def test_what_changed(self):
        s = self.start()
        v = s.run("a = 1\nb = [1]\nc = 'x'\n_private = 2\ndef f(): pass\nn = float('nan')").report
        self.assertEqual([(x["name"], x["type"]) for x in v["vars"]["created"]],
                         [("a", "int"), ("b", "list"), ("c", "str"), ("f", "function"), ("n", "float")])
        self.assertEqual(v["count"], 5)
        v = s.run("a += 1\nb.append(2)\ndel c\nd = None").report["vars"]
        self.assertEqual(v, {"created": [{"name": "d", "type": "NoneType"}],
                             "changed": [{"name": "a", "type": "int"}, {"name": "b", "type": "list"}],
                             "deleted": [{"name": "c", "type": "str"}], "truncated": False})
        v = s.run("for i in range(1500): globals()['v%d' % i] = i").report
        self.assertEqual((len(v["vars"]["created"]), v["vars"]["truncated"], v["count"]), (1000, True, 1506))
        self.assertEqual(s.run("_ = 1").report["vars"], {"created": [], "changed": [], "deleted": [], "truncated": False})
        v = s.run("for i in range(1001): globals()['v%d' % i] = -1").report["vars"]
        self.assertEqual((len(v["changed"]), v["truncated"]), (1000, True))
        v = s.run("for i in range(1000): del globals()['v%d' % i]").report["vars"]
        self.assertEqual((len(v["deleted"]), v["truncated"]), (1000, False))

    @once
    def test_exit_status(self):
        s = self.start()
        self.kept(s.run("x = 1"))
        for code, status in (("1/0", 1), ("import sys; sys.exit(7)", 7), ("raise SystemExit", 0), ("x = (", 1), ("exit(2)", 2)):
            self.kept(s.run(code), code=status)
        self.assertEqual(self.kept(s.run("x")).value, "1")

    @once
    def test_errors_show_the_lines_of_their_execution(self):
        s = self.start()
        s.run("def f():\n    return 1 / 0")
        r = s.run("# another text\n\n\nf()")
        self.assertIn("    return 1 / 0\n", r.report["error"]["traceback"])
        self.assertIn('File "<execution 2>", line 4', r.err)
        self.assertNotIn("session.py", r.err)
        s.run("import linecache, inspect\ndef g():\n    return 'g'\n")
        self.assertEqual(s.run("inspect.getsource(g)").value, repr("def g():\n    return 'g'\n"))

    @once
    def test_sources_have_a_bound(self):
        """The newest thousand are known, of 16 Mi characters."""
        s = self.start(checkpoint="off")
        s.run("def f():\n    return 1 / 0")
        s.run("_s = __loader__.execution.sources\n"
              "def _more(n, kind, text):\n    for i in range(n): _s.add('<%s %d>' % (kind, i), text)")
        self.assertIn("return 1 / 0", s.run("_more(997, 'few', '1'); f()").err)
        r = s.run("f()  # here")
        self.assertIn('File "<execution 1>", line 2', r.err)
        self.assertNotIn("return 1 / 0", r.err)
        self.assertIn("f()  # here", r.err)
        s.run("def g():\n    return 2 / 0")
        self.assertIn("return 2 / 0", s.run("_more(15, 'much', 'x' * (1 << 20)); g()").err)
        self.assertNotIn("return 2 / 0", s.run("_more(2, 'more', 'x' * (1 << 20)); g()").err)
        self.assertEqual(s.run("len(_s.texts) <= 1000, sum(map(len, _s.texts.values())) <= 16 << 20").value, "(True, True)")

    @once
    def test_formatting_has_a_time(self):
        s = self.start()
        r = s.run("import time\nclass S:\n n = 0\n def __repr__(self):\n  S.n += 1; time.sleep(.1); return 's'\n[S() for _ in range(30)]")
        self.assertRegex(r.value, r"^\[s, .*\u2026$")
        self.assertEqual(s.run("1 <= S.n <= 12").value, "True")

    @once
    def test_display(self):
        s = self.start()
        r = s.run("class A:\n def _repr_html_(self): return '<i>'\ndisplay(1, A())\ndisplay('x')\n2")
        self.assertEqual([d["text/plain"] for d in r.report["displays"]][::2], ["1", "'x'"])
        self.assertEqual(r.report["displays"][1]["text/html"], "<i>")
        self.assertEqual(s.run("1").report["displays"], [])

    @once
    def test_figures(self):
        s = self.start(env={"MPLBACKEND": "Agg", "PATH": os.environ["PATH"]})
        if s.run("import matplotlib", env={"MPLBACKEND": "Agg", "HOME": "/tmp"}).code != 0:
            self.skipTest("no matplotlib for the guest's interpreter")
        r = s.run("import matplotlib.pyplot as plt\nfor i in range(3):\n    plt.figure()\n    plt.plot([i, 1])\nplt.show()",
                  timeout_ms=120000)
        self.assertEqual(len(r.report["displays"]), 3)
        for d in r.report["displays"]:
            self.assertTrue(base64.b64decode(d["image/png"]).startswith(b"\x89PNG"))
            self.assertNotIn("image/svg+xml", d)
        self.assertEqual(s.run("plt.get_fignums()").value, "[]")
        r = s.run("import os\nos.environ['DSANDBOX_FIGURES'] = 'svg'\nplt.plot([1])", timeout_ms=120000)
        self.assertIn("</svg>", r.report["displays"][0]["image/svg+xml"])
        r = s.run("plt.plot(range(20000), [hash(str(i)) for i in range(20000)], 'o')", timeout_ms=120000)
        self.assertNotIn("image/svg+xml", r.report["displays"][0])
        self.assertIn("image/png", r.report["displays"][0])

    # --- survival

    def test_timeout_keeps_the_state(self):
        s = self.ten(self.start())
        self.kept(s.run("while True: pass", timeout_ms=500, grace_ms=60000), status="timeout", code=-1)
        self.assertEqual(self.kept(s.run("n")).value, "9")
        r = s.run("import time\ntry: time.sleep(600)\nfinally: print('end')", timeout_ms=int(1000 * scaled(.25)), grace_ms=60000)
        self.assertEqual((r.status, r.out, r.outcome), ("timeout", "end\n", "kept"))
        self.assertEqual(r.report["error"]["name"], "KeyboardInterrupt")
        self.assertTrue(r.err.endswith("KeyboardInterrupt\n"))

    def test_cancel_at_once(self):
        s = self.ten(self.start())
        for _ in range(20):
            s.send("import time\ntime.sleep(60)", grace_ms=60000)
            s.guest.send(CANCEL, b"", s.number)
            r = s.finish()
            self.assertEqual((r.status, r.outcome), ("cancelled", "kept"))
        self.assertEqual(self.kept(s.run("n")).value, "9")

    def test_cancel(self):
        s = self.ten(self.start())
        s.send("import time\nprint('go')\ntime.sleep(60)", grace_ms=60000)
        s.guest.until(STDOUT)
        s.guest.send(CANCEL, b"", s.number)
        self.kept(s.finish(), status="cancelled", code=-1)
        self.assertEqual(s.run("n").value, "9")

    def test_rollback(self):
        s = self.ten(self.start())
        for code, status, reason in CRASHES:
            r = s.run("n = 'wrong'\nprint('before')\n" + code)
            self.assertEqual((r.status, r.outcome, r.state["to"], r.out), (status, "rolled_back", s.number - 1, "before\n"))
            self.assertIn(reason, r.state["reason"])
            self.assertEqual(r.state["point"], "taken")
            self.assertEqual(self.kept(s.run("n")).value, "9")
        self.assertEqual(s.run("n += 1\nn").value, "10")

    def test_rollback_after_a_timeout(self):
        s = self.ten(self.start())
        limit = int(1000 * scaled(.2))  # by then it resists
        r = s.run("n = 'wrong'\n" + IGNORES, timeout_ms=limit, grace_ms=300)
        self.assertEqual((r.status, r.outcome, r.state["to"]), ("timeout", "rolled_back", 10))
        self.assertIn("time limit", r.state["reason"])
        r = s.run("n")
        self.assertEqual(self.kept(r).value, "9")
        # The next one can be interrupted again, whatever the last one did to SIGINT.
        s.run("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, [2])")
        self.kept(s.run("while True: pass", timeout_ms=500, grace_ms=60000), status="timeout", code=-1)
        r = s.run("import os\nos.kill(os.getpid(), 19)", timeout_ms=limit, grace_ms=300)
        self.assertEqual((r.status, r.outcome), ("timeout", "rolled_back"))
        self.assertEqual(s.run("n").value, "9")

    def test_output_kill(self):
        s = self.ten(self.start())
        r = s.run("while True: print('x' * 1000)", output_limit=100000, output_kill=True)
        self.assertEqual((r.status, r.outcome, len(r.out)), ("output_limit", "rolled_back", 100000))
        self.assertEqual(s.run("n").value, "9")
        r = s.run("print('x' * 2000)", output_limit=1000)
        self.assertEqual((r.status, r.outcome, len(r.out), r.done["stdout_truncated"]), ("exited", "kept", 1000, True))
        self.assertFalse(s.run("print(1)").done["stdout_truncated"])

    def test_first_execution_crashes(self):
        s = self.start()
        r = s.run("x = 1\nimport os\nos._exit(1)")
        self.assertEqual((r.outcome, r.state["to"]), ("rolled_back", 0))
        self.assertEqual(self.kept(s.run("'x' in globals()")).value, "False")

    def test_without_points(self):
        s = self.start(checkpoint="off")
        self.assertEqual(self.kept(s.run("x = 1")).state["point"], "off")
        self.assertEqual(self.kept(s.run("x")).value, "1")
        r = s.run("import os\nos._exit(4)")
        self.assertEqual((r.outcome, r.state["to"], r.code), ("lost", None, 4))
        self.assertIn("exit status 4", r.state["reason"])
        self.assertIn("off", r.state["reason"])
        self.assertEqual(self.kept(s.run("'x' in globals()")).value, "False")

    def test_death_between_executions(self):
        s = self.ten(self.start())
        r = s.run("import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(1), os._exit(5))).start()\nos.getpid()")
        until = time.monotonic() + scaled(30)
        while int(r.value) in map(pid_inside, s.children()):
            self.assertLess(time.monotonic(), until, "pid 1 does not notice that the interpreter ended")
            time.sleep(.01)
        r = s.run("n")
        self.assertEqual((r.status, r.outcome, r.value), ("exited", "rolled_back", "9"))
        self.assertIn("exit status 5", r.state["reason"])
        self.assertIn("threads were not carried over", r.state["reason"])
        self.kept(s.run("n"))

    @once
    def test_random_numbers_go_on(self):
        s = self.start()
        s.run("import random\nr = random.Random(5)\nrandom.seed(5)\n[random.gauss(0, 1), r.gauss(0, 1)]")
        for code, _, _ in CRASHES[:2]:
            self.assertEqual(s.run(code).outcome, "rolled_back")
            self.assertEqual(s.run("[random.random(), random.gauss(0, 1)] == [r.random(), r.gauss(0, 1)]").value, "True")

    @once
    def test_memory_rule(self):
        s = self.start(memory=200 << 20)
        if s.hello["cgroup"].get("memory", -1) != -1:
            self.skipTest("the tests have a memory limit of their own")
        self.assertEqual(s.run("a = 1").state["point"], "taken")
        r = s.run("x = bytearray(b'x') * (130 << 20)")
        self.assertRegex(r.state["point"], r"^skipped: memory \(it takes a limit of \d+ MiB\), a crash loses the variables of the last execution$")
        r = s.run("import os\nos._exit(1)")
        self.assertEqual((r.outcome, r.state["to"]), ("rolled_back", 1))
        self.assertEqual(s.run("a, 'x' in globals()").value, "(1, False)")
        # A point that holds much is given up first.
        self.assertEqual(s.run("x = bytearray(b'x') * (60 << 20)").state["point"], "taken")
        point = s.run("y = bytearray(b'x') * (60 << 20)").state["point"]
        said = re.fullmatch(r"skipped: memory \(it takes a limit of (\d+) MiB\), a crash loses all variables", point)
        self.assertTrue(said and 200 <= int(said[1]) <= 600, point)
        r = s.run("import os\nos._exit(1)")
        self.assertEqual(r.outcome, "lost")
        self.assertIn("memory", r.state["reason"])
        self.assertEqual(s.run("'a' in globals()").value, "False")
        self.assertEqual(s.run("1").state["point"], "taken")

    @once
    def test_what_figures_leave_is_given_back(self):
        """Before the copy for a rollback point: garbage in cycles, as closed figures are, and pages below others that are held."""
        s = self.start(memory=300 << 20)
        if s.hello["cgroup"].get("memory", -1) != -1:
            self.skipTest("the tests have a memory limit of their own")
        s.run("import gc, sys, types\nhelpers = sys.modules['matplotlib._pylab_helpers'] = types.ModuleType('helpers')\n"
              "helpers.Gcf = type('Gcf', (), {'figs': {}})")
        for what, code in (("cycles", "figure = [bytearray(b'x') * (180 << 20)]\nfigure.append(figure)\ngc.collect()\ndel figure"),
                           ("pages", "held = [b'%d' % i * 300 for i in range(180000)]\nheld = held[-1]")):
            with self.subTest(what):
                self.assertEqual(s.run(code).state["point"], "taken")
        self.assertEqual(s.run("import os\nos._exit(1)").outcome, "rolled_back")

    # --- control operations

    @once
    def test_vars_and_get(self):
        s = self.start()
        s.run("a = 1\nb = 'x' * 100000\nclass R:\n def __repr__(self): 1 / 0\n def __sizeof__(self): 1 / 0\nr = R()\n_h = 1\n"
              "import sys\nn = list(range(10 ** 6))")
        answer = s.control(op="vars")
        rows = {v["name"]: v for v in answer["vars"]}
        self.assertEqual((set(rows), answer["truncated"]), ({"a", "b", "R", "r", "sys", "n"}, False))
        self.assertEqual((rows["a"]["type"], rows["a"]["repr"]), ("int", "1"))
        self.assertLess(len(rows["b"]["repr"]), 210)
        self.assertLess(len(rows["n"]["repr"]), 210)
        self.assertEqual((rows["r"]["size"], rows["sys"]["type"]), (None, "module"))
        self.assertEqual(s.control(op="get", name="a")["value"], {"text/plain": "1"})
        self.assertIn("error", s.control(op="get", name="nothing"))
        self.assertIn("error", s.control(op="else"))
        self.assertEqual(self.kept(s.run("a")).value, "1")
        for more, truncated in ((993, False), (994, True)):  # with the six, and i
            s.run("for i in range(%d): globals()['v%%d' %% i] = i" % more)
            answer = s.control(op="vars")
            self.assertEqual((len(answer["vars"]), answer["truncated"]), (1000, truncated))

    def test_control_while_busy(self):
        s = self.start()
        s.send("print('go')\ninput()")
        s.guest.until(STDOUT)
        self.assertEqual(s.control(op="vars"), {"error": "busy"})
        s.guest.send(STDIN, b"\n", s.number)
        self.kept(s.finish())

    def test_control_that_crashes_or_hangs(self):
        s = self.start()
        s.run("x = 1\nimport os, time")
        s.run("class K:\n def __repr__(self): os._exit(3)\nk = K()")
        answer = s.control(op="vars")
        self.assertIn("exit status 3", answer["error"])
        self.assertEqual(answer["state"]["outcome"], "rolled_back")
        self.assertEqual(s.run("del k\nx").value, "1")
        s.run("class K:\n def __repr__(self): time.sleep(60)\nk = K()")
        self.assertEqual(s.control(op="get", name="k", timeout_ms=500), {"error": "interrupted"})
        self.assertEqual(self.kept(s.run("x")).value, "1")

    def test_reset(self):
        s = self.start()
        s.run("x = 1\nimport subprocess\np = subprocess.Popen(['sleep', '300'])\nprint(p.pid)")
        self.assertEqual(s.control(op="reset"), {})
        self.assertEqual(self.kept(s.run("'x' in globals()")).value, "False")
        s.run("y = 1")
        r = s.run("import os\nos._exit(1)")
        self.assertEqual(r.outcome, "rolled_back")
        self.assertEqual(s.run("y").value, "1")

    @once
    def test_save_and_restore(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = directory + "/state"
        s = self.start()
        self.assertEqual(s.control(op="restore", file=path), {"error": "nothing is saved", "code": "not_found"})
        s.run("import math as m\nx = {'a': [1, 2]}\ndef f(a, b=3):\n    return a + b + len(x)\nclass K: pass\nk = K()\n"
              "g = (i for i in x)\nbig = bytes(1 << 20)\nlam = lambda: m.pi")
        answer = s.control(op="save", file=path)
        self.assertEqual(answer["saved"], ["m", "x", "f", "big", "lam"])
        self.assertEqual([v["name"] for v in answer["not_saved"]], ["K", "k", "g"])
        self.assertTrue(all(v["why"] for v in answer["not_saved"]))
        s.control(op="reset")
        answer = s.control(op="restore", file=path)
        self.assertEqual(answer, {"restored": ["m", "x", "f", "big", "lam"], "not_restored": []})
        r = s.run("f(1), lam() == m.pi, len(big)")
        self.assertEqual(r.value, "(5, True, 1048576)")
        self.assertEqual(r.report["vars"]["created"], [])
        self.assertEqual(s.run("import os\nos._exit(0)").outcome, "rolled_back")
        self.assertEqual(s.run("x").value, "{'a': [1, 2]}")
        with open(path, "r+b") as f:
            f.truncate(60)
        self.assertEqual(len(s.control(op="restore", file=path)["not_restored"]), 1)
        self.kept(s.run("1"))
        self.assertEqual(os.listdir(directory), ["state"])

    # --- the stream

    @once
    def test_ready(self):
        s = self.start()
        self.assertEqual(s.guest.until(READY), (READY, 0, b"{}"))
        s.run("x = 1")
        s.control(op="reset")
        self.assertEqual(s.guest.frames[-2][0] if s.guest.frames[-1][0] == ANSWER else s.guest.frames[-1][0], READY)

    def test_end_of_stream(self):
        s = self.start()
        s.run("import subprocess\np = subprocess.Popen(['sleep', '300'])")
        start = time.monotonic()
        s.guest.close()
        self.assertLess(time.monotonic() - start, scaled(15))

    def test_idle(self):
        s = self.start(idle_ms=int(1000 * scaled(.25)))
        s.run("x = 1")
        self.assertIsNone(s.guest.until(FAILURE))

    @once
    def test_large_code(self):
        s = self.start()
        self.assertEqual(s.run("x = '%s'\nlen(x)" % ("y" * (3 << 20))).value, str(3 << 20))
        self.assertEqual(s.run("len(x)").value, str(3 << 20))


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

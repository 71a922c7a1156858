#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""dsb-init and kernel.py without any engine: the facts, what code gives, and what ends it.

Every case runs as pid 1 of new namespaces where that is possible, and where it can differ also as an ordinary process.
"""
import base64
import json
import os
import tempfile
import time
import unittest

from guest_client import CANCEL, DONE, PROTOCOL, REPORT, STDOUT, GuestCase, as_process, namespaces, once, scaled
import runner


class Cases(GuestCase):
    # --- what is measured

    def test_hello_has_every_member(self):
        self.start()
        for key in (
            "protocol version pid uid gid groups caps no_new_privs seccomp cgroup mounts interfaces rlimits "
            "namespaces devices hostname python"
        ).split():
            self.assertIn(key, self.hello)
        self.assertEqual(self.hello["protocol"], PROTOCOL)
        self.assertEqual(len(self.hello["uid"]), 4)
        self.assertEqual(set(self.hello["caps"]), {"inh", "prm", "eff", "bnd", "amb"})
        self.assertFalse(self.hello["seccomp"]["marker"])
        self.assertIn({"name": "null", "type": "c", "major": 1, "minor": 3}, self.hello["devices"])
        self.assertIn("lo", [i["name"] for i in self.hello["interfaces"]])
        self.assertTrue(all(isinstance(i["up"], bool) for i in self.hello["interfaces"]))
        self.assertTrue(any(m["target"] == "/" for m in self.hello["mounts"]))
        self.assertTrue(all("size" in m for m in self.hello["mounts"] if m["target"] == "/dev/shm"))

    # --- running code

    def test_print(self):
        r = self.run_code("print(1)")
        self.assertEqual((r.out, r.err, r.result), (b"1\n", b"", None))
        self.assertEqual((r.done["status"], r.done["exit_code"], r.done["signal"]), ("exited", 0, 0))
        self.assertEqual(r.done["stdout_bytes"], 2)

    @once
    def test_value_of_the_last_expression(self):
        self.assertEqual(self.run_code("x = 20\nx + 1").result, {"text/plain": "21"})
        self.assertEqual(self.run_code("'only'").result, {"text/plain": "'only'"})
        self.assertIsNone(self.run_code("x = 1").result)
        self.assertIsNone(self.run_code("None").result)

    @once
    def test_rich_value(self):
        r = self.run_code(
            "class A:\n"
            " def _repr_html_(self): return '<b>' + 'x' * 10\n"
            " def _repr_png_(self): return b'PNG'\n"
            " def _repr_json_(self): return {'a': [1, None]}\n"
            " def _repr_svg_(self): raise ValueError\n"
            " def __repr__(self): return 'A\\ud800'\n"
            "A()"
        )
        self.assertEqual(r.result["text/html"], "<b>xxxxxxxxxx")
        self.assertEqual(base64.b64decode(r.result["image/png"]), b"PNG")
        self.assertEqual(r.result["application/json"], {"a": [1, None]})
        self.assertNotIn("image/svg+xml", r.result)
        self.assertEqual(r.result["text/plain"], "A?")

    @once
    def test_result_is_bounded(self):
        r = self.run_code("'x' * 3000000")
        self.assertLess(len(r.result["text/plain"]), 70000)
        r = self.run_code("class A:\n def _repr_png_(self): return b'0' * 5000000\nA()")
        self.assertNotIn("image/png", r.result)

    @once
    def test_broken_repr(self):
        r = self.run_code("class A:\n def __repr__(self): raise ValueError\nA()")
        self.assertIn("repr() raised ValueError", r.result["text/plain"])
        self.assertEqual(r.done["exit_code"], 0)

    @once
    def test_error(self):
        r = self.run_code("def f():\n    return 1 / 0\n\nf()\n")
        self.assertEqual(r.done["exit_code"], 1)
        self.assertEqual(r.report["error"]["name"], "ZeroDivisionError")
        self.assertEqual(r.report["error"]["value"], "division by zero")
        self.assertEqual(r.report["error"]["traceback"], r.err.decode())
        text = r.err.decode()
        self.assertTrue(text.startswith('Traceback (most recent call last):\n  File "/sandbox/main.py", line 4, in <module>\n    f()\n'))
        self.assertIn("    return 1 / 0\n", text)
        self.assertNotIn("kernel", text)

    @once
    def test_syntax_error(self):
        r = self.run_code("x = (\n")
        self.assertEqual(r.done["exit_code"], 1)
        self.assertEqual(r.report["error"]["name"], "SyntaxError")
        self.assertTrue(r.err.startswith(b'  File "/sandbox/main.py", line 1\n    x = (\n'))

    @once
    def test_error_with_the_library_shadowed(self):
        r = self.run_code("import sys, types\nsys.modules['traceback'] = types.ModuleType('traceback')\n1/0")
        self.assertEqual(r.report["error"]["name"], "ZeroDivisionError")
        self.assertIn(b"ZeroDivisionError: division by zero", r.err)
        self.assertEqual(r.done["exit_code"], 1)

    @once
    def test_system_exit(self):
        for code, status, err in (
            ("sys.exit()", 0, b""),
            ("sys.exit(3)", 3, b""),
            ("sys.exit(257)", 1, b""),
            ("sys.exit(-1)", 255, b""),
            ("sys.exit('bye')", 1, b"bye\n"),
            ("import os; os._exit(9)", 9, b""),
        ):
            r = self.run_code("import sys\n" + code)
            self.assertEqual((r.done["status"], r.done["exit_code"], r.err), ("exited", status, err), code)
            self.assertIsNone(r.report and r.report["error"])

    def test_keyboard_interrupt_of_its_own(self):
        r = self.run_code("raise KeyboardInterrupt")
        self.assertEqual((r.done["status"], r.done["signal"]), ("signal", 2))

    @once
    def test_environment_and_arguments(self):
        r = self.run_code(
            "import os, sys\nprint(sys.argv, os.environ['A'], sys.path[0], __name__, __file__)",
            argv=["x", "\u00e4"],
            env={"A": "b c"},
        )
        self.assertEqual(r.out.decode(), "['/sandbox/main.py', 'x', '\u00e4'] b c /sandbox __main__ /sandbox/main.py\n")

    def test_nothing_leaks(self):
        r = self.run_code("import os\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))")
        self.assertEqual(r.out, b"[0, 1, 2, 3]\n")
        r = self.run_code(
            "import os, signal, resource\n"
            "print(os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE),"
            " signal.pthread_sigmask(0, []), signal.getsignal(signal.SIGTERM), open('/proc/self/oom_score_adj').read())"
        )
        self.assertEqual(r.out.decode(), "True (0, 0) set() 0 900\n\n".replace("0 900", "%s 900" % r.out.split()[-2].decode()))

    def test_pid_1_is_closed(self):
        r = self.run_code(
            "import os\np = os.getppid()\n"
            "for name in ('fd', 'mem', 'environ'):\n"
            "    try:\n"
            "        os.listdir('/proc/%d/fd' % p) if name == 'fd' else open('/proc/%d/%s' % (p, name), 'rb').read(1)\n"
            "        print(name, 'open')\n"
            "    except OSError as e: print(name, 'closed')\n"
        )
        if os.getuid() != 0:  # root may look into everything
            self.assertEqual(r.out, b"fd closed\nmem closed\nenviron closed\n")

    @once
    def test_streams(self):
        r = self.run_code("import sys\nprint(input(), sys.stdin.read())\nprint('e', file=sys.stderr)", b"one\ntwo\n")
        self.assertEqual((r.out, r.err), (b"one two\n\n", b"e\n"))

    @once
    def test_large_input(self):
        data = b"x" * (5 << 20)
        r = self.run_code("import sys, time\ntime.sleep(.3)\nprint(len(sys.stdin.buffer.read()))", data)
        self.assertEqual(r.out, b"%d\n" % len(data))

    @once
    def test_input_that_nobody_reads(self):
        r = self.run_code("import os\nos.close(0)\nprint('ok')", b"x" * (1 << 20))
        self.assertEqual(r.out, b"ok\n")

    @once
    def test_large_code(self):
        r = self.run_code("x = '%s'\nprint(len(x))" % ("y" * (3 << 20)))
        self.assertEqual(r.out, b"%d\n" % (3 << 20))

    @once
    def test_files_are_finished(self):
        path = "/tmp/dsb-test-%s" % os.urandom(8).hex()
        try:
            self.run_code("f = open(%r, 'w')\nf.write('data')\nimport atexit\natexit.register(f.write, ' end')" % path)
            with open(path) as f:
                self.assertEqual(f.read(), "data end")
        finally:
            os.unlink(path)

    @once
    def test_end_of_the_interpreter(self):
        r = self.run_code(
            "import threading, time, atexit\n"
            "atexit.register(print, 'atexit')\n"
            "threading.Thread(target=lambda: (time.sleep(.2), print('thread'))).start()\n"
            "class A:\n    def __del__(self): print('del')\n"
            "a = A()\nprint('main')"
        )
        self.assertEqual(r.out, b"main\nthread\natexit\ndel\n")

    def test_processes(self):
        r = self.run_code(
            "import multiprocessing, subprocess\n"
            "def f(x): return x * x\n"
            "with multiprocessing.get_context('fork').Pool(2) as p: print(p.map(f, range(4)))\n"
            "print(subprocess.check_output(['echo', 'hi']))"
        )
        self.assertEqual((r.out, r.err), (b"[0, 1, 4, 9]\nb'hi\\n'\n", b""))

    def test_fork_makes_no_second_report(self):
        r = self.run_code("import os\npid = os.fork()\nif pid: os.wait()\n'child' if not pid else 'parent'")
        self.assertEqual(r.result, {"text/plain": "'parent'"})

    # --- the sandbox's word

    def test_signals(self):
        r = self.run_code("import os\nos.kill(os.getpid(), 15)")
        self.assertEqual((r.done["status"], r.done["signal"], r.done["exit_code"]), ("signal", 15, -1))
        r = self.run_code("import ctypes\nctypes.string_at(0)")
        self.assertEqual((r.done["status"], r.done["signal"]), ("signal", 11))
        r = self.run_code("import os\nos.kill(os.getpid(), 9)")
        self.assertEqual((r.done["status"], r.done["signal"]), ("signal", 9))

    def test_background_processes_do_not_delay(self):
        start = time.monotonic()
        r = self.run_code("import subprocess\nsubprocess.Popen(['sleep', '50'], start_new_session=True)\nprint('x')")
        self.assertEqual((r.done["status"], r.out), ("exited", b"x\n"))
        self.assertLess(time.monotonic() - start, scaled(15))

    def test_all_descriptors_closed(self):
        r = self.run_code("import os, sys\nos.closerange(0, 1000)\nsys.exit(7)")
        self.assertEqual((r.done["status"], r.done["exit_code"]), ("exited", 7))

    def test_output_after_a_kill_is_kept(self):
        r = self.run_code("import os\nprint('before')\nos.kill(os.getpid(), 9)")
        self.assertEqual(r.out, b"before\n")

    def test_output_limit(self):
        r = self.run_code("import sys\nprint('x' * 500000)\nprint('y' * 10, file=sys.stderr)", output_limit=1000)
        self.assertEqual((r.done["status"], r.out, r.done["stdout_bytes"]), ("exited", b"x" * 1000, 500001))
        self.assertEqual((r.done["stdout_truncated"], r.done["stderr_truncated"]), (True, False))
        r = self.run_code("while True: print('x' * 1000)", output_limit=100000, output_kill=True)
        self.assertEqual((r.done["status"], len(r.out)), ("output_limit", 100000))

    @once
    def test_much_output(self):
        r = self.run_code("import os\nfor i in range(64): os.write(1, b'z' * (1 << 20))", output_limit=8 << 20)
        self.assertEqual((len(r.out), r.done["stdout_bytes"]), (8 << 20, 64 << 20))

    def test_timeout(self):
        limit = int(1000 * scaled(.35))
        r = self.run_code("print('a')\nwhile True: pass", timeout_ms=limit, grace_ms=int(1000 * scaled(3)))
        self.assertEqual((r.done["status"], r.out), ("timeout", b"a\n"))
        self.assertTrue(r.err.endswith(b"KeyboardInterrupt\n"))
        self.assertLess(r.done["wall_ms"], limit + 1000 * scaled(1.65))

    def test_timeout_that_is_resisted(self):
        for code in (
            "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
            "import os\nos.kill(os.getpid(), 19)",
            "import os, time\nos.setsid() if os.getpid() != os.getsid(0) else 0\n"
            "while True:\n    try: time.sleep(60)\n    except BaseException: pass",
        ):
            limit = int(1000 * scaled(.25))  # by then it resists
            r = self.run_code(code, timeout_ms=limit, grace_ms=300)
            self.assertEqual((r.done["status"], r.done["signal"]), ("timeout", 9), code)
            self.assertLess(r.done["wall_ms"], limit + 1000 * scaled(2.25))

    def test_timeout_at_the_end(self):
        r = self.run_code("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()", timeout_ms=600)
        self.assertEqual(r.done["status"], "timeout")
        self.assertNotIn(b"kernel", r.err)

    @once
    def test_frames_are_the_codes_own(self):
        """Also where our part in an import is between two of them, and in what an exception names."""
        code = ("import os, sys, tempfile\nplace = tempfile.mkdtemp()\nos.mkdir(place + '/matplotlib')\n"
                "open(place + '/matplotlib/__init__.py', 'w').close()\n"
                "with open(place + '/matplotlib/backend_bases.py', 'w') as f: f.write('1 / 0')\n"
                "sys.path.insert(0, place)\ntry:\n    import matplotlib.backend_bases\nexcept Exception as e:\n    raise KeyError(5)")
        r = self.run_code(code)
        self.assertIn(b"ZeroDivisionError", r.err)
        self.assertIn(b"matplotlib/backend_bases.py", r.err)
        for name in (b"kernel.py", b"start.py"):
            self.assertNotIn(name, r.err)
        self.assertNotIn(b"importlib", r.err)
        self.assertNotIn("kernel.py", r.report["error"]["traceback"])

    @once
    def test_limits_are_not_read_from_the_code(self):
        r = self.run_code('print("\\",\\"timeout_ms\\":1,\\"output_limit\\":0,")\n{"timeout_ms": 1}', timeout_ms=9000)
        self.assertEqual(r.done["status"], "exited")
        self.assertEqual(r.result, {"text/plain": "{'timeout_ms': 1}"})

    def test_cancel(self):
        guest = self.start()
        guest.execute("import time\nprint('go')\ntime.sleep(60)")
        guest.until(STDOUT)
        guest.send(CANCEL)
        done = guest.until(DONE)
        self.assertEqual(json.loads(done[2])["status"], "cancelled")

    def test_cancel_at_once(self):
        guest = self.start()
        guest.execute("import time\ntime.sleep(60)")
        guest.send(CANCEL)
        done = guest.until(DONE)
        self.assertEqual(json.loads(done[2])["status"], "cancelled")

    def test_modules_of_the_code_are_not_ours(self):
        """What we import while the code is there comes from where the interpreter began."""
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)
            for name in ("traceback", "linecache", "tokenize", "json"):
                with open(os.path.join(place, name + ".py"), "w", encoding="utf-8") as file:
                    file.write("print('theirs')\nraise SystemExit(99)")
            for session in (False, True):
                with self.subTest(session):
                    guest = self.start(session=session, env={"PYTHONPATH": place} if session else {})
                    guest.execute("1 / 0", env={"PYTHONPATH": place})
                    done = guest.until(DONE)
                    self.assertEqual(json.loads(done[2])["exit_code"], 1)
                    self.assertEqual(guest.stream(STDOUT), b"")
                    report = [json.loads(p) for k, _, p in guest.frames if k == REPORT]
                    self.assertIn("ZeroDivisionError: division by zero", report[0]["error"]["traceback"])


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()

    def test_it_is_pid_1(self):
        self.start()
        self.assertEqual(self.hello["pid"], 1)

    def test_kill_of_everything(self):
        r = self.run_code("import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nos.kill(1, 9)\nos.kill(1, 15)\nprint('alive')")
        self.assertEqual((r.done["status"], r.out), ("exited", b"alive\n"))

    def test_main_killed_by_a_child(self):
        r = self.run_code("import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.kill(-1, 9)\n    print('me')\n    os._exit(5)\ntime.sleep(60)")
        self.assertEqual((r.done["status"], r.done["signal"]), ("signal", 9))

    def test_orphans_die_with_the_execution(self):
        r = self.run_code(
            "import os, time\n"
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        print('orphan', flush=True)\n        time.sleep(60)\n    os._exit(0)\n"
            "os.wait()\ntime.sleep(.3)\nos._exit(4)"
        )
        self.assertEqual((r.done["status"], r.done["exit_code"], r.out), ("exited", 4, b"orphan\n"))


if __name__ == "__main__":
    runner.main()

# SPDX-License-Identifier: MIT
"""On a real engine: what a result has, and the status of every end."""
import base64
import json
import os
import random
import signal
import socket

from cli_harness import AS, BACKEND, LONG, SETUP, WORK, EngineCase, dsandbox, scaled
from speed import set_seconds, setting


class Results(EngineCase):
    def test_the_first_command(self):
        done = self.dsb("-c", 'import os; print(os.getuid()); open("/sandbox/o.txt","w").write("hi")', "--session", "s1")
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["exit_code"]), (0, "ok", 0), done)
        uid = int(result["stdout"])
        self.assertNotEqual(uid, 0)
        self.assertIn("o.txt", [f["path"] for f in result["files"]["created"]])
        self.assertEqual(result["session"], "s1")
        path = os.path.join(WORK.base, "s1", "o.txt")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "hi")
        expected = WORK.uid if AS or os.getuid() != 0 else uid
        self.assertEqual(os.stat(path).st_uid, expected)
        self.assertRegex(result["policy"]["sha256"], "^[0-9a-f]{64}$")
        self.assertEqual(result["backend"], BACKEND)
        self.assertEqual(os.path.basename(result["plugin"]["path"]), f"libdsandbox-{BACKEND}.so")
        self.assertTrue(result["plugin"]["version"])
        for key in ("product", "version", "endpoint", "rootless"):
            self.assertIn(key, result["engine"])
        self.assertEqual(result["engine"]["rootless"], SETUP == "podman-rootless")

    def test_controls(self):
        result = self.run_ok("pass")
        verdicts = {c["name"]: c["verdict"] for c in result["policy"]["controls"]}
        expected = {"volume", "disk", "tmp", "shm", "memory", "swap", "cpu", "pids", "nofile", "core", "fsize", "time", "output", "network",
                    "user", "rootfs", "capabilities", "no_new_privs", "seccomp", "namespaces", "devices", "runtime"}
        self.assertEqual(set(verdicts), expected)
        self.assertEqual({n for n, v in verdicts.items() if v == "unenforced"}, set(self.allow))
        self.assertEqual({n for n, v in verdicts.items() if v == "enforced"}, expected - set(self.allow))
        for control in result["policy"]["controls"]:
            self.assertTrue(control["asked"] is not None and control["source"], control)
            if control["verdict"] == "enforced":
                self.assertTrue(control["measured"], control)

    def test_the_same_hash_on_every_backend(self):
        sha256 = self.run_ok("pass", "--timeout", "30s")["policy"]["sha256"]  # as it is by default
        done = dsandbox("policy", "show", "--json")
        if done.status == 0:
            self.assertIn(sha256, done.stdout)
        shared = os.path.join(os.path.dirname(WORK.path), "policy.sha256")
        if WORK.made:
            return
        if os.path.exists(shared):
            with open(shared, encoding="ascii") as file:
                self.assertEqual(file.read(), sha256)
        else:
            with open(f"{shared}.{SETUP}", "w", encoding="ascii") as file:
                file.write(sha256)
            os.replace(file.name, shared)  # at once: another set-up may be about to read it

    def test_refused_where_limits_vanish(self):
        if not self.allow:
            self.skipTest("this engine can hold every limit")
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "-c", "print('ran')")
        result = self.assert_failure(done, "refused", "allow_unenforced", "cgroup|delegat|rootful", *self.allow, status=126)
        self.assertEqual(result["stdout"], "")
        self.assertLessEqual(set(self.allow), {"memory", "swap", "cpu", "pids"})

    def test_allowing_too_few_is_refused(self):
        if len(self.allow) < 2:
            self.skipTest("this engine can hold every limit")
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "--allow-unenforced", self.allow[0], "-c", "pass")
        self.assert_failure(done, "refused", self.allow[1], status=126)

    def test_usage(self):
        usage = self.run_ok("import time; b = bytearray(50 << 20); t = time.process_time()\nwhile time.process_time() < t + 0.3: pass")["usage"]
        self.assertGreaterEqual(usage["wall_ms"], 300)
        self.assertLess(usage["wall_ms"], 1000 * scaled(10))
        self.assertGreaterEqual(usage["cpu_ms"], 250)
        if "memory" not in self.allow:
            self.assertGreaterEqual(usage["memory_peak_bytes"], 50 << 20)
            self.assertEqual(usage["oom_kills"], 0)

    def test_last_value(self):
        bundle = self.run_ok("x = 6\nx * 7")["results"][-1]
        self.assertEqual(bundle["text/plain"], "42")

    def test_display(self):
        result = self.run_ok("display({'a': 1}, 'two')\nclass H:\n  def _repr_html_(self): return '<b>h</b>'\ndisplay(H())\n7")
        self.assertEqual([r["text/plain"] for r in result["results"]][:2] + [result["results"][-1]["text/plain"]], ["{'a': 1}", "'two'", "7"])
        self.assertEqual(result["results"][2]["text/html"], "<b>h</b>")

    def test_figures(self):
        result = self.run_ok("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.figure()\nplt.plot([3, 4])\nplt.show()")
        self.assertEqual(len(result["results"]), 2)
        for figure in result["results"]:
            self.assertEqual(base64.b64decode(figure["image/png"])[:8], b"\x89PNG\r\n\x1a\n")
            self.assertNotIn("image/svg+xml", figure)
        asked = self.run_ok("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()", "--env", "DSANDBOX_FIGURES=svg")
        self.assertIn("<svg", asked["results"][0]["image/svg+xml"])

    def test_uncaught_error(self):
        done = self.dsb("-c", "def f():\n    raise ValueError('boom \u2603')\nf()")
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["exit_code"]), (1, "error", 1), done)
        self.assertIsNone(result["failure"])
        self.assertEqual(result["error"]["name"], "ValueError")
        self.assertEqual(result["error"]["value"], "boom \u2603")
        traceback = result["error"]["traceback"]
        self.assertIn("in f", traceback if isinstance(traceback, str) else "".join(traceback))
        self.assertNotIn("kernel.py", result["stderr"])

    def test_syntax_error(self):
        result = self.result(self.dsb("-c", "print('never'\n"))
        self.assertEqual((result["status"], result["exit_code"], result["error"]["name"]), ("error", 1, "SyntaxError"))

    def test_files(self):
        session = ["--session", "files"]
        self.run_ok("open('a','w').write('1'); open('b','w').write('1'); import os; os.mkdir('d')", *session)
        files = self.run_ok("import os; os.unlink('a'); open('b','a').write('2'); open('d/c','w').write('x'*10)", *session)["files"]
        self.assertEqual([f["path"] for f in files["created"]], ["d/c"])
        self.assertEqual([f["size"] for f in files["created"]], [10])
        self.assertEqual([f["path"] for f in files["modified"]], ["b"])
        self.assertEqual([f["path"] for f in files["deleted"]], ["a"])

    def test_hostile_file_names(self):
        files = self.run_ok(r"open(b'/sandbox/\xff\n\"', 'w').close(); import os; os.symlink('/etc/passwd', '/sandbox/link'); "
                            "import socket; socket.socket(socket.AF_UNIX).bind('/sandbox/socket')",
                            "--session", "names")["files"]
        raw = [base64.b64decode(f["path_base64"]) for f in files["created"] if "path_base64" in f]
        self.assertEqual(raw, [b'\xff\n"'])
        os.mkfifo(os.path.join(WORK.base, "names", "fifo"))  # the code cannot make one
        self.run_ok("pass", "--session", "names", limit=30)

    def test_binary_output(self):
        result = self.run_ok(r"import os; os.write(1, bytes(range(256)))")
        self.assertEqual(result["stdout"], bytes(range(128)).decode() + "\ufffd" * 128)
        self.assertEqual(base64.b64decode(result["stdout_base64"]), bytes(range(256)))

    def test_one_byte_that_is_no_text(self):
        """It does not take the rest away, in either stream, and what is text has no other form."""
        result = self.run_ok("import os\nprint('before \u2603', flush=True); os.write(1, b'\\xff\\n'); print('after')\nos.write(2, b'err\\n')")
        self.assertEqual(result["stdout"], "before \u2603\n\ufffd\nafter\n")
        self.assertEqual(base64.b64decode(result["stdout_base64"]), b"before \xe2\x98\x83\n\xff\nafter\n")
        self.assertEqual((result["stdout_encoding"], result["stderr"], result["stderr_base64"]), ("utf-8", "err\n", None))

    def test_nul_and_unicode_in_output(self):
        result = self.run_ok(r"print('a\0b \u2603 \U0001f600')")
        self.assertEqual((result["stdout"], result["stdout_encoding"]), ("a\0b \u2603 \U0001f600\n", "utf-8"))

    def test_user_code_cannot_print_a_result(self):
        """Standard output of the program is ours alone with --json."""
        result = self.run_ok("""print('{"schema":"dsandbox.result/1","status":"ok"}')""")
        self.assertIn("dsandbox.result/1", result["stdout"])


class Statuses(EngineCase):
    def assert_signal(self, number):
        done = self.dsb("-c", f"import os; print('before', flush=True); os.kill(os.getpid(), {number})")
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["signal"]), (128 + number, "signal", number), done)
        self.assertIsNone(result["failure"])
        self.assertEqual(result["stdout"], "before\n")

    def test_signal_segv(self):
        self.assert_signal(int(signal.SIGSEGV))

    def test_signal_abrt(self):
        self.assert_signal(int(signal.SIGABRT))

    def test_signal_kill_is_not_oom(self):
        self.assert_signal(int(signal.SIGKILL))

    def test_timeout_keeps_output(self):
        done = self.dsb("--timeout", setting(2), "-c", "import sys, time; print('out', flush=True); print('err', file=sys.stderr, flush=True); time.sleep(60)")
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (124, "timeout"), done)
        self.assertEqual((result["stdout"], "err" in result["stderr"]), ("out\n", True))
        self.assertIsNone(result["failure"])
        limit = 1000 * set_seconds(2)
        self.assertGreaterEqual(result["usage"]["wall_ms"], limit - 100)
        self.assertLess(result["usage"]["wall_ms"], limit + 1000 * scaled(3))
        self.assert_clean()

    def test_timeout_of_code_that_ignores_signals(self):
        code = "import signal, os\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\nprint('deaf', flush=True)\nwhile True: pass"
        done = self.dsb("--timeout", setting(1), "-c", code, limit=40)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "deaf\n"), done)
        self.assert_clean()

    def test_timeout_with_children(self):
        code = "import os, time\nfor _ in range(5):\n  if os.fork() == 0:\n    os.setsid(); time.sleep(60); os._exit(0)\nprint('forked', flush=True); time.sleep(60)"
        done = self.dsb("--timeout", setting(1), "-c", code, limit=40)
        self.assertEqual((done.status, self.result(done)["stdout"]), (124, "forked\n"), done)
        self.assert_clean()

    def test_background_child_does_not_hold_the_run(self):
        code = "import os, time\nif os.fork() == 0:\n  os.setsid(); time.sleep(60); os._exit(0)\nprint('parent')"
        done = self.dsb("-c", code, limit=40)
        self.assertEqual((done.status, self.result(done)["stdout"]), (0, "parent\n"), done)
        self.assertLess(done.seconds, scaled(20), done)
        self.assert_clean()

    def test_oom(self):
        if "memory" in self.allow:
            self.skipTest("this engine cannot limit memory here")
        done = self.dsb(*LONG, "--memory", "128MiB", "-c", "print('before', flush=True)\nx = []\nwhile True: x.append(b'x' * (1 << 20))")
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (137, "oom"), done)
        self.assertEqual(result["stdout"], "before\n")
        self.assertGreaterEqual(result["usage"]["oom_kills"], 1)
        self.assertIsNone(result["failure"])
        self.assert_clean()

    def test_oom_of_a_child_the_code_survives(self):
        if "memory" in self.allow:
            self.skipTest("this engine cannot limit memory here")
        code = "import os\np = os.fork()\nif p == 0:\n  x = []\n  while True: x.append(b'x' * (1 << 20))\n_, s = os.waitpid(p, 0); print('child', os.WTERMSIG(s))"
        done = self.dsb("--memory", "128MiB", "-c", code)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (0, "ok", "child 9\n"), done)
        self.assertGreaterEqual(result["usage"]["oom_kills"], 1, done)

    def test_nothing_printed_is_lost(self):
        """Whatever kills the code: all lines are there that print has returned from."""
        ends = [("signal", "os.kill(os.getpid(), 9)"), ("signal", "import faulthandler; faulthandler._sigsegv()"),
                ("signal", "os.abort()"), ("ok", "os._exit(0)"), ("timeout", "while True: pass")]
        if "memory" not in self.allow:
            ends.append(("oom", "x = []\nwhile True: x.append(b'x' * (1 << 20))"))
        for where in ((), ("--session", "lost")):
            for status, end in ends:
                n = random.randint(5000, 60000)
                with self.subTest(where=where, end=end, lines=n):
                    done = self.dsb("--memory", "128MiB", "--output-limit", "8MiB", "--timeout", "%ds" % scaled(5), *where, "-c",
                                    f"import os\nfor i in range({n}): print(i, 'x' * (i % 50))\n{end}")
                    result = self.result(done)
                    self.assertEqual(result["status"], status, done.stderr)
                    self.assertEqual(result["stdout"], "".join("%d %s\n" % (i, "x" * (i % 50)) for i in range(n)))

    def test_output_is_cut(self):
        result = self.run_ok("import sys; sys.stdout.write('x' * 300000); sys.stderr.write('done')", "--output-limit", "100000")
        self.assertEqual(len(result["stdout"]), 100000)
        self.assertEqual((result["stdout_bytes"], result["stdout_truncated"]), (300000, True))
        self.assertEqual((result["stderr"], result["stderr_truncated"]), ("done", False))

    def test_output_exactly_at_the_limit(self):
        result = self.run_ok("import sys; sys.stdout.write('x' * 100000)", "--output-limit", "100000")
        self.assertEqual((result["stdout_bytes"], result["stdout_truncated"], len(result["stdout"])), (100000, False, 100000))

    def test_output_limit_kills(self):
        path = WORK.file('{"output_overflow": "kill", "output_limit": 10000}')
        done = self.dsb("--policy", path, "-c", "while True: print('x' * 1000)")
        result = self.result(done)
        self.assertEqual(result["status"], "output_limit", done)
        self.assertNotEqual(done.status, 0)
        self.assertEqual(len(result["stdout"]), 10000)

    def kept(self, result, stream="stdout"):
        with open(os.path.join(result["workdir"], result[stream + "_file"]), "rb") as f:
            return f.read()

    def test_output_is_kept(self):
        """What is over the limit is in a file of the session directory; the result has the beginning and the end."""
        keep = ("--output-overflow", "keep", "--output-limit", "100000")
        whole = "".join("%d\n" % i for i in range(60000))
        for where in ((), ("--session", "kept")):
            with self.subTest(where):
                result = self.run_ok("import sys\nfor i in range(60000): print(i)\nsys.stderr.write('few')", *keep, *where)
                self.assertEqual((result["stdout"], result["stdout_truncated"]), (whole[:100000], True))
                self.assertEqual((result["stdout_tail"], result["stdout_bytes"]), (whole[-65536:], len(whole)))
                self.assertEqual((result["stderr"], "stderr_file" in result, "stderr_tail" in result), ("few", False, False))
                self.assertEqual("stdout_file" in result, bool(where))  # else the directory is gone
        self.assertEqual((self.kept(result).decode(), result["stdout_file_bytes"]), (whole, len(whole)))
        self.assertEqual(result["stdout_file"].rpartition(".")[2], "stdout")
        self.assertIn(result["stdout_file"], [f["path"] for f in result["files"]["created"]])
        again = self.run_ok("print('x' * 100010)", *keep, *where)
        self.assertEqual((again["stdout_tail"], self.kept(again)), ("x" * 10 + "\n", b"x" * 100010 + b"\n"))
        self.assertNotEqual(again["stdout_file"], result["stdout_file"])
        result = self.run_ok("import sys\nsys.stderr.write('y' * 1000)", "--output-overflow", "keep", "--output-limit", "1KiB", *where)
        self.assertEqual((result["stderr"], "stderr_file" in result), ("y" * 1000, False))
        result = self.run_ok("import sys\nsys.stderr.write('y' * 2000)", "--output-overflow", "keep", "--output-limit", "1KiB", *where)
        self.assertEqual((result["stderr_tail"], self.kept(result, "stderr")), ("y" * 976, b"y" * 2000))

    def test_output_within_the_limit_leaves_no_file(self):
        result = self.run_ok("print('x' * 200000)", "--output-overflow", "keep", "--session", "within")
        self.assertEqual((len(result["stdout"]), "stdout_file" in result), (200001, False))
        self.assertFalse(os.path.exists(os.path.join(result["workdir"], "dsandbox-output")))

    def test_output_is_kept_of_killed_code(self):
        result = self.result(self.dsb("--output-overflow", "keep", "--output-limit", "10000", "--session", "killed", "-c",
                                      "import os\nfor i in range(20000): print(i)\nos.kill(os.getpid(), 9)"))
        self.assertEqual(result["status"], "signal")
        self.assertEqual(self.kept(result).decode(), "".join("%d\n" % i for i in range(20000)))

    def test_output_is_kept_within_the_disk_limit(self):
        done = self.dsb("--output-overflow", "keep", "--disk", "8MiB", "--timeout", "100s", "--session", "full", "-c",
                        "import sys\nwhile True: print('x' * 1000); print('x' * 1000, file=sys.stderr)")
        result = self.result(done)
        self.assertEqual((result["status"], len(result["stdout"])), ("disk_limit", 1 << 20), done)
        for stream in ("stdout", "stderr"):
            self.assertLessEqual(len(self.kept(result, stream)), 8 << 20)
            self.assertGreater(len(self.kept(result, stream)), 2 << 20)

    def test_output_that_the_code_keeps_from_its_file(self):
        """The directory is the code's: nothing of it is followed, and what cannot be kept is cut as ever."""
        for trick in ("os.symlink('/tmp', 'dsandbox-output')", "open('dsandbox-output', 'w')",
                      "os.mkdir('dsandbox-output', 0)"):
            with self.subTest(trick):
                result = self.run_ok(f"import os\nos.chdir('/sandbox')\n{trick}\nprint('x' * 300000)\nprint(os.listdir('/tmp'))",
                                     "--output-overflow", "keep", "--output-limit", "100000")
                self.assertEqual((len(result["stdout"]), result["stdout_truncated"]), (100000, True))
                self.assertEqual(("stdout_file" in result, "stdout_tail" in result), (False, False))

    def test_endless_output_ends_with_the_time_limit(self):
        done = self.dsb("--timeout", str(int(scaled(1))), "-c", "import os\nwhile True: os.write(1, b'y' * 65536)")
        result = self.result(done)
        self.assertEqual((result["status"], result["stdout_truncated"], len(result["stdout"])), ("timeout", True, 1 << 20), done.stderr)

    def test_disk_limit(self):
        done = self.dsb("--disk", "8MiB", "--session", "disk", "--timeout", "100s", "-c",
                        "import time\nfor i in range(200):\n  open(f'/sandbox/{i}', 'wb').write(b'x' * (1 << 20)); time.sleep(0.02)\ntime.sleep(20)")
        result = self.result(done)
        self.assertEqual(result["status"], "disk_limit", done)
        self.assertTrue(all(type(result["usage"][name]) is int for name in ("wall_ms", "cpu_ms", "pids_peak")), result["usage"])
        self.assert_clean()

    def test_size_of_results(self):
        """One value has half of results_limit; what does not fit is counted, in a session, too."""
        code = ("class Text:\n  def __init__(self, n): self.n = n\n  def __repr__(self): return 'a text'\n"
                "  def _repr_html_(self): return 'x' * self.n\n"
                "for n in (1 << 20, 5 << 20): display(Text(n))")
        for where in ((), ("--session", "results")):
            for limit, sizes in (("8MiB", [1 << 20]), ("15MiB", [1 << 20, 5 << 20]), ("2MiB", [])):
                with self.subTest(limit=limit, where=where):
                    session = where[:1] + tuple(name + limit for name in where[1:])
                    result = self.run_ok(code, "--results-limit", limit, *session)
                    self.assertEqual([len(r["text/html"]) for r in result["results"] if "text/html" in r], sizes)
                    self.assertEqual(sum(row["count"] for row in result["results_omitted"]), 2 - len(sizes))
        done = self.dsb("--results-limit", "8MiB", "-c", code, json_=False)
        said = "dsandbox: 1 result is missing: a value of type text/html has more than 4 MiB\n"
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "", said), done)

    def test_code_cannot_break_the_result(self):
        """The report is memory of the interpreter: code may write any bytes there."""
        forge = ("import gc, os, struct, sys\nmain = sys.modules['__main__']\n"
                 "made = [o for o in gc.get_objects() if type(o).__name__ == 'Report' and hasattr(o, 'memory')]\n"
                 "print(len(made))\ntext = {}\n"
                 "for o in made: o.memory[16:16 + len(text)] = text; o.memory[:8] = struct.pack('<Q', len(text))\n"
                 "sys.stdout.flush(); os._exit(0)")
        for text in (b'{"result":{"application/json":NaN}}', b'{"error":{"name":5,"value":"x"}}', b'{"displays":[1,[],{"x":1}]}',
                     b'{"result":{"text/plain":"\xff"}}', b'{"result":{"application/json":[1.,1e999]}}', b"[" * 1000):
            with self.subTest(text[:40]):
                done = self.dsb("-c", forge.format(repr(text)))
                result = self.result(done)
                self.assertEqual((result["status"], result["error"], result["results"]), ("ok", None, []), done)
                self.assertEqual(result["stdout"], "1\n", done)
                lost = 1 if text[:1] == b"[" or b"NaN" in text or b"\xff" in text or b"1e999" in text else 3 if b"displays" in text else 0
                self.assertEqual(sum(row["count"] for row in result["results_omitted"]), lost)

    def disk_limit(self, code, word, *options):
        done = self.dsb("--disk", "8MiB", *options, "-c", code)
        result = self.result(done)
        self.assertEqual(result["status"], "disk_limit", done)
        self.assertIn(word, result["reason"], done)
        self.assertEqual(done.status, 137, done)
        self.assert_clean()

    def test_a_burst_that_ends_at_once_is_seen(self):
        self.disk_limit("import os\nfor i in range(4): open(f'/sandbox/{i}', 'wb').write(bytes(4 << 20))\nos._exit(0)", "disk of 8MiB")

    def test_depth_does_not_hide_files(self):
        self.disk_limit("import os, time\nfor i in range(200): os.mkdir('d'); os.chdir('d')\n"
                        "for i in range(3): open(str(i), 'wb').write(bytes(4 << 20))\ntime.sleep(20)", "disk of 8MiB")

    def test_mode_000_does_not_hide_files(self):
        self.disk_limit("import os, time\nos.mkdir('d')\nfor i in range(3): open(f'd/{i}', 'wb').write(bytes(4 << 20))\n"
                        "os.chmod('d', 0); os.chmod('/sandbox', 0); time.sleep(20)", "disk of 8MiB")

    def test_inodes(self):
        policy = WORK.file('{"disk_inodes": 500}')
        self.disk_limit("for i in range(600): open(f'/sandbox/{i}', 'w')", "disk_inodes of 500", "--policy", policy)

    def test_space_without_writing(self):
        result = self.run_ok("import os\nf = os.open('/sandbox/f', os.O_CREAT | os.O_RDWR); os.posix_fallocate(f, 0, 1 << 20)\n"
                             "print(os.fstat(f).st_size)\nimport ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                             "print(libc.fallocate(f, 0, ctypes.c_long(0), ctypes.c_long(2 << 20)), ctypes.get_errno())")
        self.assertEqual(result["stdout"].split(), ["1048576", "-1", "95"])

    def bind(self, source):
        return WORK.file(json.dumps({"binds": [{"source": source, "target": "/given"}]}))

    def test_extra_bind(self):
        given = WORK.dir("given")
        WORK.file("hello", "given/file")
        result = self.run_ok("print(open('/given/file').read())\ntry: open('/given/x', 'w')\nexcept OSError as e: print(e.errno)",
                             "--policy", self.bind(given))
        self.assertEqual(result["stdout"].split(), ["hello", "30"])
        result = self.run_ok("print(open('/given').read())", "--policy", self.bind(os.path.join(given, "file")))
        self.assertEqual(result["stdout"].split(), ["hello"])

    def test_extra_binds_that_are_not_given(self):
        place = WORK.dir("place")
        os.symlink("/run", os.path.join(place, "link"))
        os.mkfifo(os.path.join(place, "fifo"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(WORK.dir("place/in"), "engine"))
        for source, word in (("link", "symbolic link"), ("fifo", "regular file"), ("in", "socket"), ("nowhere", "not there")):
            with self.subTest(source):
                done = self.dsb("-c", "pass", "--policy", self.bind(os.path.join(place, source)))
                self.assert_failure(done, "refused", word, status=126)
        self.assert_clean()
        listener.close()

    def test_refused_uid_0(self):
        for user in ("0", "0:0", "1000:0"):
            with self.subTest(user):
                done = self.dsb("--user", user, "-c", "print('ran')")
                self.assertIn(done.status, (125, 126), done)
                self.assertIn("user", self.result(done)["failure"]["message"])

    def test_unknown_runtime(self):
        done = self.dsb("--runtime", "nonesuch", "-c", "print('ran')")
        self.assert_failure(done, "refused", "nonesuch", status=126)
        self.assert_clean()


def _add_exit_status(status):
    def test(self):
        for how in (f"import sys; print('x'); sys.exit({status})", f"import os; print('x', flush=True); os._exit({status})"):
            done = self.dsb("-c", how)
            result = self.result(done)
            self.assertEqual((done.status, result["exit_code"], result["stdout"]), (status, status, "x\n"), done)
            self.assertEqual(result["status"], "ok" if status == 0 else "error", done)
            self.assertIsNone(result["failure"], done)
            self.assertIsNone(result["signal"], done)

    def text(self):
        done = self.dsb("-c", f"import sys; print('x'); sys.exit({status})", json_=False)
        self.assertEqual((done.status, done.stdout), (status, "x\n"), done)

    setattr(Statuses, f"test_exit_{status:03}", test)
    setattr(Statuses, f"test_exit_{status:03}_as_text", text)


for _status in (0, 3, 124, 125, 126, 127, 130, 137, 255):
    _add_exit_status(_status)


CASES = (Results, Statuses)

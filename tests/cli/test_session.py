#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of sessions with the program: every verb, the prompt on a terminal, and what a service that is killed leaves.
Environment and last line as in test_cli.py.
"""
import base64
import contextlib
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import tarfile
import termios
import time

import test_cli
from test_cli import AS, BACKEND, SETUP, Case, EngineCase, dsandbox, wait_until


def environment(more):
    """A place of our own for the service: its socket, its log, its records."""
    work = test_cli.WORK
    return {"XDG_RUNTIME_DIR": work.run, "XDG_STATE_HOME": os.path.join(work.path, "state"), **(more or {})}


def command(args, more=None):
    env = test_cli.environment(**environment(more))
    if not AS:
        return [test_cli.PROGRAM, *args], env
    kept = {k: v for k, v in env.items() if k not in ("PATH", "HOME")}
    return [AS, "env", *(f"{k}={v}" for k, v in kept.items()), test_cli.PROGRAM, *args], env


def popen(*args, env=None, **how):
    argv, env = command(args, env)
    how.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", **how)


def dsb(*args, data=None, env=None, limit=60, **how):
    begin = time.monotonic()
    if data is not None:
        how["stdin"] = subprocess.PIPE
    process = popen(*args, env=env, **how)
    try:
        out, err = process.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end within {limit} s: {test_cli.Done(args, None, out, err, limit)}") from None
    return test_cli.Done(args, process.returncode, out, err, time.monotonic() - begin)


def service_pid():
    """Of the service that answers at our socket, or None."""
    path = os.path.join(test_cli.WORK.run, "dsandbox/api.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(10)
        try:
            sock.connect(path)
            sock.sendall(b"GET /v1/version HTTP/1.1\r\nHost: dsandbox\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        except OSError:
            return None
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["pid"]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return ") Z" in file.read()
    except OSError:
        return True


def end_service(number=signal.SIGTERM):
    pid = service_pid()
    if pid is not None:
        os.kill(pid, number)
        wait_until(lambda: is_gone(pid), 30)


class WithoutEngine(Case):
    """What needs no sandbox: bad operands, and a service that cannot make one."""

    @classmethod
    def tearDownClass(cls):
        end_service()

    def refused(self, *args, words=()):
        done = dsb(*args, limit=30)
        self.assertEqual(done.status, 125, done)
        for word in words:
            self.assertRegex(done.stderr.lower(), word, done)
        return done

    def test_verbs_and_operands(self):
        for args, word in ((("session",), "use new, ls"), (("session", "fly"), "not 'fly'"), (("session", "show"), "operand is missing"),
                           (("session", "rm"), "--label"), (("session", "rm", "a", "--all"), "not both"), (("exec",), "which session"),
                           (("exec", "a", "-c", "1", "-s", "b"), "both session"), (("exec", "a", "x.py", "-c", "1"), "both -c"),
                           (("cp", "a", "b"), "session:path"), (("cp", "a:x", "b:y"), "one of both"), (("cp", "a"), "operand is missing"),
                           (("cp", "a:../x", "y"), "below /sandbox"), (("cp", "a:/etc/passwd", "y"), "below /sandbox"),
                           (("run", "--label", "a=b", "-c", "1"), "--session"), (("exec", "a", "-i", "--stdin", "x", "-c", "1"), "exclude"),
                           (("session", "ls", "-o", "xml"), "table or json"), (("session", "history", "a", "-o", "xml"), "py or ipynb"),
                           (("run", "-o", "py", "-c", "1"), "table or json"), (("repl",), "terminal"),
                           (("session", "new", "--label", "x"), "name=value"), (("session", "new", "--memory", "x"), "memory"),
                           (("session", "new", "--no-service"), "needs the service"), (("exec", "a", "-i", "-"), "both the code")):
            with self.subTest(args):
                self.refused(*args, words=(word,))

    def test_bad_ids_are_no_paths(self):
        for bad in ("", ".", "..", "a/b", "a/../b", "../../v1", "a?x", "a%2fb", "-", "a" * 65, "ä"):
            for args in (["session", "show", "--", bad] if bad.startswith("-") else ["session", "show", bad],
                         ["session", "rm", bad], ["session", "export", bad, "x"], ["run", "-s", bad, "-c", "1"], ["cp", bad + ":x", "y"]):
                with self.subTest(args):
                    self.refused(*args)

    def test_nothing_is_started_to_say_so(self):
        """Listing, and options that are wrong, start no service."""
        end_service()
        done = dsb("session", "ls")
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        self.assertIn("no sessions", done.stdout)
        self.assertEqual(json.loads(dsb("session", "ls", "-o", "json").stdout), {"sessions": []})
        self.refused("run", "-s", "a", "--memory", "x", "-c", "1")
        self.assertIsNone(service_pid())

    def test_no_such_session(self):
        for verb in ("show", "vars", "files", "history", "reset", "interrupt", "save", "restore", "rm"):
            with self.subTest(verb):
                self.refused("session", verb, "nowhere", words=("no session 'nowhere'", "dsandbox session ls"))
        self.refused("session", "export", "nowhere", os.path.join(test_cli.WORK.path, "x.tar"), words=("no session",))
        self.assertFalse(os.path.exists(os.path.join(test_cli.WORK.path, "x.tar")))
        self.refused("cp", "nowhere:x", os.path.join(test_cli.WORK.path, "x"), words=("no session",))

    def test_json_has_one_object_on_errors_too(self):
        for args in (("session", "show", "nowhere"), ("session", "nonsense"), ("session", "export", "nowhere"), ("cp", "a:x", "-")):
            with self.subTest(args):
                done = dsb(*args, "--json")
                self.assertEqual(self.result(done)["status"], "error", done)

    def test_no_engine(self):
        if BACKEND:
            self.skipTest("there is one")
        done = dsb("--backend", "docker-api", "run", "--json", "--session", "a", "--base-dir", test_cli.WORK.base, "-c", "1")
        self.assert_failure(done, "unavailable", "no-such.sock")


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

    def settings(self):
        options = ["--backend", BACKEND, "--base-dir", test_cli.WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        return options

    def new(self, *args, session=None):
        done = dsb("session", "new", session or self.s, *self.settings(), *args)
        self.assertEqual((done.status, done.stdout), (0, (session or self.s) + "\n"), done)

    def run_(self, code, *args, session=None, status="ok"):
        """run --session ID, as JSON."""
        done = dsb("run", "--json", "--session", session or self.s, *self.settings(), *args, "-c", code)
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


class Variables(SessionCase):
    def test_two_programs_share_variables(self):
        self.run_("import math\nx = [1]\ndef double(y): return 2 * y")
        result = self.run_("x.append(double(math.floor(2.5)))\nx")
        self.assertEqual(result["results"][-1]["text/plain"], "[1, 4]")
        self.assertEqual((result["session"], result["state"]["outcome"]), (self.s, "kept"))
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "[1, 4]\n")

    def test_options_before_the_verb(self):
        self.run_("x = 7")
        self.assertEqual(self.text("--session", self.s, "-c", "print(x)", "run").stdout, "7\n")
        self.assertEqual(self.text("-o", "json", "session", "vars", self.s).stdout.count("\n"), 1)

    def test_ten_executions_then_all_that_can_happen(self):
        self.run_("n = 0")
        for _ in range(9):
            self.run_("n += 1")
        self.run_("import time\ntime.sleep(30)", "--timeout", "1s", status="timeout")
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        result = self.run_("import ctypes\nctypes.string_at(0)", status="signal")
        self.assertEqual(result["state"]["outcome"], "rolled_back", result["state"])
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        if "memory" not in self.allow:
            result = self.run_("b = []\nwhile True: b.append(bytearray(16 << 20))", "--timeout", "60s", status="oom")
            self.assertEqual(result["state"]["outcome"], "rolled_back", result["state"])
            self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        self.run_("import os\nos._exit(3)", status="error")
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")

    def test_statuses_and_what_is_said(self):
        self.run_("x = 1")
        rows = (("1/0", [], 1, "ZeroDivisionError", None),
                ("raise SystemExit(7)", [], 7, "", None),
                ("import time; time.sleep(30)", ["--timeout", "1s"], 124, "time limit of 1s", None),
                ("import ctypes; ctypes.string_at(0)", [], 139, "signal 11", r"^dsandbox: variables were rolled back to execution \d+: .+$"),
                ("import os; os._exit(4)", [], 4, "", r"^dsandbox: variables were rolled back to execution \d+: .+$"))
        for code, options, status, said, state in rows:
            with self.subTest(code):
                done = self.text("exec", self.s, *options, "-c", code, status=status)
                self.assertIn(said, done.stderr, done)
                lines = [line for line in done.stderr.splitlines() if "variables" in line]
                self.assertEqual(len(lines), 1 if state else 0, done)
                if state:
                    self.assertRegex(lines[0], state)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "1\n")

    def test_lost_is_said(self):
        self.new("--no-checkpoint")
        self.run_("x = 1")
        done = self.text("exec", self.s, "-c", "import ctypes; ctypes.string_at(0)", status=139)
        self.assertRegex(done.stderr, "dsandbox: variables were lost: .+")
        self.assertEqual(self.run_("'x' in globals()")["results"][-1]["text/plain"], "False")

    def test_arguments_environment_and_file(self):
        path = test_cli.WORK.file("import os, sys\nprint(sys.argv[1:], os.environ['A'], __name__)\n")
        done = self.text("run", "-s", self.s, *self.settings(), path, "-e", "A=b c", "--", "-x", "é")
        self.assertEqual(done.stdout, "['-x', 'é'] b c __main__\n", done)
        done = self.text("exec", self.s, "-", data=b"print('from stdin')")
        self.assertEqual(done.stdout, "from stdin\n")
        done = self.text("exec", self.s, path, "-e", "A=\n", status=0)
        done = dsb("exec", self.s, "-c", "1", "--json", "-e", "nothing")
        self.assert_failure(done, "invalid", "env")

    def test_no_service(self):
        """Files only, and no second sandbox beside a live one."""
        self.run_("open('/sandbox/f', 'w').write('kept')\nx = 1")
        self.assert_failure(dsb("run", "--json", "--no-service", "-s", self.s, *self.settings(), "-c", "1"), "busy", "in use")
        self.text("session", "rm", self.s)
        done = self.text("run", "--no-service", "-s", self.s, *self.settings(), "-c", "print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual(done.stdout, "kept False\n")

    def test_other_settings_are_a_conflict(self):
        self.run_("x = 1")
        done = dsb("exec", self.s, "--memory", "256MiB", "--json", "-c", "1")
        self.assert_failure(done, "conflict", "memory is 512mib, not 256mib")

    def test_settings_come_back_with_the_session(self):
        self.new("--memory", "256MiB", "--label", "a=b")
        end_service()
        done = self.text("exec", self.s, "-c", "print(1)")
        self.assertIn("variables were lost", done.stderr, done)
        controls = self.json("session", "show", self.s)["policy"]["controls"]
        self.assertEqual([c["asked"] for c in controls if c["name"] == "memory"], ["256MiB"])

    def test_policy_file(self):
        policy = test_cli.WORK.file('{"memory": "256MiB", "locked": ["memory"]}')
        result = self.run_("1", "--policy", policy)
        self.assertEqual([c["asked"] for c in result["policy"]["controls"] if c["name"] == "memory"], ["256MiB"])
        done = dsb("run", "--json", "-s", self.s + "2", *self.settings(), "--policy", policy, "--memory", "1GiB", "-c", "1")
        self.assert_failure(done, "refused", "memory", "lock", status=126)


class Life(SessionCase):
    """The service and its end."""

    def test_killed(self):
        self.run_("open('/sandbox/f', 'w').write('file')\nx = 1")
        end_service(signal.SIGKILL)
        done = self.text("exec", self.s, "-c", "print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual(done.stdout, "file False\n", done)
        self.assertRegex(done.stderr, "^dsandbox: variables were lost: the service .*files were kept\n$")
        done = self.text("exec", self.s, "-c", "x = 2")
        self.assertEqual(done.stderr, "", "said once")
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "2\n")

    def test_saved_variables_come_back(self):
        self.run_("import json\nx = {'a': [1, 2]}\ng = (n for n in 'abc')")
        self.text("session", "save", self.s)
        self.run_("later = 1")
        end_service(signal.SIGKILL)
        done = self.text("exec", self.s, "-c", "print(x, 'later' in globals(), 'g' in globals())")
        self.assertEqual(done.stdout, "{'a': [1, 2]} False False\n", done)
        lines = done.stderr.splitlines()
        self.assertRegex(lines[0], "variables were lost: the service")
        self.assertRegex(lines[1], "^dsandbox: .*x.* came back from the saved ones$")
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stderr, "")

    def test_killed_while_code_runs(self):
        self.run_("1")
        process = popen("exec", self.s, "-c", "import time; print('up', flush=True); time.sleep(60)")
        self.assertEqual(process.stdout.readline(), b"up\n")
        end_service(signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 125, err)
        self.assertIn(b"service went away", err)
        self.assertIn(b"Do it again", err)
        self.assertTrue(wait_until(lambda: not test_cli.containers(), 15), test_cli.containers())

    def test_many_start_it_at_once(self):
        end_service()
        processes = [popen("run", "-s", f"{self.s}-{i}", *self.settings(), "-c", f"print({i})") for i in range(6)]
        for i, process in enumerate(processes):
            out, err = process.communicate(timeout=120)
            self.assertEqual((process.returncode, out), (0, b"%d\n" % i), err)
        self.assertEqual(len(self.json("session", "ls")["sessions"]), 6)
        self.text("session", "rm", "--all", "--files")

    def test_one_shot_uses_it(self):
        """The same result object, with and without."""
        end_service()
        code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7"
        alone = self.result(dsb("run", "--json", *self.settings(), "-c", code))
        self.assertIsNone(service_pid(), "it is not started for one run")
        self.run_("1")
        through = self.result(dsb("run", "--json", *self.settings(), "-c", code))
        self.assertEqual(set(alone), set(through))
        for key in ("schema", "session", "status", "exit_code", "failure", "stdout", "stderr", "error", "results", "files", "state", "backend",
                    "engine", "image"):
            self.assertEqual(alone[key], through[key], key)
        self.assertEqual(alone["policy"]["sha256"], through["policy"]["sha256"])
        self.assertEqual((alone["id"][:2] == "x-", through["id"][:2]), (False, "x-"), "it did go through the service")
        done = dsb("run", *self.settings(), "--timeout", "1s", "-c", "print(1, flush=True)\nimport time; time.sleep(20)")
        self.assertEqual((done.status, done.stdout), (124, "1\n"), done)
        self.assertIn("time limit of 1s", done.stderr)
        done = dsb("run", *self.settings(), "--stdin", "-", "-c", "print(input() * 2); raise SystemExit(9)", data=b"ab\n")
        self.assertEqual((done.status, done.stdout), (9, "abab\n"), done)
        done = dsb("run", "--json", *self.settings(), "--image", "no-such-image:1", "-c", "1")
        self.assert_failure(done, "not_found", "no-such-image")

    def test_output_streams(self):
        self.run_("1")
        process = popen("exec", self.s, "-c", "import sys, time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.7)")
        times = []
        for i in range(3):
            self.assertEqual(process.stdout.readline(), b"%d\n" % i)
            times.append(time.monotonic())
        process.communicate(timeout=20)
        self.assertGreater(times[2] - times[0], 0.9)

    def test_much_output_is_all_there(self):
        self.run_("1")
        done = self.text("exec", self.s, "-c", "import sys\nfor i in range(40000): print('line', i)\nsys.stdout.buffer.write(b'\\xff\\xfe')")
        self.assertEqual(done.out, b"".join(b"line %d\n" % i for i in range(40000)) + b"\xff\xfe")

    def test_second_waits_or_is_busy(self):
        self.run_("order = []")
        first = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(2); order.append(1)")
        self.assertEqual(first.stdout.readline(), b"up\n")
        self.assert_failure(dsb("exec", self.s, "--json", "--no-wait", "-c", "1"), "busy", "busy", "no-wait", "interrupt")
        self.assertEqual(self.text("exec", self.s, "-c", "order.append(2); print(order)").stdout, "[1, 2]\n")
        first.communicate(timeout=20)

    def test_interrupt_from_elsewhere(self):
        self.run_("x = 5")
        self.assertEqual(self.text("session", "interrupt", self.s).stdout, "nothing was running\n")
        process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)")
        self.assertEqual(process.stdout.readline(), b"up\n")
        self.assertEqual(self.text("session", "interrupt", self.s).stdout, "interrupted\n")
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "5\n")

    def test_signals_stop_the_code(self):
        self.run_("x = 5")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)", start_new_session=True)
                self.assertEqual(process.stdout.readline(), b"up\n")
                os.killpg(process.pid, number) if AS else os.kill(process.pid, number)
                _, err = process.communicate(timeout=20)
                if not AS:
                    self.assertEqual(process.returncode, 128 + number, err)
                self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "5\n")

    def test_program_killed(self):
        """What nobody waits for is stopped."""
        self.run_("x = 5")
        process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)", start_new_session=True)
        self.assertEqual(process.stdout.readline(), b"up\n")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)", limit=20).stdout, "5\n")

    def test_reader_gone(self):
        self.run_("1")
        process = popen("exec", self.s, "-c", "while True: print('y' * 100)")
        process.stdout.read(1000)
        process.stdout.close()
        process.wait(timeout=30)
        process.stderr.close()
        self.assertEqual(process.returncode, 128 + signal.SIGPIPE)


class Verbs(SessionCase):
    def test_new_show_ls_rm(self):
        done = self.text("session", "new", *self.settings())
        made = done.stdout.strip()
        self.assertRegex(made, "^[a-z0-9][a-z0-9.-]+$")
        self.assertEqual(self.text("session", "rm", made, "--files").stdout, made + "\n")
        self.new("--label", "team=red", "--label", "x=")
        done = dsb("session", "new", self.s, *self.settings())
        self.assertEqual(done.status, 125, done)
        self.assertIn("--exist-ok", done.stderr)
        self.assertEqual(self.text("session", "new", self.s, *self.settings(), "--exist-ok").stdout, self.s + "\n")
        shown = self.json("session", "show", self.s)
        self.assertEqual((shown["id"], shown["state"], shown["labels"], shown["backend"]), (self.s, "idle", {"team": "red", "x": ""}, BACKEND))
        text = self.text("session", "show", self.s).stdout
        for words in (f"session      {self.s}", "state        idle", "team=red", "CONTROL", "seccomp"):
            self.assertIn(words, text)
        self.assertEqual(self.text("session", "rm", self.s).stdout, self.s + "\n")
        self.assertTrue(os.path.isdir(os.path.join(test_cli.WORK.base, self.s)), "files stay")
        self.assertEqual(dsb("session", "show", self.s).status, 125)

    def test_labels_select(self):
        for name, labels in (("a", ["team=red", "n=1"]), ("b", ["team=red", "n=2"]), ("c", ["team=blue"])):
            self.new(*(f"--label={label}" for label in labels), session=f"{self.s}-{name}")
        def names(*labels):
            return [s["id"][-1] for s in self.json("session", "ls", *(f"--label={label}" for label in labels))["sessions"]]
        self.assertEqual((names("team=red"), names("team=red", "n=2"), names("team=none")), (["a", "b"], ["b"], []))
        rows = self.text("session", "ls", "-l", "team=red").stdout.splitlines()
        self.assertRegex(rows[0], "^SESSION +STATE +BACKEND +EXECUTIONS +USED +LABELS$")
        self.assertEqual(len(rows), 3)
        self.assertEqual(rows[0].index("STATE"), rows[1].index("idle"))
        self.assertIn("team=red,n=1", rows[1])
        done = self.text("session", "rm", "--label", "team=red")
        self.assertEqual(done.stdout.split(), [f"{self.s}-a", f"{self.s}-b"])
        self.assertEqual(names("team=blue"), ["c"])
        done = self.text("session", "rm", f"{self.s}-c", "nowhere", "--json", status=125)
        report = json.loads(done.stdout)
        self.assertEqual(([r["id"] for r in report["ended"]], [r["id"] for r in report["failed"]]), ([f"{self.s}-c"], ["nowhere"]))

    def test_vars(self):
        self.run_("n = 5\ntext = 'a\\nb\\x1b[31m'\n_hidden = 1\ndef f(): pass")
        rows = {row["name"]: row for row in self.json("session", "vars", self.s)["vars"]}
        self.assertEqual((rows["n"]["type"], rows["n"]["repr"]), ("int", "5"))
        text = self.text("session", "vars", self.s).stdout
        self.assertRegex(text, r"(?m)^NAME +TYPE +SIZE +VALUE$")
        self.assertRegex(text, r"(?m)^n +int +[0-9.]+ B +5$")

    def test_nothing_of_the_session_reaches_the_terminal(self):
        """A type's name, a repr and an error are the code's own word."""
        self.run_("class T:\n    def __repr__(self): return '\\x1b]0;owned\\x07\\n\\u202e'\nT.__name__ = T.__qualname__ = 'x\\x1b[2J'\nt = T()")
        self.run_("class E(Exception): pass\nE.__name__ = 'e\\x1b[2J'\nraise E('\\x1b[2J')", status="error")
        for verb in ("vars", "history", "files"):
            done = self.text("session", verb, self.s)
            self.assertNotRegex(done.stdout.replace("\n", ""), "[\x00-\x1f\x7f\u202e]", verb)

    def test_history(self):
        self.run_("x = 1")
        self.run_("def f(a):\n    return a\n\nf(1/0)", status="error")
        self.run_("print('''%%\n# %% x''')")
        rows = self.json("session", "history", self.s)["executions"]
        self.assertEqual([(r["n"], r["status"]) for r in rows], [(1, "ok"), (2, "error"), (3, "ok")])
        text = self.text("session", "history", self.s).stdout.splitlines()
        self.assertRegex(text[0], "^N +STARTED +MS +STATUS +ERROR +CODE$")
        self.assertRegex(text[2], "^2 .* error +ZeroDivisionError +def f")
        program = self.text("session", "history", self.s, "-o", "py").stdout
        compile(program, "history.py", "exec")
        self.assertIn("# %% [2] error: ZeroDivisionError", program)
        notebook = json.loads(self.text("session", "history", self.s, "-o", "ipynb").stdout)
        self.assertEqual((notebook["nbformat"], notebook["nbformat_minor"]), (4, 5))
        self.assertEqual(["".join(c["source"]) for c in notebook["cells"]], [r["code"] for r in rows])
        self.assertEqual([c["execution_count"] for c in notebook["cells"]], [1, 2, 3])
        self.assertEqual(notebook["cells"][1]["outputs"][0]["ename"], "ZeroDivisionError")
        self.assertTrue(all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", c["id"]) for c in notebook["cells"]))

    def test_reset_save_restore(self):
        self.run_("x = 41\nhandle = (i for i in [])")
        saved = self.json("session", "save", self.s)
        self.assertIn("x", saved["saved"])
        self.assertIn("handle", [row["name"] for row in saved["not_saved"]])
        self.assertIn("fresh interpreter", self.text("session", "reset", self.s).stdout)
        self.assertEqual(self.text("session", "vars", self.s).stdout, "no variables\n")
        text = self.text("session", "restore", self.s).stdout
        self.assertRegex(text, r"(?m)^x +restored")
        self.assertEqual(self.run_("x")["results"][-1]["text/plain"], "41")

    def test_stdin(self):
        self.run_("1")
        self.assertEqual(self.text("exec", self.s, "--stdin", "-", "-c", "print(input(), input())", data=b"a\nb\n").stdout, "a b\n")
        path = test_cli.WORK.file(b"x" * (3 << 20))
        self.assertEqual(self.text("exec", self.s, "--stdin", path, "-c", "import sys; print(len(sys.stdin.read()))").stdout, f"{3 << 20}\n")
        process = popen("exec", self.s, "-i", "-c", "print('?', flush=True)\nprint(input() + '!')", stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"?\n")
        out, err = process.communicate(b"hello\n", timeout=20)
        self.assertEqual((process.returncode, out), (0, b"hello!\n"), err)


HOSTILE = ["-rf", "a b", "new\nline", "esc\x1b[31mred", "ü", "\u202egnp.exe", "a:b", "%2e%2e", "#q?x=1", " ", "x" * 255, "tab\t", "..."]


class Files(SessionCase):
    def path(self, name):
        return os.path.join(test_cli.WORK.path, name)

    def place(self, name):
        """A directory that the user of this set-up can write."""
        return test_cli.WORK.dir(name + str(int(time.monotonic() * 1e6)), 0o755)

    def fill(self):
        self.run_("import os\nos.chdir('/sandbox')\nnames = " + ascii(HOSTILE) + " + [os.fsdecode(b'\\xff\\xfe')]\n"
                  "for n in names: open(n, 'w').write(ascii(n))\n"
                  "os.makedirs('d/e/empty'); open('d/e/bin', 'wb').write(bytes(range(256)) * 1000)\n"
                  "deep = 'deep/' + '/'.join(['y' * 100] * 20); os.makedirs(deep); open(deep + '/z', 'w').write('deep')\n"
                  "os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'd/dirlink')")

    def tree(self, top):
        found = {}
        for directory, names, files in os.walk(os.fsencode(top)):
            below = os.path.relpath(directory, os.fsencode(top))
            for name in names:
                found[os.path.normpath(os.path.join(below, name)) + b"/"] = None
            for name in files:
                with open(os.path.join(directory, name), "rb") as file:
                    found[os.path.normpath(os.path.join(below, name))] = file.read()
        return found

    def test_cp(self):
        self.new()
        place = self.place("cp")
        source = test_cli.WORK.file(b"\0\xffdata")
        name = os.path.basename(source)
        for to, where in ((":", name), (":one", "one"), (":d/e/two", "d/e/two"), (":d/", f"d/{name}"), (":d/e", f"d/e/{name}"),
                          (":/sandbox/three", "three"), (":/sandbox", name)):
            with self.subTest(to):
                self.text("cp", source, self.s + to)
                done = self.text("cp", f"{self.s}:{where}", "-")
                self.assertEqual(done.out, b"\0\xffdata")
        self.assertEqual(self.run_("open('/sandbox/one', 'rb').read()")["results"][-1]["text/plain"], "b'\\x00\\xffdata'")
        self.text("cp", f"{self.s}:one", place)
        self.text("cp", f"{self.s}:one", os.path.join(place, "other"))
        self.assertEqual(set(self.tree(place).values()), {b"\0\xffdata"})
        self.assertEqual(sorted(os.listdir(place)), ["one", "other"])
        self.assertEqual(os.stat(os.path.join(place, "other")).st_mode & 0o111, 0)
        self.text("cp", "-", f"{self.s}:in", data=b"typed")
        self.assertEqual(self.text("cp", f"{self.s}:in", "-").out, b"typed")
        report = self.json("cp", source, f"{self.s}:j")
        self.assertEqual((report["files"], report["bytes"], report["left_out"]), (1, 6, []))

    def test_cp_errors(self):
        self.run_("import os\nos.makedirs('/sandbox/d')\nos.symlink('/etc/passwd', '/sandbox/link')")
        place = self.place("errors")
        for args, words in (([f"{self.s}:nowhere", place], "no such file"), ([f"{self.s}:link", place], "link"), ([f"{self.s}:d", place], "-r"),
                            ([place, f"{self.s}:x"], "-r"), (["/nowhere", f"{self.s}:x"], "/nowhere"), (["/dev/zero", f"{self.s}:x"], "regular"),
                            (["-", f"{self.s}:"], "no name"), ([f"{self.s}:link", "/nowhere/x"], "link")):
            with self.subTest(args):
                self.assertIn(words, self.text("cp", *args, status=125).stderr)
        self.assertEqual(os.listdir(place), [])

    def test_cp_hostile_names(self):
        self.fill()
        place = self.place("hostile")
        done = self.text("cp", "-r", f"{self.s}:", os.path.join(place, "all"))
        self.assertIn("link: a symbolic link", done.stderr)
        found = self.tree(os.path.join(place, "all"))
        for name in HOSTILE:
            self.assertEqual(found[os.fsencode(name)], ascii(name).encode())
        self.assertIn(b"\xff\xfe", found)
        self.assertIn(b"d/e/empty/", found)
        self.assertEqual(found[b"d/e/bin"], bytes(range(256)) * 1000)
        self.assertFalse([n for n in found if b"link" in n])
        for name in HOSTILE + [os.fsdecode(b"\xff\xfe")]:
            with self.subTest(name):
                self.assertEqual(self.text("cp", f"{self.s}:{name}", "-").out, ascii(name).encode())
        done = self.text("session", "files", self.s)
        self.assertNotRegex(done.stdout.replace("\n", ""), "[\x00-\x1f\x7f\u202e]")
        self.assertNotRegex(self.text("cp", f"{self.s}:esc\x1b[31mred", "/nowhere/x", status=125).stderr, "\x1b")
        rows = self.json("session", "files", self.s, "d")["files"]
        self.assertEqual({r["path"]: r["type"] for r in rows}, {"d/dirlink": "link", "d/e": "directory", "d/e/bin": "file", "d/e/empty": "directory"})
        self.text("cp", "-r", os.path.join(place, "all"), f"{self.s}:again/")
        self.text("cp", "-r", f"{self.s}:again/all", place + "/again")
        again = self.tree(os.path.join(place, "again"))
        self.assertEqual({k: v for k, v in again.items()}, found)

    def test_cp_out_follows_no_link_below(self):
        """A place of ours that holds a link from elsewhere: what comes out goes over it, not through it."""
        self.run_("import os\nos.makedirs('/sandbox/t/sub')\nopen('/sandbox/t/f', 'w').write('new')\nopen('/sandbox/t/sub/g', 'w').write('new')")
        place = self.place("below")
        secret = test_cli.WORK.file("old")
        outside = self.place("outside")
        os.makedirs(os.path.join(place, "t"))
        os.symlink(secret, os.path.join(place, "t", "f"))
        os.symlink(outside, os.path.join(place, "t", "sub"))
        if AS:
            os.chown(os.path.join(place, "t"), test_cli.WORK.uid, -1)
        self.text("cp", "-r", f"{self.s}:t", place, status=125)
        with open(secret, encoding="ascii") as file:
            self.assertEqual(file.read(), "old")
        self.assertEqual(os.listdir(outside), [])

    def test_export_import(self):
        self.fill()
        place = self.place("tar")
        archive = os.path.join(place, "s.tar")
        done = self.text("session", "export", self.s, archive)
        self.assertIn("d/dirlink: a symbolic link", done.stderr)
        with tarfile.open(archive) as tar:
            self.assertTrue(all(m.isreg() or m.isdir() for m in tar.getmembers()))
            names = {m.name for m in tar.getmembers()}
            self.assertFalse([n for n in names if n.startswith("/") or ".." in n.split("/")])
            self.assertLessEqual(set(HOSTILE) | {os.fsdecode(b"\xff\xfe"), "d/e/empty"}, names)
            self.assertEqual(tar.extractfile("d/e/bin").read(), bytes(range(256)) * 1000)
        listed = subprocess.run(["tar", "-tf", archive], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, timeout=30)
        self.assertEqual(listed.stderr, b"")
        copy = self.s[-50:].lstrip("-.") + "-copy"
        self.text("session", "import", copy, archive, *self.settings())
        piped = self.text("session", "export", copy).out

        def content(data):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                return {m.name: tar.extractfile(m).read() if m.isreg() else None for m in tar.getmembers()}
        with open(archive, "rb") as file:
            self.assertEqual(content(file.read()), content(piped))
        result = self.run_("import os\nsorted(os.listdir('/sandbox/d/e'))", session=copy)
        self.assertEqual(result["results"][-1]["text/plain"], "['bin', 'empty']")
        self.text("session", "import", copy, "-", data=piped)

    def test_import_of_other_formats(self):
        self.new()
        place = self.place("formats")
        for number, kind in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
            path = os.path.join(place, f"{number}.tar")
            with tarfile.open(path, "w", format=kind) as tar:
                for name in ("short", "p" * 90 + "/" + "q" * 90) + (() if number == 0 else ("ü" * 120,)):
                    info = tarfile.TarInfo(f"./f{number}/{name}")
                    info.size = 3
                    tar.addfile(info, io.BytesIO(b"abc"))
            os.chmod(path, 0o644)
            self.text("session", "import", self.s, path)
            rows = self.json("session", "files", self.s, f"f{number}")["files"]
            self.assertEqual(sum(r["type"] == "file" for r in rows), 2 if number == 0 else 3)

    def test_import_of_hostile_archives(self):
        self.new()
        place = self.place("evil")
        path = os.path.join(place, "evil.tar")
        with tarfile.open(path, "w") as tar:
            for name in ("../up", "/abs", "a/../../up", "a//b", "ok", "a/./b"):
                info = tarfile.TarInfo(name)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
                info = tarfile.TarInfo("special")
                info.type, info.linkname = kind, "/etc/passwd"
                tar.addfile(info)
        os.chmod(path, 0o644)
        done = self.text("session", "import", self.s, path, status=125)
        self.assertIn("leaves the session", done.stderr)
        self.assertEqual([r["path"] for r in self.json("session", "files", self.s)["files"]], ["ok"])
        self.assertFalse(os.path.exists(os.path.join(test_cli.WORK.base, "up")))
        good = bytearray(open(path, "rb").read())
        for label, data, word in (("text", b"no tar file" * 100, "sum is wrong"), ("cut", bytes(good[:700]), "too early"),
                                  ("gzip", b"\x1f\x8b" + bytes(600), "compressed"), ("empty", b"", None)):
            with self.subTest(label):
                done = self.text("session", "import", self.s, "-", data=data, status=125 if word else 0)
                self.assertIn(word or "", done.stderr)

    def test_export_that_fails_leaves_nothing(self):
        self.new()
        self.assertEqual(self.text("session", "export", self.s, "/nowhere/x.tar", status=125).stdout, "")
        with open("/dev/full", "wb") as full:
            argv, env = command(["session", "export", self.s])
            done = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60, cwd="/")
        self.assertEqual(done.returncode, 125, done)
        self.assertIn(b"cannot write", done.stderr)


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *args, columns=100):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (40, columns)) if hasattr(termios, "tcsetwinsize") else None
        argv, env = command(args, {"TERM": "vt100"})
        self.process = subprocess.Popen(argv, env=env, stdin=slave, stdout=slave, stderr=slave, cwd="/", preexec_fn=self.own, close_fds=True)
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
        end = time.monotonic() + seconds
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
        limit = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < limit:
            self.read(0.1)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        return status


class Prompt(SessionCase):
    def prompt(self, *args):
        terminal = Terminal("repl", *self.settings(), *args)
        self.addCleanup(lambda: terminal.process.poll() is not None or terminal.process.kill())
        return terminal

    def temporary(self):
        """Sessions that a prompt made for itself."""
        return [s["id"] for s in self.json("session", "ls")["sessions"] if s["id"].startswith("s-")]

    def test_values_and_the_end(self):
        terminal = self.prompt()
        terminal.expect("dsandbox .*sandbox")
        terminal.line("x = 40 + 2")
        terminal.line("x")
        terminal.expect("\r\n42\r\n")
        terminal.line("print('pri' + 'nted'); None")
        terminal.expect("\nprinted\r\n")
        self.assertEqual(len(self.temporary()), 1)
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(self.temporary(), [], "its session is gone")
        self.assertFalse([n for n in os.listdir(test_cli.WORK.base) if n.startswith("s-")], "and its files")

    def test_many_lines(self):
        terminal = self.prompt()
        for line in ("def f(a,", "      b):", "    if a:", "", "        return 'sum', a + b", ""):
            if line == "":
                continue
            terminal.line(line)
        terminal.line("")
        terminal.line("f(1, 2)")
        terminal.expect(r"\n\('sum', 3\)\r\n")
        for line in ("x = '''one", "", "two'''", "x"):
            terminal.line(line)
        terminal.expect(re.escape("'one\\n\\ntwo'"))
        for line in ("for i in range(3):", "    print('n', i)"):
            terminal.line(line)
        terminal.line("")
        terminal.expect("n 0\r\nn 1\r\nn 2\r\n")
        for line in ("y = [1,", "  2]", "len(y)"):
            terminal.line(line)
        terminal.expect("\n2\r\n")
        terminal.line("exit()")
        self.assertEqual(terminal.end(), 0)

    def test_it_survives(self):
        terminal = self.prompt("--timeout", "2s")
        terminal.line("x = 'still' + ' here'")
        terminal.line("import time; time.sleep(60)")
        terminal.expect("time limit of 2s")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("import ctypes; ctypes.string_at(0)")
        terminal.expect("rolled back")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("1/0")
        terminal.expect("ZeroDivisionError")
        terminal.line("raise SystemExit(3)")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_ctrl_c(self):
        terminal = self.prompt()
        terminal.line("x = 'still' + ' here'")
        terminal.line("print('run' + 'ning', flush=True); import time; time.sleep(60)")
        terminal.expect("\nrunning\r\n")
        terminal.send("\x03")
        terminal.expect("KeyboardInterrupt", 10)
        terminal.expect(">>> ")
        terminal.send("nonsense(")
        terminal.expect(r"nonsense\(")
        terminal.send("\x03")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("def f():")
        terminal.expect(r"\.\.\. ")
        terminal.send("\x03")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_history(self):
        terminal = self.prompt()
        terminal.line("'remem' + 'bered'")
        terminal.expect("'remembered'")
        terminal.line("")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        path = os.path.join(test_cli.WORK.path, "state/dsandbox/prompt_history")
        if not os.path.exists(path):
            self.skipTest("built without libedit")
        self.assertEqual(os.stat(path).st_mode & 0o077, 0)
        terminal = self.prompt()
        terminal.expect(">>> ")
        terminal.send("\x1b[A\r")
        terminal.expect("'remembered'")
        terminal.expect(">>> ")
        terminal.send("'edXed'\x1b[D\x1b[D\x1b[D\x7fit\r")
        terminal.expect("'edited'")
        for _ in range(50):
            terminal.expect(">>> ")
            # Whoever sees the prompt may type: the keys go to the editing, not through the terminal's own.
            self.assertFalse(termios.tcgetattr(terminal.master)[3] & termios.ICANON, "the terminal is taken before")
            terminal.send("\r")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_named_session_stays(self):
        self.run_("x = 'from before'")
        terminal = self.prompt("--session", self.s)
        terminal.line("x")
        terminal.expect("'from before'")
        terminal.line("x = 'from the prompt'")
        terminal.line("quit")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "from the prompt\n")

    def test_input(self):
        terminal = self.prompt("-i")
        terminal.line("name = input('who' + '? ')")
        terminal.expect(r"\nwho\? ")
        terminal.send("ann\r")
        terminal.line("name.upper()")
        terminal.expect("'ANN'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        terminal = self.prompt()
        terminal.line("input()")
        terminal.expect("started with -i")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_nothing_gets_at_the_terminal(self):
        terminal = self.prompt()
        terminal.line("chr(27) + '[2J' and type('X', (), {'__repr__': lambda s: 'a' + chr(27) + ']0;t' + chr(7) + 'z'})()")
        terminal.expect(re.escape("\na\\x1b]0;t\\x07z\r\n"))
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_service_killed(self):
        terminal = self.prompt()
        terminal.line("x = 1")
        terminal.line("x + 1")
        terminal.expect("\n2\r\n")
        end_service(signal.SIGKILL)
        terminal.line("'x' in globals()")
        seen = terminal.expect(r"(False\r\n|service).*>>> ")
        terminal.send("'x' in globals()\r")
        terminal.expect("False\r\n")
        self.assertIn("lost", seen + terminal.seen + terminal.expect(">>> "), seen)
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_hang_up(self):
        if AS:
            self.skipTest("the program is not our child here")
        terminal = self.prompt()
        terminal.line("import time; print('u' + 'p', flush=True); time.sleep(60)")
        terminal.expect("\nup\r\n")
        terminal.process.send_signal(signal.SIGHUP)
        self.assertEqual(terminal.end(), 128 + signal.SIGHUP)
        self.assertEqual(self.temporary(), [])

    def test_alone_on_a_terminal(self):
        terminal = Terminal(*self.settings())
        terminal.line("6 * 7")
        terminal.expect("\n42\r\n")
        terminal.line("exit")
        self.assertEqual(terminal.end(), 0)

    def test_exec_on_a_terminal(self):
        self.run_("x = 5")
        terminal = Terminal("exec", self.s, "-i", "-c", "n = input('who' + '? ')\nprint(n.upper(), flush=True)\nimport time; time.sleep(60)")
        terminal.expect(r"who\? ")
        terminal.send("ann\r")
        terminal.expect("ANN\r\n")
        terminal.send("\x03")
        self.assertEqual(terminal.end(10), 130)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x, n)").stdout, "5 ann\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    test_cli.main([WithoutEngine] + ([Variables, Life, Verbs, Files, Prompt] if SETUP else []))

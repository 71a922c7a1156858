# SPDX-License-Identifier: MIT
"""Work in sessions: variables, verbs, files."""
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time

import cli_harness
from cli_harness import AS, BACKEND
from rest import rest
from session_harness import SessionCase, command, dsb, end_service, popen
from speed import setting


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
        self.run_("n = 0", *self.patient())
        for _ in range(9):
            self.run_("n += 1")
        self.run_("import time\ntime.sleep(30)", "--timeout", "1s", status="timeout")
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        before = self.rest()
        result = self.run_("import ctypes\nctypes.string_at(0)", status="signal")
        self.assertEqual(result["state"]["outcome"], "rolled_back", result["state"])
        self.assertGreaterEqual(result["state"]["to"], before)
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        if "memory" not in self.allow:
            result = self.run_("b = []\nwhile True: b.append(bytearray(16 << 20))", "--timeout", "60s", status="oom")
            self.assertEqual(result["state"]["outcome"], "rolled_back", result["state"])
            self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")
        self.run_("import os\nos._exit(3)", status="error")
        self.assertEqual(self.run_("n")["results"][-1]["text/plain"], "9")

    def test_what_the_background_wrote_is_told_apart(self):
        """In text mode, on standard error, and nothing of it gets at the terminal."""
        script = "until [ -e go ]; do sleep .05; done; printf 'of the \\033[2Jchild\\n'; echo behind >&2; touch said"
        self.run_(f"import os, subprocess\nsubprocess.Popen(['sh', '-c', {script!r}])")
        done = self.text("exec", self.s, "--timeout", "10m", "-c", "open('go', 'w')\nwhile not os.path.exists('said'): pass\nprint('mine')", limit=120)
        self.assertEqual(done.stdout, "mine\n")
        self.assertEqual(done.stderr, "dsandbox: from the background of earlier executions (stdout):\nof the \\x1b[2Jchild\n"
                                      "dsandbox: from the background of earlier executions (stderr):\nbehind\n")

    def rest(self):
        return rest(lambda code: self.run_(code)["state"])

    def test_statuses_and_what_is_said(self):
        self.run_("x = 1", *self.patient())
        self.rest()
        rows = (("1/0", [], 1, "ZeroDivisionError", None),
                ("raise SystemExit(7)", [], 7, "", None),
                ("raise KeyboardInterrupt", [], 130, "signal 2", None),
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
        self.new("--checkpoint=off")
        self.run_("x = 1")
        done = self.text("exec", self.s, "-c", "import ctypes; ctypes.string_at(0)", status=139)
        self.assertRegex(done.stderr, "dsandbox: variables were lost: .+")
        self.assertEqual(self.run_("'x' in globals()")["results"][-1]["text/plain"], "False")

    def test_a_point_of_before_the_service_was_killed(self):
        self.run_("x = [1]")
        before = self.rest()
        end_service(signal.SIGKILL)
        result = self.run_("x = 'wrong'\nimport os\nos._exit(3)", status="error")
        self.assertEqual(result["state"]["outcome"], "rolled_back", result["state"])
        self.assertGreaterEqual(result["state"]["to"], before)
        self.assertEqual(self.run_("x")["results"][-1]["text/plain"], "[1]")

    def test_checkpoint_after_each_execution(self):
        self.new("--checkpoint", "always")
        for number in (1, 2, 3):
            self.assertEqual(self.run_(f"n = {number}")["state"]["point"], "taken")
            result = self.run_("import os\nos._exit(3)", status="error")
            self.assertEqual((result["state"]["outcome"], result["state"]["to"]), ("rolled_back", result["state"]["execution"] - 1))
            self.assertEqual(self.run_("n", "--checkpoint=always")["results"][-1]["text/plain"], str(number))

    def test_arguments_environment_and_file(self):
        path = cli_harness.WORK.file("import os, sys\nprint(sys.argv[1:], os.environ['A'], __name__)\n")
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
        policy = cli_harness.WORK.file('{"memory": "256MiB", "locked": ["memory"]}')
        result = self.run_("1", "--policy", policy)
        self.assertEqual([c["asked"] for c in result["policy"]["controls"] if c["name"] == "memory"], ["256MiB"])
        done = dsb("run", "--json", "-s", self.s + "2", *self.settings(), "--policy", policy, "--memory", "1GiB", "-c", "1")
        self.assert_failure(done, "refused", "memory", "lock", status=126)


class Commands(SessionCase):
    """A program in a session, while its interpreter idles."""

    def command(self, *words, status="ok", options=()):
        result = self.result(dsb("exec", self.s, "--json", *options, "--", *words))
        self.assertEqual((result["status"], result["state"]["outcome"]), (status, "kept"), result)
        return result

    def test_beside_the_variables(self):
        self.run_("x = 41\nopen('in', 'w').write('data')")
        done = self.text("exec", self.s, "--", "sh", "-c", "cat in; echo err >&2; echo out > made; exit 3", status=3)
        self.assertEqual((done.stdout, done.stderr), ("data", "err\n"))
        result = self.command("cat", "made")
        self.assertEqual((result["stdout"], result["session"], result["state"]["vars"]), ("out\n", self.s, None))
        self.assertEqual(self.run_("x + 1")["results"][-1]["text/plain"], "42")
        result = self.command("touch", "made-here", options=["--cwd", "/sandbox"])
        self.assertIn("made-here", [f["path"] for f in result["files"]["created"]], result["files"])
        self.assertEqual(self.text("exec", self.s, "--", "no-such", status=127).stdout, "")

    def test_time_limit_and_interrupt(self):
        self.run_("x = 1")
        result = self.command("sh", "-c", "echo part; sleep 600", status="timeout", options=["--timeout", setting(2)])
        self.assertEqual(result["stdout"], "part\n")
        with popen("exec", self.s, "--", "sh", "-c", "echo on; sleep 600") as process:
            self.assertEqual(process.stdout.readline(), b"on\n")
            self.text("session", "interrupt", self.s)
            process.communicate(timeout=60)
        self.assertEqual(self.run_("x")["results"][-1]["text/plain"], "1")
        self.assertEqual(self.run_("import os\n[p for p in os.listdir('/proc') if p.isdigit() and b'sleep' in open('/proc/%s/cmdline' % p, 'rb').read()]")
                         ["results"][-1]["text/plain"], "[]")

    def test_what_hurts_the_sandbox_costs_no_variables(self):
        self.run_("x = 1")
        self.command("sh", "-c", "(f(){ f|f& }; f) 2>/dev/null; while :; do :; done", status="timeout", options=["--timeout", "3s"])
        self.assertEqual(self.run_("x")["results"][-1]["text/plain"], "1")
        if "memory" not in self.allow:
            self.command("tail", "/dev/zero", status="oom")
            self.assertEqual(self.run_("x")["results"][-1]["text/plain"], "1")

    def test_history(self):
        self.run_("x = 1")
        self.command("echo", "a b", "it's")
        row = self.json("session", "history", self.s)["executions"][-1]
        self.assertEqual((row["code"], row["command"]), ("echo 'a b' 'it'\\''s'", True))
        self.assertIn("$ echo 'a b'", self.text("session", "history", self.s).stdout)
        program = self.text("session", "history", self.s, "-o", "py").stdout
        self.assertIn("\n# $ echo 'a b'", program)
        compile(program, "history", "exec")
        cells = json.loads(self.text("session", "history", self.s, "-o", "ipynb").stdout)["cells"]
        self.assertTrue("".join(cells[-1]["source"]).startswith("!echo 'a b'"), cells[-1])


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
        self.assertTrue(os.path.isdir(os.path.join(cli_harness.WORK.base, self.s)), "files stay")
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
        for more, cut in ((997, False), (998, True)):  # with the three there are
            changes = self.run_(f"globals().update((f'v{{i}}', i) for i in range({more}))")["state"]["vars"]
            done, rows = self.text("session", "vars", self.s), self.json("session", "vars", self.s)
            self.assertEqual((changes["truncated"], rows["truncated"], len(rows["vars"])), (False, cut, 1000))
            self.assertEqual(done.stderr, "dsandbox: there are more variables than these 1000\n" if cut else "")
        changes = self.run_("for i in range(1001): globals()[f'w{i}'] = i")["state"]["vars"]
        self.assertEqual((changes["truncated"], len(changes["created"])), (True, 1000))

    def test_output_is_full_or_closed(self):
        """Where there is an engine; the other paths are in program_options.py. One run is the service's, as a session is alive."""
        self.run_("open('f', 'w').write('x')")
        ours = self.settings()
        paths = [("exec", self.s, "-c", "print(1)"), ("exec", self.s, "--json", "-c", "1"), ("run", *ours, "-c", "print(1)"),
                 ("run", *ours, "--json", "-c", "1"), ("run", *ours, "--no-service", "-c", "print(1)"),
                 ("run", *ours, "--no-service", "--json", "-c", "1"), ("cp", self.s + ":f", "-"), ("session", "export", self.s),
                 *(("session", verb, self.s, *more) for verb in ("show", "vars", "history", "files") for more in ((), ("--json",))),
                 ("session", "history", self.s, "-o", "py"), ("session", "history", self.s, "-o", "ipynb"), ("gc", *self.where()), ("gc", *self.where(), "--json"),
                 ("backend", "show", BACKEND), ("backend", "show", BACKEND, "--json")]
        ways = {">/dev/full": "No space left on device"}
        if not AS:  # what makes us another user may open something in its place
            ways[">&-"] = "Bad file descriptor"
        for args in paths:
            argv, env = command(args)
            for where, reason in ways.items():
                with self.subTest(args=args, where=where):
                    done = subprocess.run(["sh", "-c", f'"$@" {where}', "sh", *argv], env=env, cwd="/", timeout=60,
                                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
                    self.assertEqual(done.returncode, 125, done)
                    self.assertRegex(done.stderr.decode(), f"dsandbox: .*cannot write.*: {reason}")

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
        self.new()
        nothing = self.text("session", "restore", self.s, status=125).stderr
        self.assertTrue(nothing.endswith("nothing is saved\n"), nothing)
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
        path = cli_harness.WORK.file(b"x" * (3 << 20))
        self.assertEqual(self.text("exec", self.s, "--stdin", path, "-c", "import sys; print(len(sys.stdin.read()))").stdout, f"{3 << 20}\n")
        process = popen("exec", self.s, "-i", "-c", "print('?', flush=True)\nprint(input() + '!')", stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"?\n")
        out, err = process.communicate(b"hello\n", timeout=20)
        self.assertEqual((process.returncode, out), (0, b"hello!\n"), err)


HOSTILE = ["-rf", "a b", "new\nline", "esc\x1b[31mred", "ü", "\u202egnp.exe", "a:b", "%2e%2e", "#q?x=1", " ", "x" * 255, "tab\t", "..."]


class Files(SessionCase):
    def path(self, name):
        return os.path.join(cli_harness.WORK.path, name)

    def place(self, name):
        """A directory that the user of this set-up can write."""
        return cli_harness.WORK.dir(name + str(int(time.monotonic() * 1e6)), 0o755)

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

    def test_what_changed_is_told_exactly(self):
        """What the host does just before is not the execution's; what this does to such files is. Again and again."""
        self.new()
        code = "import os\nopen('made', 'a').write('x'); open('changed', 'r+').write('c'); os.remove('taken')"
        for n in range(20):
            for name in ("host", "changed", "taken"):
                self.text("cp", cli_harness.WORK.file(b"h"), f"{self.s}:{name}")
            files = {key: [f["path"] for f in value] for key, value in self.run_(code)["files"].items() if key != "truncated"}
            self.assertEqual(files, {"created": ["made"] if n == 0 else [], "deleted": ["taken"],
                                     "modified": ["changed"] if n == 0 else ["changed", "made"]}, f"round {n}")
            self.assertEqual(self.run_("1")["files"]["modified"], [])

    def test_cp(self):
        self.new()
        place = self.place("cp")
        source = cli_harness.WORK.file(b"\0\xffdata")
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
        secret = cli_harness.WORK.file("old")
        outside = self.place("outside")
        os.makedirs(os.path.join(place, "t"))
        os.symlink(secret, os.path.join(place, "t", "f"))
        os.symlink(outside, os.path.join(place, "t", "sub"))
        if AS:
            os.chown(os.path.join(place, "t"), cli_harness.WORK.uid, -1)
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

    def test_branch(self):
        self.run_("import threading\nkept, lock = {'k': [1]}, threading.Lock()\ndef double(n): return 2 * n\n"
                  "import os\nos.makedirs('d/empty')\nopen('d/bin', 'wb').write(bytes(range(256)))\nos.symlink('x', 'link')", "--memory", "300MiB")
        other = self.s[-50:].lstrip("-.") + "-other"
        done = self.text("session", "branch", self.s, other)
        self.assertRegex(done.stdout, rf"^{other}: \d+ variables, \d+ files from {re.escape(self.s)} in \d+ ms\n$")
        self.assertIn("did not come along: lock: TypeError", done.stderr)
        self.assertIn("left out: link: a symbolic link", done.stderr)
        look = "print(double(kept['k'][0]), open('d/bin', 'rb').read() == bytes(range(256)), os.path.isdir('d/empty'), 'lock' in globals())"
        self.assertEqual(dsb("exec", other, "-c", look).stdout, "2 True True False\n")
        # From then on each has its own.
        dsb("exec", self.s, "-c", "kept['k'] = [5]; open('d/bin', 'w').close()")
        self.assertEqual(dsb("exec", other, "-c", look).stdout, "2 True True False\n")
        report = self.json("session", "branch", other, other + "2")
        self.assertEqual((report["from"], report["session"]["id"], report["not_saved"]), (other, other + "2", []))
        self.assertLessEqual({"kept", "double"}, set(report["variables"]))
        self.assertGreater(report["ms"], 0)
        asked = {row["name"]: row["asked"] for row in report["session"]["policy"]["controls"]}
        self.assertEqual(asked["memory"], "300MiB")
        for args, words in (((other, self.s), f"session {self.s} exists: take another id\n"), (("no-such-one", "n"), "no session"), ((other, "../n"), "an id has 1 to 64")):
            with self.subTest(args):
                self.assertIn(words, self.text("session", "branch", *args, status=125).stderr)
        self.assertNotIn("n", [row["id"] for row in self.json("session", "ls")["sessions"]])
        for name in (other, other + "2"):
            self.text("session", "rm", name, "--files")

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
        self.assertFalse(os.path.exists(os.path.join(cli_harness.WORK.base, "up")))
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


CASES = (Variables, Commands, Verbs, Files)

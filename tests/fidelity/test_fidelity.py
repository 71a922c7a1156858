#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The same program run by the image's plain interpreter and by us: from a file, as a string, from standard input, and in a
session. Exit status, standard output, standard error and files are equal, but for differences.json: a reviewed list,
where each difference has its reason, and one that is no longer there is a failure.

A program is programs/NAME.py; comments on top may say `# args: A B`, `# stdin: TEXT`, `# ways: file string` (file,
string and session by default). Environment, arguments and last line as in tests/cli/cli_harness.py; -k NAME runs one.
"""
import base64
import concurrent.futures
import glob
import json
import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../cli"))
import cli_harness  # noqa: E402
from cli_harness import BACKEND, SETUP, scaled  # noqa: E402
from session_harness import SessionCase, dsb, popen  # noqa: E402

WAYS = ("file", "string", "stdin", "session", "session-string")
PLAIN_WAY = {"session": "file", "session-string": "string"}
DIFFERENCES = json.load(open(os.path.join(HERE, "differences.json"), encoding="utf-8"))
LIMIT = 120  # seconds, of one run; a machine may be slow


class Program:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        with open(path, "rb") as file:
            self.code = file.read()
        self.args, self.stdin, self.ways = [], "", ["file", "string", "session"]
        for line in self.code.decode("latin-1").splitlines():
            found = re.fullmatch(r"# (args|stdin|ways): (.*)", line)
            if found and found[1] == "stdin":
                self.stdin = found[2].replace("\\n", "\n")
            elif found:
                setattr(self, found[1], found[2].split())


def neutral(data, way):
    """Text without what differs from run to run; in a session the code has a name of its own."""
    text = data.decode("utf-8", "backslashreplace")
    text = re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)
    if way == "session-string":
        text = re.sub(r"<execution \d+>", "<string>", text)
    return text


class Did:
    """What a program did, as the reader of a failure wants to see it."""

    def __init__(self, status, out, err, files, warm=False):
        self.warm = warm
        self.all = {"status": status, "stdout": out, "stderr": err, "files": files}

    def differs(self, other):
        return [key for key in self.all if self.all[key] != other.all[key]]


class Comparison(SessionCase):
    env = None  # another service's

    def settings(self):
        return super().settings() + ["--timeout", f"{LIMIT}s"]

    def plain(self, program):
        """What the plain interpreter makes of the program: {way: Did}."""
        ways = sorted({PLAIN_WAY.get(way, way) for way in program.ways})
        jobs = [{"name": program.name, "code": program.code.hex(), "args": program.args, "way": way,
                 "stdin": "" if way == "stdin" else program.stdin} for way in ways]
        with open(os.path.join(HERE, "plain.py"), encoding="utf-8") as file:
            driver = file.read()
        given = cli_harness.WORK.file(json.dumps(jobs))
        done = dsb("run", "--json", *self.settings(), "--stdin", given, "-c", driver, limit=LIMIT)
        result = self.result(done)
        self.assertEqual(result["status"], "ok", done)
        return {way: Did(a["status"], neutral(bytes.fromhex(a["stdout"]), way), neutral(bytes.fromhex(a["stderr"]), way), a["files"])
                for way, a in zip(ways, json.loads(result["stdout"]))}

    def command(self, program, way):
        end = ["--", *program.args] if program.args else []
        if way in ("string", "session-string"):
            return ["-c", program.code.decode(), *end]
        return ["-" if way == "stdin" else program.path, *end]

    def ours(self, program, way):
        options = ["--session", self.s + "-" + way] if way.startswith("session") else []
        how = {"limit": LIMIT, "env": self.env}
        if program.stdin:
            options += ["--stdin", cli_harness.WORK.file(program.stdin)]
        if way == "stdin":
            how["data"] = program.code
        done = dsb("run", "--json", *self.settings(), *options, *self.command(program, way), **how)
        if options and way.startswith("session"):
            dsb("session", "rm", "--files", self.s + "-" + way, env=self.env)
        result = self.result(done)
        self.assertIsNone(result["failure"], done)
        files = {f["path"]: f["size"] for f in result["files"]["created"] + result["files"]["modified"]}
        status = result["exit_code"] if result["signal"] is None else -result["signal"]
        return Did(status, neutral(self.stream(result, "stdout"), way), neutral(self.stream(result, "stderr"), way), files, result["warm"])

    @staticmethod
    def stream(result, name):
        exact = result.get(name + "_base64")
        return result[name].encode() if exact is None else base64.b64decode(exact)

    def compare(self, program):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            plain = pool.submit(self.plain, program)
            ours = {way: pool.submit(self.ours, program, way) for way in program.ways}
        for way in program.ways:
            with self.subTest(way):
                expected, got = plain.result()[PLAIN_WAY.get(way, way)], ours[way].result()
                allowed = {key for entry in DIFFERENCES if entry["program"] == program.name and way in entry["ways"]
                           for key in entry["in"]}
                found = set(expected.differs(got))
                self.assertEqual(found, allowed, f"\nplain: {expected.all}\nours:  {got.all}\n")


class Fidelity(Comparison):
    pass


class Warm(Comparison):
    """An eighth of the programs, in sandboxes that had waited in a pool."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = {"XDG_RUNTIME_DIR": cli_harness.WORK.dir("warm", 0o700)}
        cls.service = popen("serve", "--pool", "6", "--idle", "1h", env=cls.env)
        end = time.monotonic() + scaled(30)
        while json.loads(dsb("pool", "ls", "--json", env=cls.env).stdout)["size"] == 0:
            assert time.monotonic() < end and cls.service.poll() is None, "the service does not start"
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        cls.service.send_signal(signal.SIGINT)
        cls.service.communicate(timeout=60)
        super().tearDownClass()

    def ours(self, program, way):
        for _ in range(50):
            did = super().ours(program, way)
            if did.warm:
                return did
            time.sleep(0.2)
        raise AssertionError("there is never one that waits")


def _add(case, path):
    name = os.path.basename(path)[:-3]
    setattr(case, "test_" + name, lambda self: self.compare(Program(path)))


for _i, _path in enumerate(sorted(glob.glob(os.path.join(HERE, "programs", "*.py")))):
    _add(Fidelity, _path)
    if _i % 8 == 0:
        _add(Warm, _path)


class Sessions(SessionCase):
    """Many executions, as one user sees them: what the plain interpreter does not have."""

    def file(self, name, code):
        directory = cli_harness.WORK.path + "/" + self.s
        os.makedirs(directory, mode=0o755, exist_ok=True)
        path = os.path.join(directory, name)
        with open(path, "wb") as out:
            out.write(code if isinstance(code, bytes) else code.encode())
        os.chmod(path, 0o644)
        return path

    def run_file(self, name, code, *args, session=True, status="ok"):
        options = ["--session", self.s] if session else []
        done = dsb("run", "--json", *options, *self.settings(), *args, self.file(name, code))
        result = self.result(done)
        self.assertEqual(result["status"], status, done)
        return result

    def test_streams_are_renewed(self):
        for replace in ("os.fdopen(sys.stdout.fileno(), 'w', buffering=1)", "io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1')",
                        "codecs.getwriter('utf-8')(sys.stdout.detach())", "io.StringIO()", "None", "open('/dev/null', 'w')"):
            with self.subTest(replace):
                code = f"import codecs, io, os, sys\nsys.stdout = kept = {replace}\nprint('a\u00e9')"
                for _ in range(2):
                    self.run_(code)
                    self.assertEqual(self.run_("print('next \u00e9')\nsys.stdout.encoding")["stdout"], "next \u00e9\n")
        self.run_("sys.stdout.reconfigure(encoding='latin-1')\nos.close(1)")
        self.assertEqual(self.run_("print('\u4f60')")["stdout"], "\u4f60\n")

    def test_lines_are_those_of_the_execution(self):
        self.run_("def ratio(a, b):\n    return a / b")
        text = self.run_("x = 'harmless line one'\ny = 'harmless line two'\nratio(1, 0)", status="error")["stderr"]
        self.assertIn("return a / b", text)
        self.assertNotIn("harmless", text)
        self.assertRegex(text, r'File "<execution 2>", line 3, in <module>\n    ratio\(1, 0\)')
        done = dsb("run", "--session", self.s, *self.settings(), "-", data=b"def f():\n    return [][1]")
        self.assertEqual(done.status, 0, done)
        self.assertIn("return [][1]", self.run_("z = 1\nf()", status="error")["stderr"])
        self.assertEqual(self.run_("import inspect\nprint(inspect.getsource(ratio))")["stdout"], "def ratio(a, b):\n    return a / b\n")

    def test_lines_of_a_file_that_changes(self):
        self.run_file("one.py", "def alpha():\n    return 1 / 0\n")
        self.run_file("one.py", "# another line\ndef beta():\n    return 2\n")
        self.run_file("two.py", "import inspect\nprint(inspect.getsource(alpha) + inspect.getsource(beta))\n")
        result = self.run_("import inspect\nprint(inspect.getsource(alpha) + inspect.getsource(beta))\nalpha()", status="error")
        self.assertEqual(result["stdout"], "def alpha():\n    return 1 / 0\ndef beta():\n    return 2\n\n")
        self.assertIn("    return 1 / 0\n", result["stderr"])

    def test_environment_of_one_execution(self):
        self.run_("import os; os.environ['MINE'] = '1'")
        shows = "print(os.environ.get('TOKEN'), os.environ.get('MINE'), os.environ.get('LANG'))"
        self.assertEqual(self.run_(shows, "-e", "TOKEN=secret", "-e", "LANG=xx")["stdout"], "secret 1 xx\n")
        self.assertEqual(self.run_(shows)["stdout"], "None 1 C.UTF-8\n")

    def test_the_same_warning_again(self):
        for _ in range(2):
            self.assertIn("UserWarning: again", self.run_("import warnings\nfor _ in range(2): warnings.warn('again')")["stderr"])
            self.assertEqual(self.run_("warnings.warn('deep', stacklevel=9)")["stderr"].count("deep"), 1)

    def test_the_program_is_no_file_of_the_result(self):
        code = "import os, time\nprint(os.path.exists(__file__), oct(os.stat(__file__).st_mode))\nopen('out', 'w').close()\n"
        for session in (True, False):
            with self.subTest(session=session):
                result = self.run_file("program.py", code, session=session)
                self.assertEqual(result["stdout"], "True 0o100444\n")
                self.assertEqual([f["path"] for f in result["files"]["created"] + result["files"]["modified"]], ["out"])
                for end, status in (("time.sleep(60)", "timeout"), ("os.kill(os.getpid(), 9)", "signal"), ("os._exit(3)", "error")):
                    result = self.run_file("program.py", "import os, time\n" + end, "--timeout", "2s", session=session, status=status)
                    self.assertEqual(result["files"]["created"], [])
        self.assertEqual(self.run_("import os\nprint(sorted(os.listdir('/sandbox')))")["stdout"], "['out']\n")

    def test_a_name_that_is_taken(self):
        self.run_("open('taken.py', 'w').write('mine')")
        result = self.run_file("taken.py", "print(open(__file__).read() == 'mine', open('taken.py').read())")
        self.assertEqual(result["stdout"], "False mine\n")
        self.assertEqual(self.run_("print(open('taken.py').read())")["stdout"], "mine\n")

    def test_a_program_that_replaces_itself_keeps_what_it_wrote(self):
        code = "import os\nos.unlink(__file__)\nopen(__file__, 'w').write('new')\n"
        self.assertEqual([f["path"] for f in self.run_file("self.py", code)["files"]["created"]], ["self.py"])

    def test_coding_line(self):
        for coding, text in (("gbk", "\u4f60\u597d"), ("latin-1", "\u00e9"), ("cp1252", "\u20ac"), ("euc_jp", "\u65e5"), ("utf-8", "\u4f60")):
            code = f"#!/usr/bin/python3\n# -*- coding: {coding} -*-\nprint({text!r}, ascii({text!r}))\nimport subprocess, sys\n"
            again = "if len(sys.argv) < 2: print(subprocess.run([sys.executable, __file__, 'x'], stdout=subprocess.PIPE).stdout.decode())\n"
            with self.subTest(coding):
                result = self.run_file("coded.py", (code + again).encode(coding), session=False)
                self.assertEqual(result["stdout"], f"{text} {ascii(text)}\n" * 2 + "\n")
        result = self.run_file("unknown.py", "# coding: no-such\nprint(1)", session=False, status="error")
        self.assertRegex(result["stderr"], "SyntaxError: (unknown encoding|encoding problem): no-such")

    def test_a_nul_is_the_interpreters_own_error(self):
        for session in (False, True):
            with self.subTest(session=session):
                result = self.run_file("nul.py", b"x = 1\r\n  y = 2\0\n", session=session, status="error")
                self.assertEqual((result["exit_code"], result["error"]["name"]), (1, "SyntaxError"))
                self.assertEqual(result["stderr"], '  File "/sandbox/nul.py", line 2\n    y = 2\n'
                                                   "SyntaxError: source code cannot contain null bytes\n")

    def test_what_dies_later_does_not_speak_in_another_execution(self):
        code = "class Noisy:\n    def __del__(self): raise ValueError('late')\nnoisy = Noisy()\nnoisy.itself = noisy\ndel noisy"
        self.assertIn("late", self.run_(code)["stderr"])
        self.assertEqual(self.run_("import gc\ngc.collect()\nprint('next')")["stderr"], "")

    def test_exit_handlers_run_when_the_session_ends_in_order(self):
        result = self.run_("import atexit\n"
                           "atexit.register(lambda: open('/sandbox/ended', 'w').write('handler'))\n"
                           "def fails(): raise ValueError\natexit.register(fails)")
        self.text("session", "rm", self.s)
        with open(os.path.join(result["workdir"], "ended"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "handler")

    def test_an_exit_handler_without_an_end_is_not_waited_for(self):
        self.run_("import atexit, time\natexit.register(time.sleep, 3600)")
        self.text("session", "rm", self.s)

    def test_no_python_variable_and_no_package_of_the_code_reaches_the_interpreter(self):
        """Also when it is started again in the middle of a session."""
        self.run_("import os\n"
                  "for d in ('/tmp/.local/lib/python3.13/site-packages', '/sandbox/.local/lib/python3.13/site-packages'):\n"
                  "    os.makedirs(d)\n    open(d + '/x.pth', 'w').write('import os; open(\"/tmp/reached\", \"w\")')\n"
                  "for n in ('sitecustomize', 'usercustomize', 'warnings', 'struct', 'session', 'json'):\n"
                  "    open('/sandbox/%s.py' % n, 'w').write('open(\"/tmp/reached\", \"w\")')")
        self.text("session", "reset", self.s)
        self.assertEqual(self.run_("import os, sys\nprint(os.path.exists('/tmp/reached'), sys.flags.isolated)")["stdout"], "False 0\n")


class List(SessionCase):
    def test_every_difference_is_reviewed(self):
        for entry in DIFFERENCES:
            with self.subTest(entry["program"]):
                self.assertTrue(os.path.exists(os.path.join(HERE, "programs", entry["program"])))
                self.assertTrue(entry["reason"] and entry["in"] and set(entry["ways"]) <= set(WAYS))


if __name__ == "__main__":
    if not SETUP:
        sys.exit("test_fidelity.py: needs an engine: DSB_TEST_SETUP and the others, or sh tests/fidelity/run.sh")
    cli_harness.main([Fidelity, Sessions, List, Warm])

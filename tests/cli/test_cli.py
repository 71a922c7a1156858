#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Black-box tests of the program `dsandbox`: options, messages, exit statuses, JSON, signals, leaks.

Without an engine:  DSB_TEST_PROGRAM=build/cli/dsandbox python3 tests/cli/test_cli.py
With one, once for each set-up (tests/run.sh does this): also DSB_TEST_SETUP, DSB_TEST_BACKEND, DSB_TEST_ENDPOINT,
DSB_TEST_AS (a program that becomes the rootless user), DSB_TEST_WORK, DSB_TEST_IMAGE, DSB_TEST_RUNS.
Arguments are those of unittest: names of tests, -k PATTERN. The last line is "N passed, N failed, N skipped".
"""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
EXAMPLES = os.path.join(TOP, "examples")
if not os.access(os.path.join(EXAMPLES, "hello.py"), os.R_OK) or os.environ.get("DSB_TEST_EXAMPLES"):
    EXAMPLES = os.environ.get("DSB_TEST_EXAMPLES", EXAMPLES)
SETUP = os.environ.get("DSB_TEST_SETUP", "")
BACKEND = os.environ.get("DSB_TEST_BACKEND", "")
ENDPOINT = os.environ.get("DSB_TEST_ENDPOINT", "")
AS = os.environ.get("DSB_TEST_AS", "")
RUNS = int(os.environ.get("DSB_TEST_RUNS", "30"))
HARD_LIMIT = 120  # seconds, of one run of the program
RESULT_SCHEMA = json.load(open(os.path.join(TOP, "doc/result.schema.json"), encoding="utf-8"))


class Work:
    """The scratch directory of this set-up; owned by the rootless user where there is one."""

    def __init__(self):
        given = os.environ.get("DSB_TEST_WORK")
        self.made = given is None
        self.path = given or tempfile.mkdtemp(prefix="dsb-cli.", dir="/tmp")
        self.uid = os.getuid()
        if self.made:
            os.chmod(self.path, 0o755)
        if AS:
            self.uid = int(subprocess.run([AS, "id", "-u"], stdout=subprocess.PIPE, check=True, timeout=30).stdout)
            if self.made:
                os.chown(self.path, self.uid, -1)
        self.base = self.dir("base", 0o700)
        self.run = self.dir("run", 0o700)
        self.count = 0

    def dir(self, name, mode=0o755):
        path = os.path.join(self.path, name)
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if AS:
            os.chown(path, self.uid, -1)
        return path

    def file(self, content, name=None):
        self.count += 1
        path = os.path.join(self.path, name or f"file{self.count}")
        with open(path, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, 0o644)
        return path

    def remove(self):
        if self.made:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            for name in os.listdir(self.path):
                path = os.path.join(self.path, name)
                shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)


WORK = None


def environment(**more):
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": WORK.path,
           "XDG_RUNTIME_DIR": WORK.run}
    env.update({k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_"))})
    if ENDPOINT:
        env["CONTAINER_HOST" if BACKEND == "podman" else "DOCKER_HOST"] = ENDPOINT
    else:
        missing = "unix://" + os.path.join(WORK.path, "no-such.sock")
        env["DOCKER_HOST"] = env["CONTAINER_HOST"] = missing
    env.update(more)
    return {k: v for k, v in env.items() if v is not None}


def command(args, env):
    if not AS:
        return [PROGRAM, *args], env
    # The wrapper clears the environment and has its own HOME, PATH and XDG_RUNTIME_DIR.
    kept = {k: v for k, v in env.items() if k not in ("PATH", "HOME", "XDG_RUNTIME_DIR")}
    return [AS, "env", *(f"{k}={v}" for k, v in kept.items()), PROGRAM, *args], env


def start(*args, env=None, **popen):
    argv, env = command(args, environment(**(env or {})))
    popen.setdefault("stdin", subprocess.DEVNULL)
    popen.setdefault("cwd", "/")
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)


class Done:
    def __init__(self, args, status, out, err, seconds):
        self.args, self.status, self.out, self.err, self.seconds = args, status, out, err, seconds
        self.stdout, self.stderr = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def __str__(self):
        text = f"dsandbox {' '.join(self.args)}\n  exit status {self.status} after {self.seconds:.1f} s"
        try:
            result = json.loads(self.stdout)
            for key in ("status", "exit_code", "signal", "failure", "stdout", "stderr", "error"):
                if result.get(key) not in (None, ""):
                    text += f"\n  {key}: {str(result[key])[:1000]!r}"
        except (ValueError, AttributeError):
            text += f"\n  standard output: {self.stdout[:1500]!r}"
        return text + f"\n  standard error: {self.stderr[:1500]!r}"


def dsandbox(*args, data=None, env=None, limit=HARD_LIMIT, **popen):
    begin = time.monotonic()
    if data is not None:
        popen["stdin"] = subprocess.PIPE
    process = start(*args, env=env, **popen)
    try:
        out, err = process.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end within {limit} s: {Done(args, None, out, err, limit)}") from None
    return Done(args, process.returncode, out, err, time.monotonic() - begin)


class Case(unittest.TestCase):
    maxDiff = None
    longMessage = True

    def result(self, done):
        """The one JSON object on standard output."""
        try:
            result = schema.loads(done.out.decode("utf-8"))
        except ValueError as problem:
            self.fail(f"standard output is not one JSON object: {problem}\n{done}")
        self.assertEqual(schema.problems(result, RESULT_SCHEMA), [], done)
        return result

    def assert_failure(self, done, code, *words, status=125):
        """A failure of ours: exit status, JSON with code and message, and the words that help the reader."""
        self.assertEqual(done.status, status, done)
        result = self.result(done)
        self.assertEqual(result["status"], "refused" if status == 126 else "error", done)
        self.assertIsNotNone(result["failure"], done)
        message = result["failure"]["message"]
        if code:
            self.assertEqual(result["failure"]["code"], code, done)
        for word in words:
            self.assertRegex(message.lower(), re.compile(word.lower()), done)
        self.assertNotIn("GLib", message)
        self.assertIsNone(result["exit_code"], done)
        return result


# --- without an engine ------------------------------------------------------------------------------------------------

BIG = "99999999999999999999999"
BAD_SIZES = ["", "abc", "-1", "1x", "nan", "inf", "unlimited", "1.5.2", "1 2", "0x10", "1e400", BIG, BIG + "GiB", "512MiBx"]
BAD_VALUES = {
    "--memory": BAD_SIZES + ["0", "1"],
    "--swap": BAD_SIZES,
    "--tmp-size": BAD_SIZES,
    "--disk": BAD_SIZES + ["0"],
    "--output-limit": BAD_SIZES,
    "--cpus": ["", "abc", "-1", "0", "nan", "inf", "1x", "1e400", BIG, "0.0000001"],
    "--pids": ["", "abc", "-1", "0", "1.5", "nan", "unlimited", BIG],
    "--timeout": ["", "abc", "-1", "0", "nan", "inf", "1x", BIG],
    "--network": ["", "host", "bridge", "NONE", "none,full", "container:x"],
    "--user": ["", "root", "-1", "x", "1000:", ":1000", "1000:1000:1000", BIG, "4294967295", "4294967296"],
    "--runtime": ["", "a b", "../runc", "--debug", "/bin/sh", "x" * 65],
    "--env": ["", "NAME", "=value", "A B=1"],
    "--session": ["", ".", "..", "a/b", "../x", "/x", "-x", ".x", "a b", "a" * 65, "a\nb", "ä"],
    "--base-dir": ["", "relative", "./x"],
    "--image": ["", "-x", "a b", "a\nb"],
    "--allow-unenforced": ["", "nonsense", "memory,nonsense", ",", "memory,,cpu", "all"],
    "--plugin": ["", "relative.so", "./x.so"],
    "--backend": ["", "nonesuch", "../docker-api", "/x", "a b", "docker api", "x" * 65],
}
NAMES_ITSELF = {"--backend", "--plugin", "--session", "--base-dir"}  # the message may describe the thing, not the option


class BadOptions(Case):
    """Every bad value of an option: a clear message that names it, exit status 125, one JSON object."""


def _add_bad_value(option, value, number):
    def test(self):
        # "--opt=value" so that a value may start with a dash
        done = dsandbox("run", "--json", f"{option}={value}", "-c", "pass")
        result = self.assert_failure(done, None)
        self.assertIn(result["failure"]["code"], ("invalid", "not_found", "plugin"), done)
        if option not in NAMES_ITSELF:
            self.assertRegex(result["failure"]["message"], re.escape(option.lstrip("-")) + "|" + re.escape(option[2:].replace("-", "_")), done)
        self.assertEqual(done.err.count(b"Traceback"), 0)

    def text(self):
        done = dsandbox("run", f"{option}={value}", "-c", "pass")
        self.assertEqual(done.status, 125, done)
        self.assertEqual(done.stdout, "", done)
        self.assertTrue(done.stderr.startswith("dsandbox: "), done)

    name = option.lstrip("-").replace("-", "_")
    setattr(BadOptions, f"test_{name}_{number:02}", test)
    if number == 1:
        setattr(BadOptions, f"test_{name}_as_text", text)


for _option, _values in BAD_VALUES.items():
    for _number, _value in enumerate(_values):
        _add_bad_value(_option, _value, _number)


class Schema(Case):
    """What the tests of this file judge results by."""

    def test_it_sees_what_is_wrong(self):
        good = schema.loads(dsandbox("run", "--json", "--memory=x", "-c", "pass").stdout)
        self.assertEqual(schema.problems(good, RESULT_SCHEMA), [])
        for key, value in (("status", "fine"), ("exit_code", 256), ("exit_code", "0"), ("stdout", None), ("stdout_bytes", -1),
                           ("error", {"name": 5, "value": "", "traceback": None}), ("error", {"name": "E"}), ("results", [{}]),
                           ("results", [1]), ("timing", {"a": "b"}), ("policy", {"sha256": "x", "controls": []}), ("failure", {"code": "x", "message": ""})):
            with self.subTest(key, value=value):
                self.assertNotEqual(schema.problems({**good, key: value}, RESULT_SCHEMA), [])
        self.assertNotEqual(schema.problems({k: v for k, v in good.items() if k != "usage"}, RESULT_SCHEMA), [])

    def test_it_takes_only_json(self):
        for text in ("NaN", '{"a":Infinity}', "1e999", '{"a":1,"a":2}', "[1.]", "{'a':1}"):
            with self.subTest(text), self.assertRaises(ValueError):
                schema.loads(text)


class Gc(Case):
    def test_directories_go_without_an_engine(self):
        base = WORK.dir("gc", 0o700)
        os.mkdir(os.path.join(base, ".run-x"))
        os.mkdir(os.path.join(base, "kept"))
        done = dsandbox("gc", "--dry-run", "--base-dir", base)
        self.assertEqual(sorted(os.listdir(base)), [".run-x", "kept"], done)
        self.assertIn("would remove 1", done.stdout)
        done = dsandbox("gc", "--base-dir", base)
        self.assertEqual(done.status, 125, done)  # containers could not be looked for
        self.assertIn("removed 1", done.stdout)
        self.assertNotIn(".run-x", os.listdir(base))
        self.assertIn("kept", os.listdir(base))


class TooLarge(Case):
    def test_code_whose_json_is_too_large(self):
        path = WORK.file(b"x = '" + b"\x01" * (3 << 20) + b"'")
        self.assert_failure(dsandbox("run", "--json", path), "invalid", "as json")


class Usage(Case):
    def usage_error(self, *args, words=()):
        done = dsandbox(*args)
        self.assertEqual(done.status, 125, done)
        self.assertEqual(done.stdout, "", done)
        self.assertTrue(done.stderr.startswith("dsandbox: "), done)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_unknown_option(self):
        self.usage_error("run", "--frobnicate", "-c", "pass", words=["frobnicate"])

    def test_unknown_option_json(self):
        self.assert_failure(dsandbox("run", "--json", "--frobnicate", "-c", "pass"), "invalid", "frobnicate")

    def test_unknown_verb(self):
        self.usage_error("frobnicate", words=["frobnicate"])

    def test_unknown_sub_verb(self):
        for verb in ("backend", "policy", "image"):
            self.usage_error(verb, "frobnicate", words=["frobnicate"])

    def test_missing_value(self):
        for option in (*BAD_VALUES, "-c", "--policy", "--stdin"):
            with self.subTest(option):
                self.usage_error("run", option, words=[option.lstrip("-")])

    def test_file_and_code(self):
        self.usage_error("run", "-c", "pass", "file.py", words=["-c"])

    def test_two_files(self):
        self.usage_error("run", "a.py", "b.py", words=["b.py"])

    def test_no_null_byte_or_newline_tricks_in_session(self):
        self.assert_failure(dsandbox("run", "--json", "-c", "pass", "--session", "x\x7f"), "invalid")

    def test_help(self):
        done = dsandbox("--help")
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        for word in ("run", "--memory", "--network", "--json", "policy", "doctor", "gc", "image"):
            self.assertIn(word, done.stdout)

    def test_version(self):
        for args in (["version"], ["--version"]):
            done = dsandbox(*args)
            self.assertEqual(done.status, 0, done)
            self.assertRegex(done.stdout, r"^dsandbox \d+\.\d+\.\d+")

    def test_options_before_the_verb(self):
        before = dsandbox("--json", "--memory=nonsense", "run", "-c", "pass")
        self.assert_failure(before, "invalid", "memory", "nonsense")

    def test_double_dash_ends_options(self):
        # what follows -- belongs to the program in the sandbox; the failure here is the missing engine alone
        done = dsandbox("--backend=docker-api", "run", "--json", "-c", "pass", "--", "--memory=nonsense", "--frobnicate")
        self.assert_failure(done, "unavailable")

    def test_option_given_twice_takes_the_last(self):
        done = dsandbox("policy", "show", "--memory=1GiB", "--memory=256MiB")
        self.assertEqual(done.status, 0, done)
        self.assertIn("256MiB", done.stdout)

    def test_closed_output(self):
        read, write = os.pipe()
        os.close(read)
        argv, env = command(["policy", "show"], environment())
        process = subprocess.run(argv, env=env, stdout=write, stderr=subprocess.PIPE, timeout=HARD_LIMIT, cwd="/")
        os.close(write)
        self.assertNotIn(process.returncode, (-signal.SIGSEGV, -signal.SIGABRT), process.stderr)

    def test_no_standard_descriptors(self):
        argv, env = command(["version"], environment())
        process = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv], env=env, timeout=HARD_LIMIT, cwd="/")
        self.assertGreaterEqual(process.returncode, 0)
        self.assertNotIn(process.returncode, (139, 134))


class Code(Case):
    """Where the code comes from."""

    def test_missing_file(self):
        done = dsandbox("run", "--json", os.path.join(WORK.path, "nowhere.py"))
        self.assert_failure(done, None, "nowhere.py", "no such file")

    def test_directory(self):
        self.assert_failure(dsandbox("run", "--json", WORK.path), None, re.escape(WORK.path), "regular file|directory")

    def test_fifo(self):
        path = os.path.join(WORK.path, "fifo.py")
        os.mkfifo(path)
        done = dsandbox("run", "--json", path, limit=15)
        self.assert_failure(done, None, "fifo.py", "regular file|fifo")

    def test_device(self):
        self.assert_failure(dsandbox("run", "--json", "/dev/zero", limit=15), None, "/dev/zero")

    def test_socket(self):
        path = os.path.join(WORK.path, "sock.py")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            self.assert_failure(dsandbox("run", "--json", path, limit=15), None, "sock.py")

    def test_too_large(self):
        path = WORK.file(b"")
        os.truncate(path, 1 << 30)
        self.assert_failure(dsandbox("run", "--json", path, limit=15), None, "large|big|limit|at most|more than")

    def test_endless_standard_input(self):
        with open("/dev/zero", "rb") as zero:
            self.assert_failure(dsandbox("run", "--json", "-", stdin=zero, limit=60), None, "large|big|limit|at most|more than")

    def test_stopped_while_reading(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            with self.subTest(number):
                process = start("run", "--json", stdin=subprocess.PIPE)
                process.stdin.write(b"print(1)\n")
                process.stdin.flush()
                time.sleep(0.3)
                process.send_signal(number)
                out, err = process.stdout.read(), process.stderr.read()
                self.assertEqual(process.wait(10), status, err)
                self.assertEqual(json.loads(out)["status"], "cancelled")
                process.stdin.close()
                process.stdout.close()
                process.stderr.close()

    def test_not_utf8(self):
        self.assert_failure(dsandbox("run", "--json", WORK.file(b"print('\xff\xfe')")), "invalid", "utf-8")

    def test_null_byte(self):
        self.assert_failure(dsandbox("run", "--json", WORK.file(b"print(1)\0print(2)")), "invalid", "nul|zero|utf-8")

    def test_stdin_file_missing(self):
        done = dsandbox("run", "--json", "--stdin", os.path.join(WORK.path, "nowhere"), "-c", "pass")
        self.assert_failure(done, None, "nowhere")


class Policies(Case):
    def check(self, text, *words, ok=False):
        path = WORK.file(text)
        done = dsandbox("policy", "check", path)
        if ok:
            self.assertEqual(done.status, 0, done)
            return
        self.assertEqual(done.status, 125, done)
        for word in words:
            self.assertRegex((done.stdout + done.stderr).lower(), word, done)
        # and the same for a run
        self.assert_failure(dsandbox("run", "--json", "--policy", path, "-c", "pass"), "invalid", *words)

    def test_good(self):
        self.check('{"memory": "256MiB", "pids": 32}', ok=True)

    def test_example(self):
        done = dsandbox("policy", "check", os.path.join(EXAMPLES, "policy.json"))
        self.assertEqual(done.status, 0, done)

    def test_unknown_key(self):
        self.check('{"memroy": "256MiB"}', "memroy")

    def test_duplicate_key(self):
        self.check('{"memory": "256MiB", "memory": "8GiB"}', "memory", "twice|duplicate|again")

    def test_duplicate_key_escaped(self):
        self.check('{"memory": "256MiB", "m\\u0065mory": "8GiB"}', "memory", "twice|duplicate|again")

    def test_wrong_type(self):
        self.check('{"memory": []}', "memory")
        self.check('{"memory": null}', "memory")
        self.check('{"pids": true}', "pids")
        self.check('{"network": 1}', "network")

    def test_bad_numbers(self):
        for value in ("-1", "1e999", "NaN", "Infinity", BIG, '"-5MiB"', '"1ZiB"', "1.5"):
            with self.subTest(value):
                self.check('{"memory": %s}' % value)

    def test_not_json(self):
        for text in ("", "{", "[]", "null", "1", '{"memory": "1GiB"} x', '{"memory": "1GiB",}', "{'memory': 1}",
                     '{"memory": "1GiB"}{}', '// c\n{}', '\ufeff{}', '{"memory": "1GiB" /* c */}'):
            with self.subTest(text):
                self.check(text)

    def test_nul_byte(self):
        self.check('{"memory": "1GiB\0"}')

    def test_deep(self):
        self.check('{"memory": ' + "[" * 100000 + "]" * 100000 + "}")

    def test_missing_file(self):
        done = dsandbox("run", "--json", "--policy", os.path.join(WORK.path, "nowhere.json"), "-c", "pass")
        self.assert_failure(done, None, "nowhere.json")

    def test_fifo(self):
        path = os.path.join(WORK.path, "fifo.json")
        os.mkfifo(path)
        self.assert_failure(dsandbox("run", "--json", "--policy", path, "-c", "pass", limit=15), None, "fifo.json")

    def test_too_large(self):
        self.assert_failure(dsandbox("run", "--json", "--policy", WORK.file(b" " * (2 << 20) + b"{}"), "-c", "pass"), None)

    def test_show_names_origins(self):
        path = WORK.file('{"pids": 32}', "origin.json")
        done = dsandbox("policy", "show", "--policy", path, "--memory", "256MiB")
        self.assertEqual(done.status, 0, done)
        lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
        self.assertIn("32", lines["pids"])
        self.assertIn("origin.json", lines["pids"])
        self.assertIn("256MiB", lines["memory"])
        self.assertIn("--memory", lines["memory"])
        self.assertIn("default", lines["swap"])

    def test_option_after_policy_wins(self):
        path = WORK.file('{"memory": "1GiB"}')
        for args in (["--policy", path, "--memory", "300MiB"], ["--memory", "300MiB", "--policy", path]):
            done = dsandbox("policy", "show", *args)
            self.assertRegex(done.stdout, r"(?m)^memory +300MiB", done)


class NoEngine(Case):
    """What somebody meets who has no engine, or may not use it."""

    def test_no_engine_at_the_address(self):
        for backend in ("docker-api", "docker-cli", "podman"):
            with self.subTest(backend):
                done = dsandbox("--backend", backend, "run", "--json", "-c", "pass")
                self.assert_failure(done, "unavailable", "docker|podman", "start|install|set|running")

    def test_auto_lists_every_reason(self):
        done = dsandbox("run", "--json", "-c", "pass", env={"PATH": WORK.path})
        result = self.assert_failure(done, "unavailable", "docker-api", "podman", "install")
        self.assertIsNone(result["engine"])

    def test_docker_program_missing(self):
        done = dsandbox("--backend", "docker-cli", "run", "--json", "-c", "pass", env={"PATH": WORK.path})
        self.assert_failure(done, None, "docker", "install|not found|no program|no docker|PATH")

    def test_silent_engine(self):
        """Something listens and never answers: an end with a message, not a hang."""
        path = os.path.join(WORK.path, "silent.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            os.chmod(path, 0o777)
            listener.listen(8)
            done = dsandbox("--backend", "docker-api", "run", "--json", "-c", "pass", env={"DOCKER_HOST": "unix://" + path})
        self.assert_failure(done, None, "answer|time|deadline")

    def test_not_an_engine(self):
        """Something that talks another protocol."""
        path = os.path.join(WORK.path, "other.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            os.chmod(path, 0o777)
            listener.listen(8)
            process = start("--backend", "docker-api", "run", "--json", "-c", "pass", env={"DOCKER_HOST": "unix://" + path})
            listener.settimeout(30)
            try:
                while process.poll() is None:
                    listener.settimeout(1)
                    try:
                        connection, _ = listener.accept()
                    except socket.timeout:
                        continue
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
                    connection.close()
            finally:
                out, err = process.communicate(timeout=60)
        self.assert_failure(Done(["…"], process.returncode, out, err, 0), None)

    def test_socket_permission_denied(self):
        path = os.path.join(WORK.path, "denied.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            os.chmod(path, 0)
            listener.listen(8)
            argv, env = command(["--backend", "docker-api", "run", "--json", "-c", "pass"],
                                environment(DOCKER_HOST="unix://" + path, XDG_RUNTIME_DIR=None))
            if os.getuid() == 0:
                if subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "test", "-x", PROGRAM]).returncode != 0:
                    self.skipTest("the program is in a directory that an ordinary user cannot read")
                argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *argv]
            process = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     timeout=60, cwd="/")
        done = Done(argv, process.returncode, process.stdout, process.stderr, 0)
        self.assert_failure(done, "denied", "permission", "group|rootless|sudo")

    def test_bad_addresses(self):
        for address in ("nonsense", "ftp://x", "unix://", "unix://relative", "tcp://", "tcp://h:99999", "http://[::1", "unix:///a\nb"):
            with self.subTest(address):
                done = dsandbox("--backend", "docker-api", "run", "--json", "-c", "pass", env={"DOCKER_HOST": address})
                self.assert_failure(done, None)

    def test_backend_ls(self):
        done = dsandbox("backend", "ls")
        self.assertEqual(done.status, 0, done)
        for name in ("docker-api", "docker-cli", "podman"):
            self.assertRegex(done.stdout, r"(?m)^\S*\s*" + name)

    def test_backend_show_unknown(self):
        done = dsandbox("backend", "show", "nonesuch")
        self.assertEqual(done.status, 125, done)
        self.assertIn("nonesuch", done.stderr)
        self.assertRegex(done.stderr, "docker-api|backend ls")

    def test_plugin_not_a_plugin(self):
        for content in (b"", b"not a library", b"\x7fELF" + b"\0" * 200):
            with self.subTest(content[:8]):
                path = WORK.file(content)
                done = dsandbox("--plugin", path, "run", "--json", "-c", "pass")
                self.assert_failure(done, "plugin")

    def test_plugin_world_writable(self):
        path = WORK.file(b"x")
        os.chmod(path, 0o666)
        self.assert_failure(dsandbox("--plugin", path, "run", "--json", "-c", "pass"), "plugin", "writ")

    def test_plugin_fifo(self):
        path = os.path.join(WORK.path, "fifo.so")
        os.mkfifo(path)
        self.assert_failure(dsandbox("--plugin", path, "run", "--json", "-c", "pass", limit=15), "plugin", "regular file")

    def test_doctor_says_what_to_do(self):
        done = dsandbox("doctor")
        self.assertNotIn(done.status, (0, 134, 139), done)
        self.assertRegex((done.stdout + done.stderr).lower(), "docker|podman", done)
        self.assertRegex((done.stdout + done.stderr).lower(), "install|start", done)

    def test_doctor_looks_at_more_than_engines(self):
        base = WORK.dir("open", 0o777)
        done = dsandbox("doctor", "--json", "--base-dir", base)
        self.assertEqual(done.status, 125, done)
        facts = json.loads(done.stdout)
        findings = {f["name"]: f for f in facts["findings"]}
        self.assertLessEqual({"openat2", "guest files", "cgroups", "base directory", "free space", "engine"}, set(findings))
        self.assertEqual((facts["good"], facts["usable"]), (False, False))
        for name in ("base directory", "engine"):
            self.assertFalse(findings[name]["good"])
            self.assertTrue(findings[name]["remedy"])
        self.assertTrue(findings["guest files"]["good"])
        self.assertIsNone(findings["guest files"]["remedy"])


# --- on a real engine -------------------------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def engine_get(path):
    for _ in range(5):
        connection = UnixConnection(ENDPOINT[len("unix://"):])
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            return json.loads(body)
        if b"/proc/" not in body:  # Podman 4.3 fails when a container ends just then
            break
    return None


def containers():
    """Names of all containers of ours that have a mount below our base directory."""
    filters = urllib.parse.quote(json.dumps({"label": ["dsandbox.owner"]}))
    found, rows = [], engine_get("/containers/json?all=1&filters=" + filters)
    if rows is None:
        raise AssertionError("the engine does not list its containers")
    for row in rows:
        facts = engine_get(f"/containers/{row['Id']}/json")
        if facts and any(m.get("Source", "").startswith(WORK.path + "/") for m in facts.get("Mounts") or []):
            found.append(facts["Name"])
    return found


def read(path):
    """What is there now; processes and control groups may be gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as lines:
        return sorted(line for line in lines if WORK.path in line)


def processes():
    """Processes that carry our base directory in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as text:
                line = text.read()
        except OSError:
            continue
        if WORK.base.encode() in line and int(pid) != os.getpid():
            found.append(line.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


class EngineCase(Case):
    allow = None  # controls that this engine cannot enforce here

    @classmethod
    def setUpClass(cls):
        if EngineCase.allow is None:
            EngineCase.allow = cls.find_unenforced()

    @classmethod
    def find_unenforced(cls):
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "-c", "pass")
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"the first run gives no JSON: {done}") from None
        if result["status"] == "refused" and SETUP == "podman-rootless":
            return [c["name"] for c in result["policy"]["controls"] if c["verdict"] == "refused"]
        if result["status"] != "ok":
            raise AssertionError(f"the first run does not work: {done}")
        return []

    # By the program itself: with the service, test_session.py.
    def dsb(self, *args, json_=True, **how):
        options = ["--backend", BACKEND, "run", "--no-service", "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        if json_:
            options.append("--json")
        return dsandbox(*options, *args, **how)

    def run_ok(self, code, *args, **how):
        done = self.dsb(*args, "-c", code, **how)
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (0, "ok"), done)
        self.assertIsNone(result["failure"], done)
        return result

    def popen(self, *args, json_=True):
        options = ["--backend", BACKEND, "run", "--no-service", "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        if json_:
            options.append("--json")
        return start(*options, *args)

    def assert_clean(self, seconds=10):
        self.assertTrue(wait_until(lambda: not containers(), seconds), f"left behind: {containers()}")
        self.assertEqual(mounts(), [])
        self.assertEqual([n for n in os.listdir(WORK.base) if n.startswith(".run")], [])


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
        sha256 = self.run_ok("pass")["policy"]["sha256"]
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
            with open(shared, "w", encoding="ascii") as file:
                file.write(sha256)

    def test_refused_where_limits_vanish(self):
        if not self.allow:
            self.skipTest("this engine can hold every limit")
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "-c", "print('ran')")
        result = self.assert_failure(done, "refused", "allow-unenforced", "cgroup|delegat|rootful", *self.allow, status=126)
        self.assertEqual(result["stdout"], "")
        self.assertLessEqual(set(self.allow), {"memory", "swap", "cpu", "pids"})

    def test_allowing_too_few_is_refused(self):
        if len(self.allow) < 2:
            self.skipTest("this engine can hold every limit")
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "--allow-unenforced", self.allow[0], "-c", "pass")
        self.assert_failure(done, "refused", self.allow[1], status=126)

    def test_usage(self):
        usage = self.run_ok("import time; b = bytearray(50 << 20); t = time.time()\nwhile time.time() < t + 0.3: pass")["usage"]
        self.assertGreaterEqual(usage["wall_ms"], 300)
        self.assertLess(usage["wall_ms"], 20000)
        self.assertGreaterEqual(usage["cpu_ms"], 100)
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
            self.assertIn("<svg", figure["image/svg+xml"])

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
        self.assertEqual(result["stdout_encoding"], "base64")
        self.assertEqual(base64.b64decode(result["stdout"]), bytes(range(256)))

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
        done = self.dsb("--timeout", "2", "-c", "import sys, time; print('out', flush=True); print('err', file=sys.stderr, flush=True); time.sleep(60)")
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (124, "timeout"), done)
        self.assertEqual((result["stdout"], "err" in result["stderr"]), ("out\n", True))
        self.assertIsNone(result["failure"])
        self.assertGreaterEqual(result["usage"]["wall_ms"], 1900)
        self.assertLess(result["usage"]["wall_ms"], 8000)
        self.assert_clean()

    def test_timeout_of_code_that_ignores_signals(self):
        code = "import signal, os\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\nprint('deaf', flush=True)\nwhile True: pass"
        done = self.dsb("--timeout", "1", "-c", code, limit=40)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "deaf\n"), done)
        self.assert_clean()

    def test_timeout_with_children(self):
        code = "import os, time\nfor _ in range(5):\n  if os.fork() == 0:\n    os.setsid(); time.sleep(60); os._exit(0)\nprint('forked', flush=True); time.sleep(60)"
        done = self.dsb("--timeout", "1", "-c", code, limit=40)
        self.assertEqual((done.status, self.result(done)["stdout"]), (124, "forked\n"), done)
        self.assert_clean()

    def test_background_child_does_not_hold_the_run(self):
        code = "import os, time\nif os.fork() == 0:\n  os.setsid(); time.sleep(60); os._exit(0)\nprint('parent')"
        done = self.dsb("-c", code, limit=40)
        self.assertEqual((done.status, self.result(done)["stdout"]), (0, "parent\n"), done)
        self.assertLess(done.seconds, 20, done)
        self.assert_clean()

    def test_oom(self):
        if "memory" in self.allow:
            self.skipTest("this engine cannot limit memory here")
        done = self.dsb("--memory", "128MiB", "-c", "print('before', flush=True)\nx = []\nwhile True: x.append(b'x' * (1 << 20))")
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

    def test_endless_output_ends_with_the_time_limit(self):
        done = self.dsb("--timeout", "2", "-c", "import os\nwhile True: os.write(1, b'y' * 65536)")
        result = self.result(done)
        self.assertEqual((result["status"], result["stdout_truncated"], len(result["stdout"])), ("timeout", True, 1 << 20), done.stderr)

    def test_disk_limit(self):
        done = self.dsb("--disk", "8MiB", "--session", "disk", "-c",
                        "import time\nfor i in range(200):\n  open(f'/sandbox/{i}', 'wb').write(b'x' * (1 << 20)); time.sleep(0.02)\ntime.sleep(20)")
        self.assertEqual(self.result(done)["status"], "disk_limit", done)
        self.assert_clean()

    def test_code_cannot_break_the_result(self):
        """The report is memory of the interpreter: code may write any bytes there."""
        forge = ("import gc, os, struct, sys\nmain = sys.modules['__main__']\n"
                 "made = [o for o in gc.get_objects() if type(o).__name__ == 'Report' and hasattr(o, 'memory')]\n"
                 "print(len(made))\ntext = {}\n"
                 "for o in made: o.memory[8:8 + len(text)] = text; o.memory[:8] = struct.pack('<Q', len(text))\n"
                 "sys.stdout.flush(); os._exit(0)")
        for text in (b'{"result":{"application/json":NaN}}', b'{"error":{"name":5,"value":"x"}}', b'{"displays":[1,[],{"x":1}]}',
                     b'{"result":{"text/plain":"\xff"}}', b'{"result":{"application/json":[1.,1e999]}}', b"[" * 1000):
            with self.subTest(text[:40]):
                done = self.dsb("-c", forge.format(repr(text)))
                result = self.result(done)
                self.assertEqual((result["status"], result["error"], result["results"]), ("ok", None, []), done)
                self.assertEqual(result["stdout"], "1\n", done)

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
        self.assertIn(done.status, (125, 126), done)
        self.assertIn("nonesuch", self.result(done)["failure"]["message"])
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


class Input(EngineCase):
    def test_stdin_file(self):
        data = os.urandom(300000)
        result = self.run_ok("import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())", "--stdin", WORK.file(data))
        import hashlib
        self.assertEqual(result["stdout"].strip(), hashlib.sha256(data).hexdigest())

    def test_stdin_is_empty_by_default(self):
        self.assertEqual(self.run_ok("import sys; print(repr(sys.stdin.read()))", data=b"ours")["stdout"], "''\n")

    def test_stdin_unread(self):
        self.run_ok("print(1)", "--stdin", WORK.file(b"x" * (4 << 20)))

    def test_arguments(self):
        arguments = ["a b", "", "--memory=1", "-c", "'\"$HOME`", "\u2603", "--"]
        done = self.dsb("-c", "import sys; print(sys.argv[1:])", "--", *arguments)
        self.assertEqual(self.result(done)["stdout"], repr(arguments) + "\n", done)

    def test_environment(self):
        done = self.dsb("--env", "A=1", "--env", "B=x=y z", "-c", "import os; print(os.environ['A'], os.environ['B'])")
        self.assertEqual(self.result(done)["stdout"], "1 x=y z\n", done)

    def test_any_locale(self):
        for locale in ("C", "POSIX", "C.UTF-8"):
            with self.subTest(locale):
                done = self.dsb("--env", "NAME=\u2603", "-c", "import os; print('\u2603', os.environ['NAME'])", env={"LANG": locale, "LC_ALL": locale})
                self.assertEqual(self.result(done)["stdout"], "\u2603 \u2603\n", done)

    def test_nothing_of_our_environment(self):
        done = self.dsb("-c", "import os; print(sorted(os.environ))", env={"DSB_SECRET": "x", "HTTP_PROXY": "http://x", "AWS_SECRET_ACCESS_KEY": "x"})
        names = self.result(done)["stdout"]
        for name in ("DSB_SECRET", "HTTP_PROXY", "http_proxy", "AWS", "DOCKER_HOST", "CONTAINER_HOST"):
            self.assertNotIn(name, names)

    def test_code_from_standard_input(self):
        done = self.dsb("-", data=b"print('from stdin')\n")
        self.assertEqual(self.result(done)["stdout"], "from stdin\n", done)

    def test_alone(self):
        """`dsandbox` with no verb reads a program from standard input."""
        options = ["--backend", BACKEND, "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        done = dsandbox(*options, data=b"print('alone')\n")
        self.assertEqual((done.status, done.stdout), (0, "alone\n"), done)

    def test_empty_program(self):
        self.assertEqual(self.run_ok("")["stdout"], "")

    def test_large_program(self):
        path = WORK.file("x = 1\n" * 50000 + "# " + "x" * (3 << 20) + "\nprint('end')\n")
        self.assertEqual(self.result(self.dsb(path))["stdout"], "end\n")

    def test_file_name_in_traceback(self):
        path = WORK.file("raise KeyError('k')\n", "named.py")
        result = self.result(self.dsb(path))
        self.assertIn("named.py", str(result["error"]["traceback"]))

    def test_text_output_streams(self):
        process = self.popen("-c", "import time; print('first', flush=True); time.sleep(5); print('second')", json_=False)
        self.addCleanup(process.communicate)
        line = process.stdout.readline()
        begin = time.monotonic()
        self.assertEqual(line, b"first\n")
        rest, err = process.communicate(timeout=60)
        self.assertEqual((rest, process.returncode), (b"second\n", 0), err)
        self.assertGreater(time.monotonic() - begin, 3)

    def test_text_streams_are_apart(self):
        done = self.dsb("-c", "import sys; print('o'); print('e', file=sys.stderr)", json_=False)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "o\n", "e\n"), done)

    def test_verbose_says_why(self):
        done = self.dsb("-v", "-c", "print(1)")
        self.assertEqual(self.result(done)["stdout"], "1\n")
        self.assertNotEqual(done.stderr, "")


class Newcomer(EngineCase):
    def test_image_missing(self):
        done = self.dsb("--image", "dsandbox-nonesuch:1", "-c", "pass")
        self.assert_failure(done, "not_found", "dsandbox-nonesuch:1", "image build|--image|pull")
        self.assert_clean()

    def test_base_dir_of_others(self):
        path = WORK.dir("others", 0o700)
        os.chown(path, 12345, 12345)
        self.assert_failure(dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing()),
                            "denied", re.escape(path), "--base-dir")

    def allowing(self):
        return ["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []

    def test_base_dir_writable_by_others(self):
        for mode in (0o777, 0o770, 0o1777):
            path = WORK.dir(f"open{mode:o}", mode)
            done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing())
            self.assert_failure(done, "denied", re.escape(path))

    def test_base_dir_is_a_link(self):
        path = os.path.join(WORK.path, "link-to-base")
        os.symlink(WORK.dir("linked", 0o700), path)
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing())
        self.assert_failure(done, "denied", "link-to-base")

    def test_base_dir_is_a_file(self):
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.file(b""), "-c", "pass", *self.allowing())
        self.assert_failure(done, "denied")

    def test_session_in_use(self):
        process = self.popen("--session", "busy", "-c", "import time; print(1, flush=True); time.sleep(8)", json_=False)
        self.addCleanup(process.communicate)
        self.assertEqual(process.stdout.readline(), b"1\n")
        self.assert_failure(self.dsb("--session", "busy", "-c", "pass"), "busy", "busy", "in use")

    def test_session_directory_is_a_link(self):
        target = WORK.dir("target", 0o700)
        os.symlink(target, os.path.join(WORK.base, "evil"))
        self.addCleanup(os.unlink, os.path.join(WORK.base, "evil"))
        done = self.dsb("--session", "evil", "-c", "open('/sandbox/x','w')")
        self.assert_failure(done, None)
        self.assertEqual(os.listdir(target), [])


class Ending(EngineCase):
    CODE = "import time; print('up', flush=True); time.sleep({})"

    def end_with(self, number, seconds=15):
        process = self.popen("--timeout", "60", "-c", self.CODE.format(60), json_=False)
        try:
            self.assertEqual(process.stdout.readline(), b"up\n", process.stderr)
            self.assertEqual(len(containers()), 1)
            begin = time.monotonic()
            process.send_signal(number)
            process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.assertLess(time.monotonic() - begin, seconds)
        self.assert_clean()
        return process.returncode

    def test_interrupt(self):
        self.assertEqual(self.end_with(signal.SIGINT), 130)

    def test_terminate(self):
        self.assertIn(self.end_with(signal.SIGTERM), (130, 143))

    def test_hang_up(self):
        self.assertNotEqual(self.end_with(signal.SIGHUP), 0)

    def test_cancelled_in_json(self):
        process = self.popen("--timeout", "60", "-c", "import time\nopen('/sandbox/up','w').close()\nprint('kept', flush=True)\ntime.sleep(60)", "--session", "cancel")
        marker = os.path.join(WORK.base, "cancel", "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 40))
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        result = self.result(Done(["…"], process.returncode, out, err, 0))
        self.assertEqual((result["status"], result["stdout"]), ("cancelled", "kept\n"))
        self.assert_clean()

    def test_interrupt_at_any_moment(self):
        """A signal during start-up: an answer, and nothing left behind."""
        for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8):
            with self.subTest(delay=delay):
                process = self.popen("-c", "import time; time.sleep(30)")
                time.sleep(delay)
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate(timeout=40)
                # before the handler is in place the signal itself may end the program; then nothing was made yet
                if process.returncode != -signal.SIGTERM:
                    done = Done(["…"], process.returncode, out, err, 0)
                    self.assertEqual(self.result(done)["status"], "cancelled", done)
        self.assert_clean()

    def test_the_next_run_removes_what_a_killed_one_left(self):
        """Two containers never write into one session directory, even where the old one does not want to die."""
        process = self.popen("--timeout", "60", "--session", "stale", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        (old,) = containers()
        pid = engine_get(f"/containers/{old.lstrip('/')}/json")["State"]["Pid"]
        os.kill(pid, signal.SIGSTOP)  # pid 1 of the container, which does not see its stream end
        process.kill()
        process.communicate(timeout=30)
        self.assertEqual(len(containers()), 1)
        self.run_ok("print(1)", "--session", "stale")
        self.assert_clean()

    def test_gc_sees_a_container_once(self):
        """Through each backend, and with `auto`, where two backends are the same engine."""
        process = self.popen("--timeout", "60", "--session", "once", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        (old,) = containers()
        os.kill(engine_get(f"/containers/{old.lstrip('/')}/json")["State"]["Pid"], signal.SIGSTOP)
        process.kill()
        process.communicate(timeout=30)
        for options in ([], ["--backend", BACKEND]):
            done = dsandbox("gc", "-v", "--dry-run", "--base-dir", WORK.base, *options)
            self.assertEqual(len(re.findall("would remove container [0-9a-f]+ of session once", done.stderr)), 1, done)
        dsandbox("gc", "--backend", BACKEND, "--base-dir", WORK.base)
        self.assert_clean()

    def test_killed(self):
        """SIGKILL of the program: the container is gone within the time limit and 5 s, without gc."""
        process = self.popen("--timeout", "4", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        begin = time.monotonic()
        process.kill()
        process.communicate(timeout=30)
        gone = wait_until(lambda: not containers(), 4 + 5)
        self.assertTrue(gone, f"is there after {time.monotonic() - begin:.1f} s: {containers()}")
        dsandbox("--backend", BACKEND, "gc", "--base-dir", WORK.base)  # for the directory
        self.assert_clean()

    def test_container_killed_from_outside(self):
        process = self.popen("--timeout", "60", "--session", "lost", "-c",
                             "import time\nprint('kept', flush=True)\nopen('/sandbox/up','w').close()\ntime.sleep(60)")
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(WORK.base, "lost", "up")), 40))
        time.sleep(0.3)
        names = containers()
        self.assertEqual(len(names), 1)
        connection = UnixConnection(ENDPOINT[len("unix://"):])
        connection.request("POST", f"/containers/{names[0].lstrip('/')}/kill?signal=KILL")
        answer = connection.getresponse()
        # Podman 4.3 kills, waits, and may find the container removed meanwhile.
        self.assertTrue(answer.status in (200, 204) or b"no such container" in answer.read(), answer.status)
        connection.close()
        out, err = process.communicate(timeout=30)
        done = Done(["…"], process.returncode, out, err, 0)
        result = self.result(done)
        self.assertEqual((process.returncode, result["status"]), (125, "lost"), done)
        self.assertEqual(result["stdout"], "kept\n")
        self.assert_clean()

    def test_gc_leaves_the_living_alone(self):
        process = self.popen("--timeout", "30", "-c", self.CODE.format(6), json_=False)
        self.addCleanup(process.communicate)
        self.assertEqual(process.stdout.readline(), b"up\n")
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", WORK.base)
        self.assertEqual(done.status, 0, done)
        self.assertEqual(len(containers()), 1)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)

    def test_output_cannot_be_written(self):
        argv, env = command(["--backend", BACKEND, "run", "--base-dir", WORK.base, "--allow-unenforced=" + ",".join(self.allow or ["swap"]), "-c", "print(1)"], environment())
        with open("/dev/full", "wb") as full:
            done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=HARD_LIMIT, cwd="/")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b"cannot write the output: No space left", done.stderr)
        self.assert_clean()

    def test_standard_descriptors_closed(self):
        argv, env = command(["--backend", BACKEND, "run", "--base-dir", WORK.base, "--allow-unenforced=" + ",".join(self.allow or ["swap"]), "-c", "print('lost'); raise SystemExit(7)"], environment())
        process = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv], env=env, timeout=HARD_LIMIT, cwd="/")
        self.assertEqual(process.returncode, 7)
        self.assert_clean()

    def test_stopped_while_nobody_reads(self):
        """The terminal has stopped the output, or the reader of the pipe sleeps: a signal is answered all the same."""
        process = self.popen("-c", "while True: print('x' * 1000)", json_=False)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=15), 130)
        process.stdout.close()
        process.stderr.close()
        self.assert_clean()

    def test_output_pipe_closed(self):
        """`dsandbox … | head -1`: the run ends, nothing is left."""
        process = self.popen("--timeout", "20", "-c", "import time\nwhile True: print('x' * 10000, flush=True); time.sleep(0.01)", json_=False)
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=40)
        process.stderr.close()
        self.assert_clean()

    def test_runs_leave_nothing(self):
        before = (sorted(os.listdir(WORK.base)), sorted(os.listdir("/tmp")), processes())
        self.run_ok("print(1)")
        runtime = sorted(os.listdir(WORK.run))
        for number in range(RUNS):
            self.assertEqual(self.run_ok(f"open('/sandbox/f','w').write('x'); print({number})")["stdout"], f"{number}\n")
        self.assert_clean(5)
        self.assertEqual(sorted(os.listdir(WORK.run)), runtime)
        self.assertEqual(sorted(n for n in os.listdir(WORK.base) if n != ".locks"), [n for n in before[0] if n != ".locks"])
        locks = os.path.join(WORK.base, ".locks")
        if os.path.isdir(locks):
            self.assertEqual([n for n in os.listdir(locks) if n.startswith(".run")], [])
        mine = [n for n in sorted(os.listdir("/tmp")) if n not in before[1] and "dsandbox" in n]
        self.assertEqual([n for n in mine if not n.startswith(".dsandbox-")], [])
        self.assertTrue(wait_until(lambda: processes() == before[2], 10), processes())


class Verbs(EngineCase):
    def test_backend_ls(self):
        done = dsandbox("backend", "ls")
        self.assertEqual(done.status, 0, done)
        self.assertIn(BACKEND, done.stdout)

    def test_backend_show(self):
        done = dsandbox("backend", "show", BACKEND)
        self.assertEqual(done.status, 0, done)
        self.assertRegex(done.stdout.lower(), "docker|podman")
        self.assertRegex(done.stdout, r"\d+\.\d+")

    def test_doctor(self):
        done = dsandbox("doctor", "--backend", BACKEND, "--base-dir", WORK.base)
        self.assertRegex(done.stdout.lower() + done.stderr.lower(), "docker|podman", done)
        self.assertEqual(done.status, 0, done)

    def test_doctor_misses_the_image(self):
        done = dsandbox("doctor", "--json", "--backend", BACKEND, "--base-dir", WORK.base, "--image", "no-such-image:1")
        self.assertEqual(done.status, 125, done)
        image = [f for f in json.loads(done.stdout)["findings"] if f["name"] == "image"]
        self.assertEqual([f["good"] for f in image], [False], done)
        self.assertIn("image build", image[0]["remedy"])

    def test_gc(self):
        done = dsandbox("gc", "--backend", BACKEND, "--base-dir", WORK.base)
        self.assertEqual(done.status, 0, done)


class Examples(EngineCase):
    def test_all_are_here(self):
        with_tests = {n[5:-3] if n.endswith("_py") else n[5:] for n in dir(self) if n.startswith("test_")}
        names = {n[:-3] for n in os.listdir(EXAMPLES) if n.endswith(".py")}
        names.discard("agent")  # runs outside of a sandbox; tests/python has it
        self.assertLessEqual(names, with_tests)

    def example(self, name, *args):
        return self.result(self.dsb(*args, os.path.join(EXAMPLES, name)))

    def test_hello(self):
        result = self.example("hello.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("solves", result["stdout"])
        self.assertIn("['lo']", result["stdout"])
        self.assertEqual([f["path"] for f in result["files"]["created"]], ["hello.txt"])

    def test_table(self):
        result = self.example("table.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("text/html", result["results"][-1])
        self.assertIn("Oslo", result["results"][-1]["text/plain"])

    def test_plot(self):
        result = self.example("plot.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("wave.png", [f["path"] for f in result["files"]["created"]])
        figures = [r for r in result["results"] if "image/png" in r]
        self.assertEqual(len(figures), 1, result)
        self.assertTrue(base64.b64decode(figures[0]["image/png"]).startswith(b"\x89PNG"))

    def test_files(self):
        for number in (1, 2):
            result = self.example("files.py", "--session", "counting")
            self.assertIn(f"run number {number}", result["stdout"])
            self.assertIn("outside /sandbox:", result["stdout"])

    def test_timeout(self):
        result = self.example("timeout.py", "--timeout", "2")
        self.assertEqual(result["status"], "timeout")
        self.assertIn("step 1\n", result["stdout"])

    def test_policy(self):
        done = self.dsb("--policy", os.path.join(EXAMPLES, "policy.json"), "-c", "print(1)")
        self.assertEqual(self.result(done)["stdout"], "1\n", done)


WITHOUT_ENGINE = (BadOptions, Schema, Gc, TooLarge, Usage, Code, Policies, NoEngine)
WITH_ENGINE = (Results, Statuses, Input, Newcomer, Ending, Verbs, Examples)


def load(cases):
    """A `load_tests` of these cases."""
    def load_tests(loader, _tests, _pattern):
        suite = unittest.TestSuite()
        for case in cases:
            suite.addTests(loader.loadTestsFromTestCase(case))
        return suite
    return load_tests


def main(cases):
    global WORK
    # Started in the background by a shell, we would hand an ignored SIGINT down to the program.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"test_cli.py: '{PROGRAM}' is not there; build first, or set DSB_TEST_PROGRAM")
    sys.modules["__main__"].load_tests = load(cases)
    WORK = sys.modules["test_cli"].WORK = Work()
    try:
        run = unittest.main(argv=sys.argv, verbosity=2, exit=False, catchbreak=False).result
    finally:
        WORK.remove()
    failed = {str(getattr(test, "test_case", test)) for test, _ in run.failures + run.errors}
    skipped = len(run.skipped)
    passed = max(run.testsRun - len(failed) - skipped, 0)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    sys.modules["test_cli"] = sys.modules["__main__"]
    main(WITH_ENGINE if SETUP else WITHOUT_ENGINE)

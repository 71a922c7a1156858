# SPDX-License-Identifier: MIT
"""Code from files and pipes, policies, and what the program says where no engine is. What needs none."""
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios

import schema
from cli_harness import EXAMPLES, PROGRAM, RESULT_SCHEMA, WORK, Case, Done, command, dsandbox, environment, start, wait_until
from program_options import BIG


@contextlib.contextmanager
def listening(name, mode=0o777):
    """A socket of ours where an engine's could be, and its path."""
    path = os.path.join(WORK.path, name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, mode)
        listener.listen(8)
        yield listener, path


def unread(pipe):
    """Bytes that nobody has taken from it."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


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
    def test_code(self):
        """A byte counts as one, whatever it is."""
        code = b"x = '" + b"\x01" * ((4 << 20) - 6) + b"'"
        self.assert_failure(dsandbox("run", "--json", WORK.file(code)), "unavailable")
        self.assert_failure(dsandbox("run", "--json", WORK.file(code + b"\n")), "invalid", "of code")


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

    def test_standard_input_is_not_code_and_input(self):
        for args in (["/dev/stdin", "-i"], ["/dev/fd/0", "--stdin", "-"], ["-", "--stdin", "/dev/stdin"]):
            with self.subTest(args):
                self.assert_failure(dsandbox("run", "--json", *args, data=b"1"), "invalid", "both the code and its input")

    def test_closed_descriptor(self):
        self.assert_failure(dsandbox("run", "--json", "/dev/fd/77"), "invalid", "/dev/fd/77: bad file descriptor")

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
                self.assertTrue(wait_until(lambda: unread(process.stdin) == 0, 30))
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
        self.assert_failure(dsandbox("run", "--json", WORK.file(b"print(1)\0print('\xff')")), "invalid", "utf-8")
        # What a NUL means is for the interpreter to say, which there is not here.
        self.assert_failure(dsandbox("run", "--json", "--backend=docker-api", WORK.file(b"print(1)\0")), "unavailable")

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
        done = dsandbox("--backend", "docker-cli", "run", "--no-service", "--json", "-c", "pass", env={"PATH": WORK.path})
        self.assert_failure(done, None, "docker", "install|not found|no program|no docker|PATH")

    def test_not_an_engine(self):
        """Something that talks another protocol."""
        with listening("other.sock") as (listener, path):
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
        with listening("denied.sock", mode=0) as (_, path):
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
        usable = {row["name"] for row in facts["backends"] if row["usable"]}
        self.assertLessEqual(usable, {"oci"}, "which needs no engine")
        self.assertEqual((facts["good"], facts["usable"]), (False, bool(usable)))
        for name in ("base directory", "engine"):
            self.assertFalse(findings[name]["good"])
            self.assertTrue(findings[name]["remedy"])
        self.assertTrue(findings["guest files"]["good"])
        self.assertIsNone(findings["guest files"]["remedy"])


class Silent(Case):
    long = "the backend's own deadline"

    def test_silent_engine(self):
        """Something listens and never answers: an end with a message, not a hang."""
        with listening("silent.sock") as (_, path):
            done = dsandbox("--backend", "docker-api", "run", "--json", "-c", "pass", env={"DOCKER_HOST": "unix://" + path})
        self.assert_failure(done, None, "answer|time|deadline")


CASES = (Schema, Gc, TooLarge, Code, Policies, NoEngine, Silent)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the package dsandbox. Without an engine against tests/python/fake.py, with one (see common.py) for real."""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

from common import FAKE, HERE, PACKAGE, PROGRAM, TOP, Case, EngineCase, FakeCase, Work, environment, main, wait_until

import dsandbox
from dsandbox import Client, Sandbox, Session
from dsandbox import _service


class Finding(Case):
    """Where the service is, and how it is started."""

    def env(self, **more):
        values = {"XDG_RUNTIME_DIR": self.dir, "DSANDBOX_PROGRAM": FAKE, "DSB_FAKE_STARTS": self.path("starts")}
        return environment(**{**values, **more})

    def setUp(self):
        super().setUp()
        self.addCleanup(self.end_fakes)

    def starts(self):
        try:
            with open(self.path("starts")) as file:
                return [int(line) for line in file]
        except FileNotFoundError:
            return []

    def end_fakes(self):
        for pid in self.starts():
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass

    def test_socket_path(self):
        with environment(XDG_RUNTIME_DIR=self.dir):
            self.assertEqual(Client().socket_path, self.path("dsandbox", "api.sock"))
        other = f"/tmp/.dsandbox-{os.geteuid()}/api.sock"
        for xdg in (None, "", "relative", self.path("missing")):
            with self.subTest(xdg=xdg), environment(XDG_RUNTIME_DIR=xdg):
                self.assertEqual(Client().socket_path, other)
        os.chmod(self.dir, 0o777)
        with environment(XDG_RUNTIME_DIR=self.dir):
            self.assertEqual(Client().socket_path, other)

    def test_starts_it(self):
        with self.env():
            self.assertEqual(Client().version()["pid"], self.starts()[0])
            self.assertEqual(Client().version()["pid"], self.starts()[0])
        self.assertEqual(len(self.starts()), 1)
        pid = self.starts()[0]
        self.assertEqual(os.getsid(pid), pid, "in a session of its own: no terminal signal reaches it")

    def test_many_start_it_at_once(self):
        """Threads and processes; one service."""
        code = "import sys; sys.path[0] = sys.argv[1]; import dsandbox; print(dsandbox.Client().version()['pid'])"
        with self.env(DSB_FAKE_DELAY="0.3"):
            argv = [sys.executable, "-c", code, PACKAGE]
            processes = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(4)]
            pids = []
            threads = [threading.Thread(target=lambda: pids.append(Client().version()["pid"])) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            pids += [int(process.communicate(timeout=60)[0]) for process in processes]
        self.assertEqual(len(pids), 10)
        self.assertEqual(set(pids), set(self.starts()))
        self.assertEqual(len(self.starts()), 1)

    def test_starts_it_again(self):
        with self.env():
            client = Client()
            first = client.version()["pid"]
            os.kill(first, 9)
            self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{first}") or client.version()["pid"] != first))
            self.assertNotEqual(client.version()["pid"], first)

    def test_does_not_start_it(self):
        with self.env(), self.assertRaisesRegex(dsandbox.UnavailableError, "start it with `dsandbox serve`"):
            Client(start=False).version()
        self.assertEqual(self.starts(), [])

    def test_it_ends_at_once(self):
        with self.env(DSB_FAKE_BROKEN="it has no engine library"):
            with self.assertRaisesRegex(dsandbox.UnavailableError, "status 1: it has no engine library"):
                Client().version()

    def test_no_program(self):
        with self.env(DSANDBOX_PROGRAM=self.path("nothing")):
            with self.assertRaisesRegex(dsandbox.UnavailableError, r"\$DSANDBOX_PROGRAM is '.*nothing'.*give the path"):
                Client().version()
        if os.path.exists(os.path.join(TOP, "build/cli/dsandbox")):
            return  # it is found beside the package
        with self.env(DSANDBOX_PROGRAM=None, PATH=self.dir):
            with self.assertRaisesRegex(dsandbox.UnavailableError, "install it, or set DSANDBOX_PROGRAM"):
                Client().version()

    def test_program_on_path(self):
        os.symlink(FAKE, self.path("dsandbox-program"))
        os.mkdir(self.path("bin"))
        os.symlink(FAKE, self.path("bin", "dsandbox"))
        with self.env(DSANDBOX_PROGRAM=None, PATH=self.path("bin")):
            self.assertEqual(_service.find_program(), self.path("bin", "dsandbox"))
            self.assertEqual(_service.find_program(FAKE), FAKE)

    def test_foreign_directory(self):
        os.mkdir(self.path("dsandbox"))
        os.chmod(self.path("dsandbox"), 0o755)
        with self.env(), self.assertRaisesRegex(dsandbox.DeniedError, "not yours alone"):
            Client().version()
        os.rmdir(self.path("dsandbox"))
        os.symlink(HERE, self.path("dsandbox"))
        with self.env(), self.assertRaises(dsandbox.DeniedError):
            Client().version()

    def test_long_path(self):
        with self.assertRaisesRegex(dsandbox.InvalidError, "at most 107 bytes"):
            Client("/tmp/" + "x" * 120).version()

    def test_files_beside_are_links(self):
        os.mkdir(self.path("dsandbox"), 0o700)
        os.symlink(self.path("victim"), self.path("dsandbox", "api.lock"))
        with self.env(), self.assertRaises(dsandbox.DeniedError):
            Client().version()
        self.assertFalse(os.path.exists(self.path("victim")))

    def test_stale_socket(self):
        os.mkdir(self.path("dsandbox"), 0o700)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path("dsandbox", "api.sock"))
        with self.env():
            self.assertEqual(Client().version()["pid"], self.starts()[0])

    def test_something_else_answers(self):
        os.mkdir(self.path("dsandbox"), 0o700)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path("dsandbox", "api.sock"))
            other.listen()

            def answer():
                connection, _ = other.accept()
                connection.recv(1000)
                connection.sendall(b"220 mail ready\r\n")
                connection.close()

            thread = threading.Thread(target=answer)
            thread.start()
            with self.env(), self.assertRaisesRegex(dsandbox.ProtocolError, "is not the service"):
                Client().version()
            thread.join(10)


class Running(FakeCase):
    def test_one_shot(self):
        result = Sandbox().run("print('out'); import sys; print('err', file=sys.stderr); 6 * 7")
        self.assertTrue(result.ok)
        self.assertEqual((result.stdout, result.stderr, result.value), ("out\n", "err\n", "42"))
        self.assertEqual((result.exit_code, result.usage.pids_peak, result.usage.memory_peak_bytes), (0, 2, None))
        self.assertEqual(result.files.created[0].path, "a.txt")
        self.assertEqual((result.controls[0].name, result.controls[0].verdict), ("memory", "enforced"))
        self.assertIsNone(result.state)
        self.assertIs(result.check(), result)
        self.assertEqual(result.raw["schema"], "dsandbox.result/1")

    def test_options_become_the_request(self):
        sandbox = Sandbox(backend="podman", host="unix:///x", image="i", base_dir="/b", policy={"pids": 5}, memory="1g",
                          cpus=0.5, network="none", settings={"nofile": 100, "rootfs": "ro"}, allow_unenforced=["memory"],
                          same_path=True, timeout=3)
        sandbox.run("1", filename="f.py", argv=["a", 1], env={"A": "b"}, stdin=b"\xff")
        self.assertEqual(self.bodies("/v1/run")[0], {
            "backend": "podman", "host": "unix:///x", "image": "i", "base_dir": "/b", "policy": {"pids": 5},
            "set": {"memory": "1g", "cpus": "0.5", "network": "none", "nofile": "100", "rootfs": "ro"},
            "allow_unenforced": ["memory"], "mount": "same_path", "code": "1", "filename": "f.py", "argv": ["a", "1"],
            "env": {"A": "b"}, "stdin_base64": base64.b64encode(b"\xff").decode(), "timeout": 3})

    def test_defaults_send_nothing(self):
        Sandbox().run("1", stdin="text")
        self.assertEqual(self.bodies("/v1/run")[0], {"code": "1", "stdin": "text"})

    def test_engine_address_of_the_caller(self):
        with environment(DOCKER_HOST="unix:///d", CONTAINER_HOST="unix:///c"):
            self.assertEqual(Sandbox(backend="docker-api").options.body()["host"], "unix:///d")
            self.assertEqual(Sandbox(backend="podman").options.body()["host"], "unix:///c")
            self.assertNotIn("host", Sandbox().options.body())
            with environment(DSANDBOX_BACKEND="podman", DSANDBOX_HOST="unix:///e"):
                self.assertEqual(Sandbox().options.body(), {"backend": "podman", "host": "unix:///e"})

    def test_bad_arguments(self):
        with self.assertRaisesRegex(TypeError, "memry"):
            Sandbox(memry="1g")
        with self.assertRaisesRegex(dsandbox.InvalidError, "settings?.*'pids'"):
            Sandbox(settings={"pids": []})
        with self.assertRaises(dsandbox.InvalidError):
            Sandbox().run(b"1")
        self.assertTrue(issubclass(dsandbox.InvalidError, ValueError))

    def test_uncaught_error(self):
        result = Sandbox().run("def f():\n    return {}['no']\nf()")
        self.assertEqual((result.status, result.exit_code, result.error.name), ("error", 1, "KeyError"))
        self.assertIn("Traceback", result.error.traceback)
        with self.assertRaises(dsandbox.ExecutionFailed) as caught:
            result.check()
        self.assertIs(caught.exception.result, result)
        self.assertIn("KeyError: 'no'", str(caught.exception))

    def test_refusal_is_a_result(self):
        self.service.answers = [{"status": "refused", "exit_code": None, "failure": {"code": "refused", "message": "no memory limit"}}]
        result = Sandbox().run("1")
        self.assertEqual((result.status, result.ran, result.summary()), ("refused", False, "no memory limit"))

    def test_streaming(self):
        out, err, release, seen = [], [], threading.Event(), []

        def slow(emit):
            emit("stdout", "first\n")
            seen.append(release.wait(10))
            emit("stderr", "second\n")
            return {}

        def take(text):
            out.append(text)
            release.set()  # while the code runs

        self.service.answers = [slow]
        result = Sandbox().run("…", on_stdout=take, on_stderr=err.append)
        self.assertEqual((out, err, seen), (["first\n"], ["second\n"], [True]))
        self.assertEqual((result.stdout, result.stderr), ("first\n", "second\n"))

    def test_streaming_half_characters(self):
        def run(emit):
            for byte in "ä€".encode():
                emit("stdout", bytes([byte]))
            return {"stdout": "ä€"}

        out = []
        self.service.answers = [run]
        Sandbox().run("…", on_stdout=out.append)
        self.assertEqual(out, ["ä", "€"])

    def test_not_utf8(self):
        text = base64.b64encode(b"\xffa").decode()
        self.service.answers = [{"stdout": text, "stdout_encoding": "base64"}]
        result = Sandbox().run("…")
        self.assertEqual((result.stdout_data, result.stdout), (b"\xffa", "\ufffda"))

    def test_error_in_a_callback_hangs_up(self):
        gone = threading.Event()

        def run(emit):
            try:
                for _ in range(400):
                    emit("stdout", "x" * 1000)
                    time.sleep(0.02)
            except OSError:
                gone.set()
                raise
            return {}

        self.service.answers = [run]
        with self.assertRaises(ZeroDivisionError):
            Sandbox().run("…", on_stdout=lambda text: 1 / 0)
        self.assertTrue(gone.wait(15), "the execution was not told that nobody listens")

    def test_service_dies(self):
        def run(emit):
            emit("stdout", "x")
            raise ConnectionError

        for callback in (None, lambda text: None):
            self.service.answers = [run]
            with self.subTest(callback=callback), self.assertRaises(dsandbox.UnavailableError):
                Sandbox().run("…", on_stdout=callback)
        self.assertEqual(len(self.bodies("/v1/run")), 2, "an execution is never sent twice")

    def test_silence_is_probed(self):
        from dsandbox import _http
        before, _http.PROBE_SECONDS = _http.PROBE_SECONDS, 0.1
        self.addCleanup(setattr, _http, "PROBE_SECONDS", before)
        self.service.answers = [lambda emit: time.sleep(0.5) or {"stdout": "late"}]
        self.assertEqual(Sandbox().run("…").stdout, "late")
        self.assertGreater([path for _, path, _ in self.service.calls].count("/v1/version"), 2)

    def test_gc_and_version(self):
        self.assertEqual(Client().gc(), {"removed": 0})
        self.assertTrue(Client().ping())


class Sessions(FakeCase):
    def test_variables(self):
        with Session() as session:
            session.run("x = 41")
            self.assertEqual(session.run("x + 1").value, "42")
            self.assertIn(("x", "int", "41"), [(v.name, v.type, v.repr) for v in session.vars()])
            self.assertEqual([h.code for h in session.history()], ["x = 41", "x + 1"])
            self.assertEqual(session.info().executions, 2)
        self.assertEqual(self.service.sessions, {}, "a new session ends with its block")

    def test_named_session_lives_on(self):
        with Session("a") as session:
            session.run("x = 1")
        self.assertEqual(Session("a").run("x").value, "1")
        Session("a").close()
        self.assertEqual(self.service.sessions, {})
        Session("a", keep=False).__exit__(None, None, None)
        self.assertEqual(self.service.sessions, {})
        session.close()  # ended already: no error

    def test_comes_back(self):
        session = Session("a", memory="1g", labels={"k": "v"})
        self.service.sessions.clear()
        self.assertEqual(session.run("1 + 1").value, "2")
        self.assertEqual(self.service.sessions["a"].body["set"], {"memory": "1g"})

    def test_conflict(self):
        Session("a")
        with self.assertRaises(dsandbox.ConflictError):
            Session("a", exist_ok=False)
        with self.assertRaises(dsandbox.ConflictError):
            Session("a", memory="1g")

    def test_labels(self):
        Session("a", labels={"k": "v", "n": "1"})
        Session("b", labels={"k": "w"})
        self.assertEqual([s.id for s in Client().sessions({"k": "v"})], ["a"])
        self.assertEqual(sorted(s.id for s in Client().sessions()), ["a", "b"])
        self.assertEqual(Client().session("a").labels, {"k": "v", "n": "1"})

    def test_create_members(self):
        Session("a", idle_timeout="5m", life_time=60, checkpoint=False, image="dsandbox-sandbox:latest")
        self.assertEqual(self.bodies("/v1/sessions")[0], {"id": "a", "exist_ok": True, "idle_timeout": "5m", "life_time": 60,
                                                          "checkpoint": False, "image": "dsandbox-sandbox:latest"})

    def test_files(self):
        session = Session("a", base_dir=self.base)
        session.files.write("dir/täxt #1.txt", "hällo")
        session.files.write("b", b"\0\xff")
        self.assertEqual(session.files.read("b"), b"\0\xff")
        self.assertEqual(session.files.read_text("dir/täxt #1.txt"), "hällo")
        self.assertEqual(sorted(f.path for f in session.files.list()), ["b", "dir/täxt #1.txt"])
        session.files.delete("b")
        with self.assertRaises(dsandbox.NotFoundError):
            session.files.read("b")
        with self.assertRaises(dsandbox.InvalidError):
            session.files.delete("dir")
        session.files.delete("dir", recursive=True)
        self.assertEqual(session.files.list(), [])
        self.assertEqual(session.workdir, os.path.join(self.base, "a"))

    def test_busy(self):
        session, release = Session("a"), threading.Event()
        self.service.answers = [lambda emit: release.wait(10) and {}]
        thread = threading.Thread(target=session.run, args=("…",))
        thread.start()
        self.assertTrue(wait_until(lambda: session.info().state == "busy"))
        with self.assertRaises(dsandbox.BusyError):
            session.run("1", wait=False)
        self.assertTrue(session.interrupt())
        self.assertTrue(self.service.interrupted.is_set())
        release.set()
        thread.join(10)
        self.assertFalse(session.interrupt())

    def test_state(self):
        session = Session("a")
        self.assertTrue(session.run("1").state.kept)
        self.assertEqual(session.run("1").state.variables.created[0].name, "x")
        self.service.answers = [{"status": "lost", "state": {"lost": True, "reason": "gone"},
                                 "failure": {"code": "lost", "message": "the container ended"}}]
        result = session.run("1")
        self.assertEqual((result.state.outcome, result.state.lost, result.ran), ("lost", True, True))

    def test_other_calls(self):
        session = Session("a", base_dir=self.base)
        session.run("x = 5")
        self.assertEqual(session.save()["saved"], ["x"])
        session.reset()
        self.assertEqual(session.run("x").error.name, "NameError")
        self.assertEqual(session.restore()["restored"], ["x"])
        self.assertEqual(session.run("x").value, "5")
        session.send_stdin("line\n", end=True)
        self.assertEqual(self.service.calls[-1], ("POST", "/v1/sessions/a/stdin", b"line\n"))

    def test_ids_are_quoted(self):
        with self.assertRaises(dsandbox.NotFoundError):
            Client().session("../version")
        self.assertEqual(self.service.calls[-1][1], "/v1/sessions/..%2Fversion")

    def test_sandbox_gives_sessions_its_options(self):
        session = Sandbox(memory="1g", timeout=4).session("a")
        session.run("1")
        self.assertEqual(self.bodies("/v1/sessions/a/execute")[0], {"code": "1", "timeout": 4, "create": {"set": {"memory": "1g"}}})

    def test_many_threads(self):
        session, wrong = Session("a"), []

        def work(number):
            for i in range(5):
                value = session.run(f"{number} * 100 + {i}").value
                if value != str(number * 100 + i):
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(wrong, [])


class Package(Case):
    def test_every_error_code(self):
        with open(os.path.join(TOP, "doc", "result.schema.json"), encoding="utf-8") as file:
            codes = json.load(file)["properties"]["failure"]["oneOf"][1]["properties"]["code"]["enum"]
        from dsandbox.errors import error_of
        for code in codes:
            self.assertEqual(error_of(code, "m").code, code)
            self.assertIsInstance(error_of(code, "m"), dsandbox.Error)

    def test_result_of_every_status(self):
        with open(os.path.join(TOP, "doc", "result.schema.json"), encoding="utf-8") as file:
            statuses = json.load(file)["properties"]["status"]["enum"]
        for status in statuses:
            result = dsandbox.Result.from_json({"status": status})
            self.assertEqual(result.ok, status == "ok")
            self.assertTrue(result.summary())
        with self.assertRaises(ValueError):
            dsandbox.Result.from_json({})

    def test_images(self):
        display = dsandbox.Display({"image/png": base64.b64encode(b"\x89PNG").decode(), "text/html": "<b>", "application/json": [1]})
        self.assertEqual((display.png, display.html, display.json, display.text), (b"\x89PNG", "<b>", [1], None))

    def test_public_names_exist(self):
        for name in dsandbox.__all__:
            self.assertTrue(hasattr(dsandbox, name), name)
        self.assertTrue(os.path.exists(os.path.join(PACKAGE, "dsandbox", "py.typed")))

    def test_compiles_without_a_warning(self):
        for python in [sys.executable, os.environ.get("DSB_TEST_PYTHON38", "")]:
            if python:
                done = subprocess.run([python, "-W", "error", "-c", "import sys, pathlib\nfor f in pathlib.Path(sys.argv[1]).glob('*.py'): "
                                       "compile(f.read_text('utf-8'), str(f), 'exec')", os.path.join(PACKAGE, "dsandbox")], timeout=60)
                self.assertEqual(done.returncode, 0)

    def test_types(self):
        if shutil.which("mypy") is None:
            self.skipTest("mypy is not installed")
        argv = ["mypy", "--strict", "--python-version", "3.8", "--cache-dir", self.path("cache"), "dsandbox"]
        done = subprocess.run(argv, cwd=PACKAGE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_standard_library_only(self):
        code = ("import sys; sys.path[0] = sys.argv[1]; before = set(sys.modules)\nimport dsandbox, dsandbox.dolphin\n"
                "names = {n.split('.')[0] for n in set(sys.modules) - before if not n.startswith('_')}\n"
                "print(sorted(names - set(sys.stdlib_module_names) - {'dsandbox'}))")
        if sys.version_info >= (3, 10):
            out = subprocess.run([sys.executable, "-I", "-S", "-c", code, PACKAGE], stdout=subprocess.PIPE, timeout=60, check=True)
            self.assertEqual(out.stdout, b"[]\n")


class Engine(EngineCase):
    """The same on a real engine."""

    def sandbox(self, **more):
        return Sandbox(client=self.client, base_dir=self.base, **self.options(), **more)

    def session(self, *args, **more):
        session = self.sandbox().session(*args, **more)
        self.addCleanup(session.close, delete_files=True)
        return session

    def test_one_shot(self):
        out = []
        result = self.sandbox().run("print('out'); open('/sandbox/a', 'w').write('x'); 6 * 7", on_stdout=out.append)
        self.assertEqual((result.status, result.stdout, result.value, "".join(out)), ("ok", "out\n", "42", "out\n"), result.raw)
        self.assertEqual([f.path for f in result.files.created], ["a"])
        self.assertEqual(result.backend, self.options()["backend"])
        self.assertEqual({c.verdict for c in result.controls} - {"unenforced"}, {"enforced"})

    def test_input(self):
        result = self.sandbox().run("import sys, os; print(sys.argv[1:], os.environ['A'], sys.stdin.read())",
                                    argv=["1"], env={"A": "b"}, stdin="typed")
        self.assertEqual(result.stdout, "['1'] b typed\n", result.raw)

    def test_timeout(self):
        result = self.sandbox().run("print('before', flush=True)\nwhile True: pass", timeout=1)
        self.assertEqual((result.status, result.stdout), ("timeout", "before\n"), result.raw)

    def test_session(self):
        session = self.session()
        self.assertEqual(session.run("import math; x = 41").status, "ok")
        result = session.run("x + 1")
        self.assertEqual(result.value, "42", result.raw)
        self.assertTrue(result.state.kept)
        self.assertIn(("x", "int"), [(v.name, v.type) for v in session.vars()])
        self.assertEqual([h.code for h in session.history()], ["import math; x = 41", "x + 1"])
        session.reset()
        self.assertEqual(session.run("x").error.name, "NameError")

    def test_survives(self):
        session = self.session()
        session.run("x = 41")
        crashes = (("timeout", "while True: pass", 1), ("signal", "import ctypes; ctypes.string_at(0)", None),
                   ("error", "import os; os._exit(3)", None), ("timeout", "import time; time.sleep(60)", 1))
        for status, code, timeout in crashes:
            with self.subTest(code=code):
                self.assertEqual(session.run(code, timeout=timeout).status, status)
                result = session.run("x")
                self.assertEqual((result.value, result.status), ("41", "ok"), result.raw)

    def test_streaming(self):
        session, times = self.session(), []
        session.run("import time\nfor i in range(3): print(i); time.sleep(0.4)", on_stdout=lambda text: times.append(time.monotonic()))
        self.assertGreater(times[-1] - times[0], 0.5, "output came at the end only")

    def test_interrupt(self):
        session, results, started = self.session(), [], threading.Event()
        code = "x = 7\nprint('up')\nimport time\ntime.sleep(60)"
        thread = threading.Thread(target=lambda: results.append(session.run(code, on_stdout=lambda text: started.set())))
        thread.start()
        self.assertTrue(started.wait(30))
        self.assertTrue(session.interrupt())
        thread.join(30)
        self.assertEqual(results[0].status, "cancelled")
        self.assertEqual(session.run("x").value, "7")

    def test_stdin(self):
        session, results, started = self.session(), [], threading.Event()
        code = "print('up')\nprint('got', input(), input())"
        thread = threading.Thread(target=lambda: results.append(
            session.run(code, stdin_open=True, on_stdout=lambda text: started.set())))
        thread.start()
        self.assertTrue(started.wait(30))
        session.send_stdin("one\n")
        session.send_stdin("two\n", end=True)
        thread.join(30)
        self.assertEqual(results[0].stdout, "up\ngot one two\n", results[0].raw)

    def test_busy(self):
        session, started = self.session(), threading.Event()
        thread = threading.Thread(target=lambda: session.run("print(1)\nimport time\ntime.sleep(3)", on_stdout=lambda t: started.set()))
        thread.start()
        self.assertTrue(started.wait(30))
        with self.assertRaises(dsandbox.BusyError):
            session.run("1", wait=False)
        self.assertEqual(session.run("2").value, "2", "the second waits its turn")
        thread.join(30)

    def test_hang_up_stops_the_code(self):
        session = self.session()

        def stop(text):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            session.run("y = 1\nprint('up')\nimport time\ntime.sleep(60)", on_stdout=stop)
        begin = time.monotonic()
        self.assertEqual(session.run("y").value, "1")
        self.assertLess(time.monotonic() - begin, 20)

    def test_files(self):
        session = self.session("files-" + os.urandom(4).hex())
        session.files.write("in/put.txt", "hällo")
        self.assertEqual(session.run("open('/sandbox/in/put.txt', encoding='utf-8').read()").value, "'hällo'")
        session.run("open('/sandbox/out.bin', 'wb').write(b'\\0\\xff')")
        self.assertEqual(session.files.read("out.bin"), b"\0\xff")
        self.assertEqual(sorted(f.path for f in session.files.list() if f.type == "file"), ["in/put.txt", "out.bin"])
        with open(os.path.join(session.workdir, "out.bin"), "rb") as file:
            self.assertEqual(file.read(), b"\0\xff", "it is on the host")
        session.run("import os; os.symlink('/etc/passwd', '/sandbox/link')")
        with self.assertRaises(dsandbox.Error):
            session.files.read("link")
        session.files.delete("in", recursive=True)
        with self.assertRaises(dsandbox.NotFoundError):
            session.files.read("in/put.txt")

    def test_figures(self):
        result = self.session().run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nNone", timeout=60)
        images = [d.png for d in result.results if d.png]
        self.assertEqual(len(images), 1, result.raw)
        self.assertTrue(images[0].startswith(b"\x89PNG"))

    def test_another_process_goes_on(self):
        session = self.session("shared-" + os.urandom(4).hex())
        session.run("x = 5")
        code = ("import sys; sys.path[0], sock, id = sys.argv[1:]; import dsandbox\n"
                "print(dsandbox.Session(id, client=dsandbox.Client(sock, start=False)).run('x * 2').value)")
        out = subprocess.run([sys.executable, "-c", code, PACKAGE, self.client.socket_path, session.id],
                             stdout=subprocess.PIPE, timeout=60, check=True)
        self.assertEqual(out.stdout, b"10\n")

    def test_refusals_and_failures(self):
        result = Sandbox(client=self.client, backend="docker-api", host="unix:///nonexistent.sock", base_dir=self.base).run("1")
        self.assertEqual((result.status, result.failure.code), ("error", "unavailable"), result.raw)
        with self.assertRaises(dsandbox.UnavailableError):
            Session(client=self.client, backend="docker-api", host="unix:///nonexistent.sock", base_dir=self.base)
        options = {**self.options(), "image": "no-such-image:1"}
        with self.assertRaisesRegex(dsandbox.NotFoundError, "no-such-image:1"):
            Session(client=self.client, base_dir=self.base, **options)
        with self.assertRaisesRegex(dsandbox.InvalidError, "memry"):
            self.sandbox(settings={"memry": 1}).session()


class Example(EngineCase):
    def test_agent(self):
        """examples/agent.py, as a reader would run it."""
        path = os.path.join(TOP, "examples", "agent.py")
        options = self.options()
        env = dict(os.environ, PYTHONPATH=PACKAGE, XDG_RUNTIME_DIR=self.dir, DSANDBOX_PROGRAM=PROGRAM, DSANDBOX_BACKEND=options["backend"])
        if options["host"]:
            env["DSANDBOX_HOST"] = options["host"]
        argv = [sys.executable, path, "--base-dir", self.base]
        for name in options["allow_unenforced"]:
            argv += ["--allow-unenforced", name]
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        with environment(XDG_RUNTIME_DIR=self.dir):
            os.kill(Client(start=False).version()["pid"], 15)
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, text)
        for line in ("mean 20.5", "NameError", "report.txt"):
            self.assertIn(line, text)


if __name__ == "__main__":
    main()

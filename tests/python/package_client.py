# SPDX-License-Identifier: MIT
"""The package's client on a fake service: finding it, running code, sessions."""
import base64
import os
import socket
import subprocess
import sys
import threading
import time

from common import FAKE, HERE, PACKAGE, TOP, Case, FakeCase, environment, scaled, wait_until

import dsandbox
from dsandbox import Client, Sandbox, Session, _service


def content(path):
    with open(path, "rb") as file:
        return file.read()


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
        login = f"/run/user/{os.geteuid()}"
        other = (login + "/dsandbox" if os.path.isdir(login) else f"/tmp/.dsandbox-{os.geteuid()}") + "/api.sock"
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
                thread.join(scaled(60))
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
            thread.join(scaled(10))


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
            seen.append(release.wait(scaled(10)))
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

    def test_streaming_what_was_left_out(self):
        """The service leaves out what a slow reader did not take: it comes with the result, in order."""
        def run(emit):
            emit("stdout", "1ä")
            emit("stdout", 3)
            emit("stdout", "5")
            emit("stderr", 2)
            return {"stdout": "1ä2345", "stderr": "??", "stderr_base64": base64.b64encode(b"x\xff").decode()}

        out, err = [], []
        self.service.answers = [run]
        Sandbox().run("…", on_stdout=out.append, on_stderr=err.append)
        self.assertEqual(("".join(out), "".join(err)), ("1ä2345", "x\ufffd"))

    def test_not_utf8(self):
        text = base64.b64encode(b"\xffa").decode()
        self.service.answers = [{"stdout": "\ufffda", "stdout_base64": text}]
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
        self.assertTrue(gone.wait(scaled(15)), "the execution was not told that nobody listens")

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
    def test_lookups(self):
        """What is around the cursor is sent, and of the answer no more than was promised."""
        code, far = "x" * 10000 + ".ab\0" + "y" * 10000, 10003
        with Session() as session:
            path = f"/v1/sessions/{session.id}/"
            self.service.lookups = [{"matches": ["abc", 5, "n" * 500], "start": 4094, "end": 4096, "truncated": True},
                                    {"matches": ["a"] * 2000, "start": 0, "end": 0}, {"found": True, "text": "t" * 100000}, {"found": False, "text": "t"}]
            found = session.complete(code, far)
            self.assertEqual((found.names, found.start, found.end, found.truncated), (("abc", "n" * 200), 10001, 10003, True))
            sent = self.bodies(path + "complete")[0]
            self.assertEqual((sent["code"][:4096], sent["cursor"], len(sent["code"])), (code[far - 4096 : far], 4096, 4296))
            self.assertEqual(len(session.complete("a", 99).names), 1000)
            self.assertEqual(session.inspect("print", 3, detail=True), "t" * 65536)
            self.assertIsNone(session.inspect("print", -1))
            self.assertEqual([(body["cursor"], body["detail"]) for body in self.bodies(path + "inspect")], [(3, True), (0, False)])
            for lie in ({}, {"matches": "a", "start": 0, "end": 1}, {"matches": ["a"], "start": 1, "end": 0}, {"matches": ["a"], "start": -1, "end": 1},
                        {"matches": ["a"], "start": 0, "end": 3}, {"matches": [["a"]], "start": True, "end": 1}, {"matches": {}, "start": 0, "end": "1"}):
                self.service.lookups = [lie]
                found = session.complete("ab", 1)
                self.assertEqual(found.names, ())
                self.assertTrue(0 <= found.start <= found.end <= 2)

    def test_variables(self):
        with Session() as session:
            session.run("x = 41")
            self.assertEqual(session.run("x + 1").value, "42")
            self.assertIn(("x", "int", "41"), [(v.name, v.type, v.repr) for v in session.vars()])
            self.assertEqual([h.code for h in session.history()], ["x = 41", "x + 1"])
            self.assertEqual(session.info().executions, 2)
            self.assertEqual((session.vars().truncated, session.history().truncated), (False, False))
            session.run("globals().update((f'v{i}', i) for i in range(1000))")
            self.assertEqual((len(session.vars()), session.vars().truncated), (1000, True))
            past = self.service.sessions[session.id].history
            past[:] = [{**past[0], "n": n, "code_truncated": n == 1001} for n in range(1, 1002)]
            history = session.history()
            self.assertEqual((len(history), history.truncated, history[0].n), (1000, True, 2))
            self.assertEqual((history[0].code_truncated, history[-1].code_truncated), (False, True))
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
        Session("a", idle_timeout="5m", life_time=60, checkpoint="always", image="dsandbox-sandbox:latest")
        self.assertEqual(self.bodies("/v1/sessions")[0], {"id": "a", "exist_ok": True, "idle_timeout": "5m", "life_time": 60,
                                                          "checkpoint": "always", "image": "dsandbox-sandbox:latest"})

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
        self.service.answers = [lambda emit: release.wait(scaled(10)) and {}]
        thread = threading.Thread(target=session.run, args=("…",))
        thread.start()
        self.assertTrue(wait_until(lambda: session.info().state == "busy"))
        with self.assertRaises(dsandbox.BusyError):
            session.run("1", wait=False)
        self.assertTrue(session.interrupt())
        self.assertTrue(self.service.interrupted.is_set())
        release.set()
        thread.join(scaled(10))
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

    def test_names_of_files_stay_in_the_session(self):
        """They may come from a model: none reaches another session, or anything but a file."""
        session = Session("a", base_dir=self.base)
        session.run("1")
        calls = len(self.service.calls)
        for name in ("../../b/files/secret", "..", "../../b", "a/../../../b", ".", "", "a//b", "/etc/passwd", "a/", "./a"):
            for call in (session.files.read, session.files.read_text, lambda n: session.files.write(n, "x"), session.files.delete):
                with self.assertRaises(dsandbox.InvalidError):
                    call(name)
        for name in ("", ".", ".."):
            with self.assertRaises(dsandbox.InvalidError):
                Client().session(name)
        self.assertEqual(len(self.service.calls), calls, "nothing was sent")

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
            thread.join(scaled(30))
        self.assertEqual(wrong, [])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The service when its files are removed, when it is stopped, and when it ends while programs come. Environment and last line as
in tests/cli/cli_harness.py.
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import cli_harness
import session_harness
from cli_harness import Case, scaled, wait_until
from session_harness import SessionCase, dsb, end_service, is_gone, popen, service_pid

RESULT = {"status": "ok", "exit_code": 0, "signal": None, "failure": None}


def place():
    return os.path.join(cli_harness.WORK.run, "dsandbox")


def sock():
    return os.path.join(place(), "api.sock")


def all_of(processes, limit=60):
    """(status, output, errors) of programs that run beside one another."""
    done = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"no end: {process.args}: {out!r} {err!r}") from None
        done.append((process.returncode, out.decode(), err.decode()))
    return done


class FilesRemoved(SessionCase):
    def begin(self):
        self.new()
        self.value("x = 41", "")
        return service_pid()

    def value(self, code, expected):
        done = dsb("exec", self.s, "-c", code)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, expected, ""), done)

    def goes_on(self, pid):
        self.value("print(x + 1)", "42\n")
        self.assertIn(self.s, dsb("session", "ls").stdout)
        self.assertEqual(service_pid(), pid)

    def test_socket_removed(self):
        pid = self.begin()
        os.unlink(sock())
        self.goes_on(pid)
        os.unlink(sock())
        self.assertIn(self.s, dsb("session", "ls").stdout)

    def test_directory_removed(self):
        pid = self.begin()
        shutil.rmtree(place())
        self.assertIn(self.s, dsb("session", "ls").stdout)
        self.goes_on(pid)
        shutil.rmtree(place())
        self.goes_on(pid)

    def test_lock_removed(self):
        pid = self.begin()
        lock = os.path.join(place(), "api.pid")
        os.unlink(lock)
        wait_until(lambda: os.path.exists(lock), 20)
        self.goes_on(pid)

    def test_something_else_in_the_way(self):
        pid = self.begin()
        os.unlink(sock())
        os.mkdir(sock())
        time.sleep(2)
        os.rmdir(sock())
        self.goes_on(pid)

    def test_it_leaves_what_is_not_its_own(self):
        """A second service that cannot know of the first, after the directory was removed: neither touches the other's files."""
        first = self.begin()
        self.addCleanup(lambda: is_gone(first) or os.kill(first, signal.SIGKILL))
        os.kill(first, signal.SIGSTOP)
        shutil.rmtree(place())
        other = {"XDG_STATE_HOME": cli_harness.WORK.dir("state-" + self.s[-8:])}
        self.assertEqual(dsb("session", "show", "nowhere", env=other).status, 125)
        second = service_pid()
        self.assertNotIn(second, (None, first))
        os.kill(first, signal.SIGCONT)
        time.sleep(2.5)  # it has looked
        self.assertEqual(service_pid(), second)
        os.kill(first, signal.SIGINT)
        wait_until(lambda: is_gone(first), 60)
        self.assertEqual(service_pid(), second)
        end_service()


class Ending(SessionCase):
    def end_slowly(self):
        """The service is on its way out until go_on(): it waits for the session's process, which is stopped."""
        self.new()
        self.assertEqual(dsb("exec", self.s, "-c", "x = 1").status, 0)
        pid = service_pid()
        sockets = os.listdir(os.path.join(place(), "api.sessions"))
        (self.session_pid,) = [int(name.rpartition("@")[2]) for name in sockets if name.rpartition("@")[0] == self.s]
        os.kill(self.session_pid, signal.SIGSTOP)
        self.addCleanup(self.go_on)
        os.kill(pid, signal.SIGINT)
        self.assertTrue(wait_until(lambda: not os.path.exists(sock()), 20))
        self.assertFalse(is_gone(pid))
        return pid

    def go_on(self):
        if not is_gone(self.session_pid):
            os.kill(self.session_pid, signal.SIGCONT)

    def test_who_comes_waits_for_the_next(self):
        pid = self.end_slowly()
        options = self.settings()
        programs = [popen("run", "-c", "print(1)", *options), popen("exec", self.s, "-c", "print(2)"),
                    popen("session", "new", self.s[:50] + "-b", *options), popen("session", "show", "nowhere")]
        time.sleep(1)  # they have come, most of them
        self.go_on()
        run, execute, new, show = all_of(programs)
        self.assertEqual(run, (0, "1\n", ""))
        self.assertEqual(execute[:2], (0, "2\n"), execute)
        self.assertIn("the service was told to end", execute[2])
        self.assertEqual(new[0], 0, new)
        self.assertEqual(show[0], 125)
        self.assertIn("there is no session 'nowhere'", show[2])
        self.assertNotEqual(service_pid(), pid)

    def test_list(self):
        self.end_slowly()
        process = popen("session", "ls")
        time.sleep(1)  # it has come
        self.go_on()
        ((status, out, err),) = all_of([process])
        self.assertEqual((status, err), (0, ""))
        self.assertIn("no sessions", out)

    def test_just_before_the_end(self):
        """Nobody who has not begun is told that somebody cancelled: not by us, and not by the service."""
        for n in range(6):
            self.assertEqual(dsb("session", "show", "nowhere").status, 125)
            pid = service_pid()
            code = f"print({n})"
            programs = [popen("run", "-c", code, *self.settings()) for _ in range(2)]
            programs += [popen("run", "-s", f"{self.s[:50]}-{n}-{i}", "-c", code, *self.settings()) for i in range(2)]
            time.sleep(0.05 * n)
            os.kill(pid, signal.SIGINT)
            for status, out, err in all_of(programs):
                self.assertNotIn("cancelled by the caller", err)
                if status == 130:  # it ran already
                    self.assertIn("the service ended", err)
                else:
                    self.assertEqual((status, out), (0, f"{n}\n"), err)


class Stopped(SessionCase):
    def setUp(self):
        super().setUp()
        self.new()
        self.assertEqual(dsb("exec", self.s, "-c", "x = 1").status, 0)
        self.pid = service_pid()
        self.addCleanup(lambda: is_gone(self.pid) or os.kill(self.pid, signal.SIGCONT))

    def stop(self):
        os.kill(self.pid, signal.SIGSTOP)

    def test_every_verb_says_so(self):
        self.stop()
        file = cli_harness.WORK.file("x")
        verbs = (["exec", self.s, "-c", "1"], ["run", "-s", self.s, "-c", "1"], ["session", "new", "other"], ["session", "ls"],
                 ["session", "show", self.s], ["session", "vars", self.s], ["session", "history", self.s],
                 ["session", "interrupt", self.s], ["session", "rm", self.s], ["session", "rm", "--all"], ["cp", file, self.s + ":x"],
                 ["cp", self.s + ":x", "-"], ["session", "export", self.s], ["exec", self.s, "--json", "-c", "1"])
        for verb, (status, out, err) in zip(verbs, all_of([popen(*verb) for verb in verbs])):
            with self.subTest(verb):
                self.assertEqual(status, 125, err)
                self.assertIn(f"process {self.pid}, has the socket", err)
                self.assertIn(f"kill -CONT {self.pid}", err)
                self.assertNotIn("--no-wait", err)
                if "--json" in verb:
                    self.assertEqual(json.loads(out)["failure"]["code"], "busy")

    def test_a_run_does_without_it(self):
        self.stop()
        done = dsb("run", "-c", "print(1)", *self.settings())
        self.assertEqual((done.status, done.stdout), (0, "1\n"), done)
        self.assertIn("running without the service", done.stderr)
        self.assertIn(f"process {self.pid}", done.stderr)

    def test_signals_before_it_answers(self):
        self.stop()
        programs = [popen("exec", self.s, "-c", "1"), popen("run", "-s", self.s, "-c", "1"), popen("session", "show", self.s)]
        time.sleep(3)  # they wait for it
        for program in programs:
            program.send_signal(signal.SIGINT)
        for status, out, err in all_of(programs):
            self.assertIn(status, (130, -signal.SIGINT), err)
            self.assertNotIn("does not answer", err)

    def test_while_code_runs(self):
        """Silence of the code says nothing; silence of the service is an end of the wait."""
        code = "import time; print('on', flush=True); time.sleep(13); print('off')"
        quiet = popen("exec", self.s, "-c", code, "--timeout", "100s")
        self.assertEqual(quiet.stdout.readline(), b"on\n")
        self.assertEqual(all_of([quiet], 120), [(0, "off\n", "")])
        programs = [popen("exec", self.s, "-c", code, "--timeout", "100s")]
        self.assertEqual(programs[0].stdout.readline(), b"on\n")
        programs.append(popen("exec", self.s, "-c", code, "--timeout", "100s"))
        self.assertTrue(wait_until(lambda: self.json("session", "show", self.s)["queued"] == 1, 10))
        self.stop()
        programs[0].send_signal(signal.SIGINT)
        first, second = all_of(programs)
        self.assertEqual(first[0], 130)
        self.assertIn(f"process {self.pid}", first[2])
        self.assertEqual(second[0], 125)
        self.assertIn(f"process {self.pid}", second[2])
        os.kill(self.pid, signal.SIGCONT)
        self.assertEqual(dsb("exec", self.s, "-c", "print(x)").stdout, "1\n")


class Mute(Case):
    """A service that is short of something: it answers, and then a part never comes."""

    def setUp(self):
        end_service()
        os.makedirs(place(), 0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(sock())
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(sock())
        self.server.listen(8)
        if os.getuid() == 0:
            for path in (place(), sock()):
                os.chown(path, cli_harness.WORK.uid, -1)
        self.open = [self.server]
        self.addCleanup(lambda: [one.close() for one in self.open])
        self.addCleanup(os.unlink, sock())
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.open.append(connection)
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    version, past = {}, {}
    resets = 0  # so many executions are not read

    def answer(self, connection):
        head = b""
        if self.resets and connection.recv(4, socket.MSG_PEEK) == b"POST":
            self.resets -= 1
            connection.close()
            return
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        known = {b"GET /v1/version": self.version, b"GET /v1/sessions": {"sessions": []},
                 b"GET /v1/sessions/a/history": self.past}.get(head.split(b" HTTP")[0])
        if known:
            text = json.dumps(known).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            return
        if head.startswith(b"GET /v1/version") or b"/interrupt" in head.split(b"\r\n")[0]:
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for name, data in self.events:
            text = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
            connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))
        self.said.set()

    def test_a_service_of_another_version(self):
        self.version = {"version": "0.0.7", "pid": 4711}
        done = dsb("session", "ls")
        self.assertEqual(done.status, 0, done)
        self.assertRegex(done.stderr, r"^dsandbox: service 0\.0\.7 still runs, process 4711, and this program is \d.*: kill 4711")

    def test_a_history_that_was_cut(self):
        row = {"id": "x-a", "code": "1", "code_truncated": False, "command": False, "status": "ok", "started": "2030-01-01T00:00:00.000Z", "wall_ms": 1}
        for n in (1, 2):
            self.past = {"executions": [{"n": n, **row}], "truncated": n > 1}
            said = "dsandbox: only the last 1 executions were kept\n" if n > 1 else ""
            for how, more in (("table", said), ("py", said), ("ipynb", said), ("json", "")):
                done = dsb("session", "history", "a", "-o", how)
                self.assertEqual((done.status, done.stderr), (0, more), done)

    def run_with(self, *events):
        self.events, self.said = events, threading.Event()
        return popen("exec", "a", "-c", "1")

    def test_done_at_the_result(self):
        process = self.run_with(("accepted", {"id": "x-a"}), ("started", {"id": "x-a"}), ("stdout", {"text": "1\n"}), ("result", RESULT))
        self.assertEqual(all_of([process]), [(0, "1\n", "")])

    def test_what_was_not_read_is_sent_again(self):
        self.resets = 2
        process = self.run_with(("accepted", {"id": "x-a"}), ("started", {"id": "x-a"}), ("stdout", {"text": "1\n"}), ("result", RESULT))
        self.assertEqual(all_of([process]), [(0, "1\n", "")])

    def test_done_at_the_error(self):
        process = self.run_with(("accepted", {"id": "x-a"}), ("error", {"error": {"code": "failed", "message": "no more threads"}}))
        self.assertEqual(all_of([process]), [(125, "", "dsandbox: no more threads\n")])

    def test_one_signal_is_enough(self):
        """No result comes, whatever it is told; or it has not even said that it took the code."""
        for events in ((), (("accepted", {"id": "x-a"}), ("started", {"id": "x-a"}))):
            process = self.run_with(*events)
            self.assertTrue(self.said.wait(scaled(20)))
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            (status, _, err), = all_of([process])
            self.assertEqual(status, 130, err)
            self.assertIn("cancelled", err)


class Upgrade(Case):
    def test_files_replaced_under_a_service(self):
        end_service()
        build = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
        serve = os.path.join(cli_harness.WORK.path, "dsandbox-serve")
        shutil.copy(os.path.join(build, "service/dsandbox-serve"), serve)
        argv, env = session_harness.command([], {"LD_LIBRARY_PATH": os.path.join(build, "core")})
        process = subprocess.Popen([*argv[:-1], serve, "--idle", "1h"], env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: service_pid() == process.pid, 30)
        verbs = (["session", "ls"], ["session", "show", "nowhere", "-v"], ["doctor"])
        old = f"still runs, process {process.pid}, from before its files were replaced"
        for verb in verbs:
            self.assertNotIn("still runs", str(dsb(*verb)))
        shutil.copy(serve, serve + ".new")
        os.rename(serve + ".new", serve)
        for verb in verbs:
            done = dsb(*verb)
            self.assertIn(old, done.stdout if verb == ["doctor"] else done.stderr, done)
            self.assertIn(f"kill {process.pid}", done.stdout + done.stderr)


if __name__ == "__main__":
    cli_harness.main([FilesRemoved, Ending, Stopped, Mute, Upgrade])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
kill -9 of the service, or an end that hands over: its sessions go on, with all that runs, and the next service has them.
Environment and last line as in tests/cli/cli_harness.py.
"""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

import own_service
import cli_harness

import harness
from harness import FOREVER, Service, children, is_gone, wait_for
from speed import scaled, set_seconds, setting

setUpModule, tearDownModule = own_service.begin, own_service.end


class AdoptionCase(cli_harness.EngineCase):
    idle = "60s"

    def setUp(self):
        self.service = Service(idle=self.idle)
        self.addCleanup(self.service.stop)
        self.addCleanup(self.nothing_left)
        self.api, self.where = self.service.api, self.service.where
        self.sockets = os.path.join(self.service.run, "dsandbox", "api.sessions")

    def nothing_left(self):
        """After all: no container, process or socket."""
        pids = self.service.pids
        for session in self.api.get("/v1/sessions")["sessions"]:
            self.api.delete(f"/v1/sessions/{session['id']}?files=1")
        self.assertEqual(os.listdir(self.sockets) if os.path.isdir(self.sockets) else [], [])
        self.assertEqual(self.service.stop(), 0, self.service.said())
        wait_for(lambda: all(is_gone(pid) for pid in pids))
        wait_for(lambda: not cli_harness.containers())

    def kill(self):
        """The service alone. The processes of its sessions."""
        pids = children(self.service.pid)
        self.service.kill_alone()
        return pids

    def restart(self):
        pids = self.kill()
        self.service.start()
        return pids

    @property
    def patient(self):
        """Who is interrupted on a busy machine keeps his variables, and what goes on has the time."""
        return {**self.where, "set": {"grace": "60s", "timeout": "10m"}}

    def make(self, name, code="x = 1", **more):
        result = self.api.run(name, code, create={**self.patient, **more})
        self.assertEqual(result["status"], "ok", result)
        return self.process(name)

    def process(self, name):
        """Of a session, by its socket."""
        return next(int(one.rpartition("@")[2]) for one in os.listdir(self.sockets) if one.rpartition("@")[0] == name)

    def value(self, name, code="x"):
        result = self.api.run(name, code)
        self.assertEqual((result["status"], result["state"]["outcome"]), ("ok", "kept"), result)
        return result["results"][-1]["text/plain"]

    def run_forever(self, name):
        stream = self.api.stream(f"/v1/sessions/{name}/execute", {"code": "x = 2; print('on', flush=True)\n" + FOREVER,
                                                                 "create": self.patient})
        stream.until("stdout")
        return stream


class GoesOn(AdoptionCase):
    def test_all_that_a_session_is(self):
        self.make("a", "x = 41; open('f', 'w').write('file')", labels={"k": "v"}, set={"memory": "256MiB"}, idle_timeout="40m")
        self.value("a", "x += 1; x")
        before = [self.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history", "/files")]
        for _ in range(2):
            self.restart()
            self.assertEqual([self.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history", "/files")], before)
        self.assertEqual(self.value("a", "x, open('f').read()"), "(42, 'file')")
        self.assertEqual(self.api.get("/v1/sessions/a")["executions"], 3)

    def test_what_runs_goes_on(self):
        """Its result is in the history and the audit log, and it can be interrupted; so can the first one of a session."""
        self.make("a")
        for name in "ab":
            stream = self.run_forever(name)
            self.restart()
            with self.assertRaises((AssertionError, http.client.HTTPException, OSError)):
                stream.until("result")
            execution = stream.id
            stream.close()
            self.assertIn(self.api.get(f"/v1/sessions/{name}")["state"], ("busy", "starting"))
            self.assertEqual(self.api.get("/v1/version")["executing"], 1)
            self.assertTrue(self.api.post(f"/v1/executions/{execution}/interrupt")["interrupted"])
            self.assertEqual(self.value(name), "2")
            history = self.api.get(f"/v1/sessions/{name}/history")["executions"]
            self.assertEqual((history[-2]["id"], history[-2]["status"]), (execution, "cancelled"))
            audit = [line for line in self.service.audit() if line["id"] == execution]
            self.assertEqual([(line["session"], line["status"]) for line in audit], [(name, "cancelled")])
            self.assertRegex(audit[0]["user"], "^uid [0-9]+$")

    def test_a_lost_answer(self):
        """With an Idempotency-Key: of what runs, of what ended without a service, and of what had ended before."""
        self.make("a", "n = 0")
        path, answers = "/v1/sessions/a/execute", {}
        for key, seconds in (("before", 0), ("meanwhile", scaled(1)), ("after", scaled(8))):
            body = {"code": f"import time; n += 1; print('on', flush=True); time.sleep({seconds}); print(n)"}
            stream = self.api.stream(path, body, headers={"Idempotency-Key": key})
            stream.until("stdout")
            if key == "before":
                stream.all()
            self.kill()
            stream.close()
            if key == "meanwhile":
                time.sleep(scaled(2))
            self.service.start()
            if key == "after":
                self.assertEqual(self.api.get(f"/v1/executions/{stream.id}"), {"id": stream.id, "state": "running"})
                self.api.post(f"/v1/executions/{stream.id}/interrupt")
            status, _, content = self.api.raw("POST", path, json.dumps(body), {"Idempotency-Key": key})
            answers[key] = json.loads(content)
            self.assertEqual((status, answers[key]["id"]), (200, stream.id))
        self.restart()
        for key, answer in answers.items():
            self.assertEqual(self.api.get(f"/v1/executions/{answer['id']}"), answer)
            self.assertEqual(answer["status"], "cancelled" if key == "after" else "ok")
            self.assertTrue(answer["stdout"].startswith("on\n"))
        self.assertEqual(self.value("a", "n"), "3")

    def test_what_ended_meanwhile(self):
        """The result, and the end of a sandbox, are kept for the next one."""
        self.make("a")
        self.make("b")
        container = self.api.get("/v1/sessions/b")["container"]
        stream = self.api.stream("/v1/sessions/a/execute", {"code": "print('on', flush=True); import time; time.sleep(1); x = 5"})
        stream.until("stdout")
        self.kill()
        stream.close()
        harness.Engine().kill(container)
        time.sleep(scaled(3))
        self.service.start()
        history = self.api.get("/v1/sessions/a/history")["executions"]
        self.assertEqual([one["status"] for one in history], ["ok", "ok"])
        self.assertEqual(self.value("a"), "5")
        wait_for(lambda: self.api.get("/v1/sessions/b")["state"] == "ended")
        self.assertIn("the container ended", self.api.get("/v1/sessions/b")["lost"])
        result = self.api.run("b", "'x' in globals()")
        self.assertEqual((result["results"][-1]["text/plain"], result["state"]["outcome"]), ("False", "lost"))

    def test_what_waited_was_not_done(self):
        self.make("a")
        first, second = self.run_forever("a"), self.api.stream("/v1/sessions/a/execute", {"code": "x = 3"})
        second.until("accepted")
        self.restart()
        first.close()
        second.close()
        self.assertEqual(self.api.get("/v1/sessions/a")["queued"], 0)
        self.api.post("/v1/sessions/a/interrupt")
        self.assertEqual(self.value("a"), "2")

    def test_programs_find_them(self):
        """`session ls` starts a service where sessions wait for it, and gc leaves their containers alone."""
        self.make("a")
        other = Service()
        self.addCleanup(other.stop)
        self.kill()
        self.assertEqual(other.api.post("/v1/gc", {key: self.where[key] for key in ("backend", "host", "base_dir")})["removed"], 0)
        program = self.service.popen(harness.PROGRAM, "session", "ls")
        out, err = program.communicate(timeout=scaled(60))
        self.assertEqual((program.returncode, err), (0, b""))
        self.assertRegex(out, rb"(?m)^a +idle ")
        os.kill(self.service.pid, signal.SIGKILL)  # it was the program's
        self.api.close()
        self.service.start()
        self.assertEqual(self.value("a"), "1")

    def test_socket_removed(self):
        """By a cleaner, with the service alive and dead."""
        self.make("a")
        shutil.rmtree(self.sockets)
        wait_for(lambda: os.path.isdir(self.sockets) and os.listdir(self.sockets))
        self.kill()
        shutil.rmtree(os.path.dirname(self.sockets))
        wait_for(lambda: os.path.isdir(self.sockets) and os.listdir(self.sockets))
        self.service.start()
        self.assertEqual(self.value("a"), "1")


class HandedOver(AdoptionCase):
    """SIGTERM: what a manager of services sends for an end, or for the next one."""

    def hand_over(self):
        self.assertEqual(self.service.stop(signal.SIGTERM), 0, self.service.said())
        self.service.start()

    def test_all_that_a_session_is(self):
        self.make("a", "x = 41; open('f', 'w').write('file')", labels={"k": "v"})
        before = [self.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history", "/files")]
        pid = self.process("a")
        for _ in range(3):
            self.hand_over()
            self.assertEqual([self.api.get(f"/v1/sessions/a{rest}") for rest in ("", "/history", "/files")], before)
        self.assertEqual((self.value("a"), self.process("a")), ("41", pid))

    def test_what_runs_and_what_waits(self):
        self.make("a")
        first, second = self.run_forever("a"), self.api.stream("/v1/sessions/a/execute", {"code": "x = 3"})
        second.until("accepted")
        one_shot = self.api.stream("/v1/run", {"code": "print('on', flush=True)\n" + FOREVER, **self.where})
        one_shot.until("stdout")
        begin = time.monotonic()
        self.hand_over()
        self.assertLess(time.monotonic() - begin, scaled(20))
        self.assertIn("goes on in session a", first.until("error")["error"]["message"])
        self.assertIn("the service is ending; the code was not run", second.until("error")["error"]["message"])
        self.assertEqual(one_shot.all().result["status"], "cancelled")
        for stream in (first, second, one_shot):
            stream.close()
        self.assertEqual(self.api.get("/v1/sessions/a")["state"], "busy")
        self.api.post("/v1/sessions/a/interrupt")
        self.assertEqual(self.value("a"), "2")

    def test_without_a_sandbox(self):
        """A session that has lost it has nothing to leave but that."""
        self.make("a", "x = 1; open('f', 'w').write('kept')")
        harness.Engine().kill(self.api.get("/v1/sessions/a")["container"])
        wait_for(lambda: self.api.get("/v1/sessions/a")["state"] == "ended")
        self.hand_over()
        result = self.api.run("a", "open('f').read()")
        self.assertEqual((result["results"][-1]["text/plain"], result["state"]["outcome"]), ("'kept'", "lost"))
        self.assertIn("the container ended", result["state"]["reason"])

    def test_an_end_that_ends_them(self):
        """SIGINT and SIGHUP, as from a terminal."""
        for number in (signal.SIGINT, signal.SIGHUP):
            self.make("a", "x = 1; open('f', 'w').write('kept')")
            pids = self.service.pids
            self.assertEqual(self.service.stop(number), 0, self.service.said())
            wait_for(lambda: all(is_gone(pid) for pid in pids))  # pylint: disable=cell-var-from-loop
            self.assertEqual(os.listdir(self.sockets), [])
            wait_for(lambda: not cli_harness.containers())
            self.service.start()
            result = self.api.run("a", "'x' in globals(), open('f').read()")
            self.assertEqual(result["results"][-1]["text/plain"], "(False, 'kept')")
            self.assertIn("the service was told to end, and ended its sessions", result["state"]["reason"])


class Alone(AdoptionCase):
    """Without a next service."""

    def ends(self, *names):
        pids = [self.process(name) for name in names]
        self.kill()
        wait_for(lambda: all(is_gone(pid) for pid in pids))
        self.assertEqual(os.listdir(self.sockets), [])
        wait_for(lambda: not cli_harness.containers())
        self.service.start()
        for name in names:
            result = self.api.run(name, "'x' in globals(), open('f').read()")
            self.assertEqual((result["results"][-1]["text/plain"], result["state"]["outcome"]), ("(False, 'kept')", "lost"))
            self.assertIn("the service ended", result["state"]["reason"])

    def test_idle_time(self):
        idle = set_seconds(2)
        self.make("a", "x = 1; open('f', 'w').write('kept')", idle_timeout=f"{idle}s")
        begin = time.monotonic()
        self.ends("a")
        self.assertGreater(time.monotonic() - begin, 0.5 * idle)

    def test_life_time(self):
        for name in "ab":  # both live when the last of these executions begins
            self.make(name, "x = 1; open('f', 'w').write('kept')", life_time=setting(4))
        self.run_forever("b").close()
        stream = self.run_forever("a")
        self.ends("a", "b")
        stream.close()

    def test_its_times_go_on(self):
        """A service that comes does not begin them anew."""
        self.make("a", idle_timeout="6s")
        begin = time.monotonic()
        self.make("b", life_time="8s")
        while self.api.get("/v1/version")["sessions"] > 0:
            self.restart()
            self.assertLess(time.monotonic() - begin, scaled(20))
            time.sleep(1)
        self.assertGreater(time.monotonic() - begin, 4)

    def test_one_shots_and_the_spare_one_end(self):
        stream = self.api.stream("/v1/run", {"code": "print('on', flush=True)\n" + FOREVER, **self.where})
        stream.until("stdout")
        pids = self.kill()
        stream.close()
        self.assertGreaterEqual(len(pids), 1)
        wait_for(lambda: all(is_gone(pid) for pid in pids))
        wait_for(lambda: not cli_harness.containers())
        self.service.start()


OLDER = """
import os, socket, struct, sys
os.chdir(sys.argv[1])
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
name = f"old@{os.getpid()}"
server.bind(name)
server.listen(1)
print(name, flush=True)
connection, _ = server.accept()
text = b"0.0.7"
body = struct.pack("=QQ", 1, len(text)) + text
connection.send(struct.pack("=IIQ", 1, 0, len(body)) + body)
connection.recv(1)
"""


class Planted(AdoptionCase):
    """What else may be in the directory."""

    def plant(self):
        def path(name):
            return os.path.join(self.sockets, name)

        os.symlink("/etc/passwd", path("link@1"))
        os.symlink(path("none@7"), path("dangling@2"))
        os.mkdir(path("dir@3"))
        os.mkfifo(path("fifo@4"))
        with open(path("file@5"), "w", encoding="ascii") as file:
            file.write("x")
        os.symlink(os.path.basename(self.service.socket), path("../back"))
        os.rename(path("../back"), path("service@6"))
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        dead.bind(path("dead@8"))
        dead.close()
        for name, kind in (("mute@9", socket.SOCK_SEQPACKET), ("stream@10", socket.SOCK_STREAM), ("..@11", socket.SOCK_SEQPACKET),
                           ("noise", socket.SOCK_SEQPACKET)):
            server = socket.socket(socket.AF_UNIX, kind)
            server.bind(path(name))
            server.listen(4)
            self.addCleanup(server.close)
        for name in os.listdir(self.sockets):
            if harness.AS:
                os.chown(path(name), harness.WORK.uid, -1, follow_symlinks=False)

    def unplant(self):
        for name in os.listdir(self.sockets):
            path = os.path.join(self.sockets, name)
            if not name.startswith("honest@"):
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def test_what_is_no_session(self):
        pid = self.make("honest")
        self.plant()
        self.addCleanup(self.unplant)
        begin = time.monotonic()
        self.restart()
        self.assertLess(time.monotonic() - begin, scaled(20))
        self.assertEqual([one["id"] for one in self.api.get("/v1/sessions")["sessions"]], ["honest"])
        self.assertEqual((self.value("honest"), self.process("honest")), ("1", pid))
        self.assertNotIn("dead@8", os.listdir(self.sockets))
        self.assertIn("file@5", os.listdir(self.sockets))

    def test_garbage(self):
        """A process of the user's that speaks, but not as a session does: it is ended, and nothing else."""
        self.make("honest")
        held = struct.pack("=IIQ", 10, 0, 8) + struct.pack("=Q", 1 << 40)
        leaving = struct.pack("=IIQ", 11, 0, 8) + struct.pack("=Q", 1 << 40)
        for number, packet in enumerate((b"x", b"x" * 500, held, leaving, struct.pack("=IIQ", 6, 0, 0), struct.pack("=IIQ", 10, 1, 5))):
            code = OLDER.replace("connection.send(struct.pack(\"=IIQ\", 1, 0, len(body)) + body)", f"connection.send({packet!r})")
            with self.fake(code) as fake:
                self.restart()
                self.assertEqual(fake.wait(scaled(30)), -signal.SIGKILL, number)
            self.assertEqual(self.value("honest"), "1")

    @contextlib.contextmanager
    def fake(self, code, stays=False):
        argv = [*([harness.AS] if harness.AS else []), sys.executable, "-c", code, self.sockets]
        fake = subprocess.Popen(argv, stdout=subprocess.PIPE)
        name = fake.stdout.readline().decode().strip()
        try:
            yield fake
        finally:
            fake.kill()
            fake.wait()
            fake.stdout.close()
            if stays:
                os.unlink(os.path.join(self.sockets, name))
            wait_for(lambda: name not in os.listdir(self.sockets))  # the service has removed it

    def test_one_that_goes_away(self):
        """It closes its connection, and lives: that is none of our business."""
        self.make("honest")
        code = OLDER.replace("connection.send(struct.pack(\"=IIQ\", 1, 0, len(body)) + body)\nconnection.recv(1)",
                             "connection.close(); import time; time.sleep(600)")
        self.assertIn("sleep", code)
        with self.fake(code, stays=True) as fake:
            self.restart()
            wait_for(lambda: "session old is lost" in self.service.said())
            time.sleep(2)
            self.assertIsNone(fake.poll())
            self.assertEqual(self.value("honest"), "1")

    def test_another_version(self):
        """One that cannot be spoken with ends, and its session says why."""
        self.make("old", "x = 1; open('f', 'w').write('kept')")
        real = self.process("old")
        self.kill()
        os.kill(real, signal.SIGKILL)
        wait_for(lambda: is_gone(real))
        with self.fake(OLDER) as fake:
            self.service.start()
            self.assertEqual(fake.wait(scaled(30)), -signal.SIGKILL)
        wait_for(lambda: "session old is lost" in self.service.said())
        result = self.api.run("old", "open('f').read()")
        self.assertEqual((result["results"][-1]["text/plain"], result["state"]["outcome"]), ("'kept'", "lost"))
        self.assertIn("it is of dsandbox 0.0.7, with which", result["state"]["reason"])

    def test_stopped(self):
        """It does not hold up the others, and is taken when it answers."""
        pid = self.make("slow")
        self.make("honest")
        self.kill()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(lambda: is_gone(pid) or os.kill(pid, signal.SIGCONT))
        self.service.start()
        self.assertEqual(self.value("honest"), "1")
        self.assertEqual([one["id"] for one in self.api.get("/v1/sessions")["sessions"]], ["honest"])
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: len(self.api.get("/v1/sessions")["sessions"]) == 2)
        self.assertEqual(self.value("slow"), "1")

    def test_directory_that_is_not_ours_alone(self):
        """The session works, and ends with its service."""
        elsewhere = harness.WORK.dir("elsewhere")
        for make in (lambda: os.symlink(elsewhere, self.sockets), lambda: (os.mkdir(self.sockets), os.chmod(self.sockets, 0o755))):
            make()
            self.assertEqual(self.api.run("a", "x = 1", create=self.where)["status"], "ok")
            self.assertEqual((os.listdir(self.sockets), os.listdir(elsewhere)), ([], []))
            self.assertIn("the session will end with its service", self.service.said())
            pids = self.restart()
            wait_for(lambda: all(is_gone(pid) for pid in pids))  # pylint: disable=cell-var-from-loop
            self.assertEqual(self.api.run("a", "1")["state"]["outcome"], "lost")
            self.api.delete("/v1/sessions/a?files=1")
            os.unlink(self.sockets) if os.path.islink(self.sockets) else os.rmdir(self.sockets)

    @unittest.skipIf(os.getuid() != 0 or harness.AS, "needs root, to be somebody else")
    def test_another_user(self):
        self.make("a")
        self.kill()
        path = os.path.join(self.sockets, os.listdir(self.sockets)[0])
        self.assertEqual(os.stat(self.sockets).st_mode & 0o777, 0o700)
        code = f"import os, socket; os.setgid(65534); os.setuid(65534); socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect({path!r})"
        done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=scaled(60), check=False)
        self.assertIn(b"PermissionError", done.stderr)
        os.chmod(self.sockets, 0o777)  # and with a door that is open, it says nothing to them
        os.chmod(path, 0o777)
        for above in (self.service.run, os.path.dirname(self.sockets)):
            os.chmod(above, 0o711)
        code += "\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(%r); s.settimeout(20); print(s.recv(100))" % path
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=scaled(60), check=True)
        self.assertEqual(done.stdout, b"b''\n")
        for above in (self.service.run, os.path.dirname(self.sockets), self.sockets):
            os.chmod(above, 0o700)
        self.service.start()
        self.assertEqual(self.value("a"), "1")


if __name__ == "__main__":
    cli_harness.main([GoesOn, HandedOver, Alone, Planted])

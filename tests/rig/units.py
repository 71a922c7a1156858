#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
dsandbox.service as the user's systemd runs it, with a session that has variables and an execution under way: stopped, started,
killed, upgraded, until the user has logged out. For root in a guest of vm.sh.
"""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import time
import unittest

from prerequisites import HARD_END, PATIENT, POLICY, RUNTIME, UID, USER, begin_all, end_all, root, write

SOCKET = f"{RUNTIME}/dsandbox/api.sock"
GROUP = f"/sys/fs/cgroup/user.slice/user-{UID}.slice/user@{UID}.service/app.slice/dsandbox.service"
SERVE = "/usr/local/libexec/dsandbox/dsandbox-serve"
GOES_ON = "import os, time\nx += 1\nopen('began', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('went on', x)"


class Connection(http.client.HTTPConnection):
    """The user's, whose service speaks with nobody else."""

    def __init__(self):
        super().__init__("localhost", timeout=HARD_END)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        os.seteuid(UID)
        try:
            self.sock.connect(SOCKET)
        finally:
            os.seteuid(0)


def ask(method, path, body=None, key=None):
    connection = Connection()
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Idempotency-Key": key} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def wait_for(what):
    end = time.monotonic() + HARD_END
    while not what():
        if time.monotonic() > end:
            raise AssertionError("it does not come: " + root("journalctl", "--no-pager", "-n", "30", f"_UID={UID}").stdout)
        time.sleep(0.1)


def as_user(*argv):
    done = root("as-user", *argv, check=False)
    if done.returncode != 0:
        raise AssertionError(done)
    return done


def systemctl(*argv):
    return as_user("systemctl", "--user", *argv).stdout.strip()


def main_pid():
    return int(systemctl("show", "-P", "MainPID", "dsandbox"))


def serving():
    """The process that answers."""
    with contextlib.suppress(OSError, http.client.HTTPException, KeyError, ValueError):
        return json.loads(ask("GET", "/v1/version")[1])["pid"]
    return None


class Unit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        end_all()
        begin_all()
        write(POLICY, '{"start_timeout": "600s"}')

    @classmethod
    def tearDownClass(cls):
        root("loginctl", "enable-linger", USER)
        end_all()
        begin_all()

    def serves(self, *former):
        """The unit's process, which is another one than those, has the socket."""
        wait_for(lambda: serving() not in (None, *former) and serving() == main_pid())
        return serving()

    def session(self, code):
        return as_user(*PATIENT.split(), "exec", "a", "-c", code)

    def value(self):
        status, answer = ask("POST", "/v1/sessions/a/execute", json.dumps({"code": "x"}))
        result = json.loads(answer)
        self.assertEqual((status, result.get("state", {}).get("outcome")), (200, "kept"), result)
        return int(result["results"][-1]["text/plain"])

    def test_life(self):
        systemctl("daemon-reload")
        systemctl("start", "dsandbox")
        first = self.serves()
        as_user(*PATIENT.split(), "session", "new", "a", "--policy", POLICY)
        self.session("x = 41; open('file', 'w').write('kept')")
        second = self.restarted(first)
        third = self.stopped(second)
        systemctl("kill", "-s", "KILL", "--kill-whom=main", "dsandbox")
        fourth = self.serves(third)
        self.assertEqual(self.value(), 43)
        self.short_of_memory(fourth)
        self.upgraded(fourth)
        self.logged_out()

    def restarted(self, former):
        """With an execution under way, whose result comes from the next service."""
        body = json.dumps({"code": GOES_ON})
        cut = Connection()
        self.addCleanup(cut.close)
        cut.request("POST", "/v1/sessions/a/execute", body, {"Idempotency-Key": "one"})
        wait_for(lambda: ask("GET", "/v1/sessions/a/files/began")[0] == 200)
        systemctl("restart", "dsandbox")
        pid = self.serves(former)
        self.assertEqual(ask("PUT", "/v1/sessions/a/files/go", b"")[0] // 100, 2)
        status, answer = ask("POST", "/v1/sessions/a/execute", body, "one")
        result = json.loads(answer)
        self.assertEqual((status, result["status"], result["stdout"]), (200, "ok", "went on 42\n"), result)
        self.assertEqual(self.value(), 42)
        return pid

    def stopped(self, former):
        """A program starts a service then, and the unit takes its place again."""
        systemctl("stop", "dsandbox")
        self.assertFalse(os.path.exists(f"/proc/{former}"))
        self.assertEqual(self.session("x += 1; print(x)").stdout, "43\n")
        programs = serving()
        self.assertNotIn(programs, (None, former))
        systemctl("start", "dsandbox")
        pid = self.serves(programs)
        wait_for(lambda: not os.path.exists(f"/proc/{programs}"))
        self.assertEqual(self.value(), 43)
        return pid

    def short_of_memory(self, former):
        """One process of the unit that the kernel ends is not the end of all."""
        with open(f"{GROUP}/memory.current", encoding="ascii") as file:
            systemctl("set-property", "--runtime", "dsandbox", f"MemoryMax={int(file.read()) + (64 << 20)}")
        # The first that is chosen, also where it has not yet much more than the others.
        hog = root("sh", "-c", f"echo 1000 >/proc/self/oom_score_adj && echo $$ >{GROUP}/cgroup.procs && exec python3 -c 'bytearray(256 << 20)'",
                   check=False)
        self.assertEqual(hog.returncode, -signal.SIGKILL, hog)
        wait_for(lambda: "killed by the OOM killer" in root("journalctl", "--no-pager", f"_UID={UID}").stdout)
        systemctl("set-property", "--runtime", "dsandbox", "MemoryMax=infinity")
        self.assertEqual(self.value(), 43)
        self.assertEqual((serving(), main_pid()), (former, former))

    def upgraded(self, former):
        """What comes next finds the service ending, and systemd begins the new one."""
        shutil.copy2(SERVE, SERVE + ".new")
        os.rename(SERVE + ".new", SERVE)
        status, answer = ask("POST", "/v1/run", json.dumps({"code": "1"}))
        self.assertEqual(status, 503, answer)
        self.assertIn(b"nothing was done: try again, with the next one", answer)
        self.serves(former)
        self.assertEqual(self.value(), 43)

    def logged_out(self):
        """Without lingering nothing of the user's is left; the files of the session are."""
        root("loginctl", "disable-linger", USER)
        wait_for(lambda: root("pgrep", "-u", USER, check=False).returncode != 0 and not os.path.exists(RUNTIME))
        root("loginctl", "enable-linger", USER)
        begin_all()
        done = self.session("print('x' in globals(), open('file').read())")
        self.assertEqual(done.stdout, "False kept\n")
        self.assertIn("lost", done.stderr)


CASES = [Unit]

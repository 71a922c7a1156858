# SPDX-License-Identifier: MIT
"""
An attacker and its victims side by side.

An attacker is code in a sandbox of its own, a one-shot run or a session, that has said "ready" and stays until it is let
go. Victims are what was there before, a session, and what comes then, a one-shot run and a new session: they work
beside the attacker as they do alone.
"""
import contextlib
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
import cli_harness  # noqa: E402
from cli_harness import BACKEND, SETUP, wait_until  # noqa: E402,F401
from session_harness import SessionCase, dsb, end_service, kill_all, service_pid  # noqa: E402,F401

# Whether the engine's user is root, who gives each sandbox a user of its own; else all sandboxes are one kernel user.
OWN_UID = os.getuid() == 0 and not cli_harness.AS

# What every victim does: arithmetic of a library with threads, children of all kinds, files, a socket of its own.
ORDINARY = """
import multiprocessing, os, socket, subprocess, sys, tempfile, threading
import numpy
def _square(x): return x * x
print(int((numpy.eye(200) @ numpy.eye(200)).sum()))
print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], stdout=subprocess.PIPE, check=True).stdout.decode().strip())
with multiprocessing.get_context('fork').Pool(2) as _pool: print(_pool.map(_square, range(4)))
with tempfile.TemporaryFile() as _file: print(_file.write(b'x' * 1000))
_pair = socket.socketpair()
_thread = threading.Thread(target=_pair[0].sendall, args=(b'through',)); _thread.start(); _thread.join()
print(_pair[1].recv(100).decode())
for _end in _pair: _end.close()
"""
ORDINARY_SAYS = "200\n42\n[0, 1, 4, 9]\n1000\nthrough\n"
_READY = "\nprint('ready', flush=True)\n"
LIMIT = 300  # seconds until an attacker counts as stuck


class RedCase(SessionCase):
    def options(self):
        options = ["--backend", BACKEND, "run", "--no-service", "--base-dir", cli_harness.WORK.base]
        return options + (["--allow-unenforced=" + ",".join(self.allow)] if self.allow else [])

    def needs(self, *controls):
        for control in controls:
            if control in self.allow:
                self.skipTest(f"this engine cannot limit {control} here")

    @contextlib.contextmanager
    def one_shot_attacker(self, code, *args):
        """A one-shot run that has executed CODE, and keeps what it holds until the block ends."""
        code += _READY + "import sys; sys.stdin.read()"
        process = cli_harness.start(*self.options(), *args, "--timeout", "1h", "--stdin", "-", "-c", code, stdin=subprocess.PIPE)
        watch = threading.Timer(cli_harness.scaled(LIMIT), process.kill)
        watch.start()
        try:
            lines = []
            while "ready" not in lines:
                lines.append(process.stdout.readline().decode("utf-8", "replace").rstrip("\n"))
                if lines[-1] == "" and process.poll() is not None:
                    self.fail(f"the attack ended before it was ready: {process.stderr.read().decode('utf-8', 'replace')}")
            yield lines[:-1]
            self.assertIsNone(process.poll(), "the attacker is still there")
        finally:
            process.stdin.close()
            process.stdin = None
            process.communicate()
            watch.cancel()

    @contextlib.contextmanager
    def session_attacker(self, code, *args):
        """A session that has executed CODE, and keeps its variables until the block ends."""
        name = self.s[-50:].lstrip("-") + "-attacker"
        done = dsb("run", "--json", "--session", name, *self.settings(), *args, "--timeout", f"{LIMIT}s", "-c", code + _READY, limit=LIMIT)
        result = self.result(done)
        self.assertEqual(result["status"], "ok", done)
        try:
            yield result["stdout"].splitlines()[:-1]
        finally:
            self.text("session", "rm", name)

    def beside(self, code, look, *args):
        """Calls look(WHAT THE ATTACKER SAID) beside each kind of attacker."""
        for attacker in (self.one_shot_attacker, self.session_attacker):
            with self.subTest(attacker.__name__), attacker(code, *args) as said:
                look(said)

    def assert_others_work(self, code, *args, victim=ORDINARY, says=ORDINARY_SAYS):
        """While CODE has what it took, a session that was open goes on, and what is new works."""
        new = self.s[-50:].lstrip("-") + "-new"
        self.run_(victim + "\nkept = 'still here'")

        def look(_said):
            self.assertEqual(self.run_ok(victim)["stdout"], says)
            self.assertEqual(self.run_(victim + "\nprint(kept)")["stdout"], says + "still here\n")
            self.assertEqual(self.run_(victim, session=new)["stdout"], says)
            self.text("session", "rm", new)
        self.beside(code, look, *args)

# SPDX-License-Identifier: MIT
"""Commands with a terminal of their own, which the tester's shows."""
import fcntl
import os
import signal
import struct
import sys
import termios
import time
import unittest

import cli_harness
from cli_harness import AS, dsandbox, scaled, wait_until
from session_harness import SessionCase, Terminal, dsb, end_service, service_pid
from speed import setting

SHELL = ("--", "sh", "-c", "PS1='$ ' exec sh -i")
# Nothing but SIGKILL ends it, and its keys are its own.
FOREVER = ("--", "sh", "-c", "stty raw -echo; echo on; trap '' HUP; while :; do sleep .1; done")
TELLS = ("--", "sh", "-c", "trap 'echo hup > hup; exit 4' HUP; echo on; while :; do sleep .1; done")
# As a shell with job control: begins it in the background, and when it has stopped there, brings it to the front.
LEADER = """import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
status = os.waitpid(pid, os.WUNTRACED)[1]
print("stopped", os.WIFSTOPPED(status) and os.WSTOPSIG(status), flush=True)
os.tcsetpgrp(0, pid)
os.killpg(pid, signal.SIGCONT)
status = os.waitpid(pid, 0)[1]
os.tcsetpgrp(0, os.getpgrp())
sys.exit(os.waitstatus_to_exitcode(status))"""


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("<4H", rows, columns, 0, 0))


def modes(terminal):
    return termios.tcgetattr(terminal.master)


def has_our_keys(terminal):
    return bool(modes(terminal)[3] & (termios.ICANON | termios.ISIG))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


class Terminals(SessionCase):
    WAYS = ([], ["--no-service"])

    def terminal(self, *args, **how):
        terminal = Terminal(*args, **how)
        self.addCleanup(lambda: terminal.process.poll() is not None or terminal.process.kill())
        return terminal

    def once(self, more, *args, **how):
        return self.terminal("run", *self.settings(), *self.patient(), "--timeout", "10m", *more, *args, **how)

    def forever(self, *args):
        """It has the keys now."""
        terminal = self.terminal(*args, *FOREVER)
        terminal.expect("on\n", 60)
        self.assertFalse(has_our_keys(terminal))
        return terminal

    def ended(self, terminal, status):
        """And the tester's terminal is as it was."""
        deadline = time.monotonic() + scaled(60)
        while terminal.process.poll() is None and time.monotonic() < deadline:
            terminal.read(.1)
        while terminal.read(.1):
            pass
        after = modes(terminal)
        self.assertEqual((terminal.end(), after), (status, terminal.before), terminal.seen)

    def expect_size(self, terminal, rows, columns):
        """At a prompt, and the next one is there then. A new size comes when it comes."""
        deadline = time.monotonic() + scaled(30)
        terminal.send("stty size\r")
        while not terminal.expect(r"\r\n[0-9]+ [0-9]+\r\n\$ ").endswith(f"\n{rows} {columns}\r\n$ "):
            self.assertLess(time.monotonic(), deadline, "the new size did not come")
            time.sleep(.05)
            terminal.send("stty size\r")

    def use(self, terminal):
        terminal.expect(r"\$ ", 60)
        terminal.send("stty size; tty; test -t 2 && echo $TERM$((6*7))\r")
        terminal.expect("\r\n40 100\r\n/dev/pts/[0-9]+\r\nxterm42\r\n\\$ ")
        for columns in range(100, 132):
            resize(terminal, 50, columns + 1)
        self.expect_size(terminal, 50, 132)
        # What prints that it is on is in front by then.
        for key, what in (("\x03", "\r\n"), ("\x1c", "Quit"), ("\x1a", "Stopped")):
            terminal.send("(echo o''n; exec sleep 600)\r")
            terminal.expect("\non\r\n")
            terminal.send(key)
            terminal.expect(what + r".*\$ ")
        terminal.send("kill -9 %1; cat\r")
        terminal.expect("cat\r\n")
        terminal.send("a line\r")
        terminal.expect("a line\r\na line\r\n")
        terminal.send("\x04")
        terminal.expect(r"\$ ")
        terminal.send("echo ba''ck; printf '\\033[2J'; exit 5\r")
        terminal.expect("\r\nback\r\n\x1b\\[2J")

    def test_shell_in_a_session(self):
        self.new(*self.patient(), "--timeout", "10m")
        self.run_("x = 41", *self.patient(), "--timeout", "10m")
        terminal = self.terminal("exec", self.s, "-it", *SHELL)
        self.use(terminal)
        self.ended(terminal, 5)
        self.assertEqual(self.run_("x + 1", *self.patient(), "--timeout", "10m")["results"][-1]["text/plain"], "42")
        row = self.json("session", "history", self.s)["executions"][-2]
        self.assertTrue(row["command"], row)

    def test_shell_once(self):
        for more in self.WAYS:
            with self.subTest(more):
                terminal = self.once(more, "-i", "--tty", *SHELL)
                self.use(terminal)
                self.ended(terminal, 5)

    def test_standard_input_by_name(self):
        terminal = self.once([], "-t", "--stdin=-", *SHELL)
        self.use(terminal)
        self.ended(terminal, 5)

    def test_limits(self):
        for more in self.WAYS:
            run = ["run", *self.settings(), *more, "-it"]
            limit = setting(2)
            terminal = self.forever(*run, "--timeout", limit)
            terminal.expect(f"dsandbox: stopped after the time limit of {limit}", 60)
            self.ended(terminal, 124)
            terminal = self.terminal(*run, "--output-limit", "1KiB", "--", "yes")
            terminal.expect("more output than --output-limit", 60)
            self.ended(terminal, 137)

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_signals(self):
        for more in self.WAYS:
            run = ["run", *self.settings(), *more, "-it"]
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                terminal = self.forever(*run)
                terminal.process.send_signal(number)
                self.ended(terminal, 128 + number)
            for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1):
                terminal = self.forever(*run)
                terminal.process.send_signal(number)
                self.ended(terminal, -number)

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_signals_of_somebody_in_a_hurry(self):
        """Long before the command's grace is over."""
        for more in self.WAYS:
            with self.subTest(more):
                terminal = self.forever("run", *self.settings(), *self.patient(), "--timeout", "10m", *more, "-it")
                began = time.monotonic()
                while terminal.process.poll() is None and time.monotonic() < began + scaled(30):
                    terminal.process.send_signal(signal.SIGTERM)
                    terminal.read(.2)
                self.assertLess(time.monotonic() - began, scaled(30))
                self.assertIn(terminal.process.poll(), (128 + signal.SIGTERM, -signal.SIGTERM))
                self.ended(terminal, terminal.process.poll())

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_the_one_that_works_is_killed(self):
        terminal = self.forever("run", *self.settings(), "--no-service", "-it")
        [worker] = children(terminal.process.pid)
        os.kill(worker, signal.SIGKILL)
        terminal.expect("dsandbox: [^\n]*\r\n", 60)
        self.ended(terminal, 125)

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_the_service_is_killed(self):
        self.addCleanup(end_service)
        self.new()
        terminal = self.forever("exec", self.s, "-it")
        os.kill(service_pid(), signal.SIGKILL)
        terminal.expect("dsandbox: the service went away[^\n]*\r\n", 60)
        self.ended(terminal, 125)

    def test_the_session_is_ended(self):
        self.new()
        terminal = self.forever("exec", self.s, "-it")
        self.text("session", "rm", self.s)
        terminal.expect("dsandbox: stopped by somebody else[^\n]*\r\n", 60)
        self.ended(terminal, 130)

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_nobody_looks_any_more(self):
        """The command is told as by a terminal that is closed; its session goes on."""
        for ends in ("killed", "closed"):
            session = f"{self.s}-{ends}"
            self.new(*self.patient(), "--timeout", "10m", session=session)
            terminal = self.terminal("exec", session, "-it", *TELLS)
            terminal.expect("on\r?\n", 60)
            if ends == "killed":
                terminal.process.kill()
            else:
                os.close(terminal.master)
            terminal.process.wait(scaled(60))
            found = self.run_("open('hup').read()", *self.patient(), "--timeout", "10m", session=session)
            self.assertEqual(found["results"][-1]["text/plain"], "'hup\\n'")

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_stopped_and_continued(self):
        for more in self.WAYS:
            terminal = self.once(more, "-it", *SHELL)
            terminal.expect(r"\$ ", 60)
            for round_ in range(2):
                os.killpg(terminal.process.pid, signal.SIGTSTP)
                wait_until(lambda: modes(terminal) == terminal.before, 30)
                everybody = [terminal.process.pid, *children(terminal.process.pid)]
                wait_until(lambda: all(self.state(pid) == "T" for pid in everybody), 30)
                resize(terminal, 30 + round_, 90)
                os.killpg(terminal.process.pid, signal.SIGCONT)
                wait_until(lambda: not has_our_keys(terminal), 30)
                self.expect_size(terminal, 30 + round_, 90)
            terminal.send("exit 5\r")
            self.ended(terminal, 5)

    @staticmethod
    def state(pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]

    @unittest.skipIf(AS, "it is not ours to signal")
    def test_begun_in_the_background(self):
        """As an editor is: stopped until it is in front."""
        for more in self.WAYS:
            terminal = self.once(more, "-it", *SHELL, leader=(sys.executable, "-c", LEADER))
            terminal.expect(f"stopped {signal.SIGTTOU.value}\r\n", 60)
            self.use(terminal)
            self.ended(terminal, 5)

    def test_keys_while_much_is_shown(self):
        """What waits to be shown keeps no key waiting: it comes with the next piece, not behind all of them."""
        wrote, got = (os.path.join(cli_harness.WORK.base, self.s, name) for name in ("wrote", "got"))
        self.new(*self.patient(), "--timeout", "10m", "--output-limit", "64MiB")
        line = "trap 'echo > got' INT; echo on; head -c 6000000 /dev/zero; echo > wrote; sleep 600"
        terminal = self.terminal("exec", self.s, "-it", "--", "sh", "-c", line)
        terminal.expect("on\r\n", 60)
        self.assertTrue(wait_until(lambda: os.path.exists(wrote), 60))
        terminal.send("\x03")
        shown = 0
        while shown < 2 << 20:
            shown += len(os.read(terminal.master, 65536))
        self.assertTrue(wait_until(lambda: os.path.exists(got), 20))

    def test_before_it_shows_anything(self):
        """Ctrl-C is for us then."""
        terminal = self.terminal("run", *self.settings(), "-it", "--", "sleep", "600")
        wait_until(lambda: not modes(terminal)[3] & termios.ICANON, 60)
        terminal.send("\x03")
        self.ended(terminal, 130)

    def test_without_keys(self):
        terminal = self.terminal("run", *self.settings(), "-t", "--", "sh", "-c", "test -t 1 && cat; echo end")
        terminal.expect("end\r\n", 60)
        self.ended(terminal, 0)

    def test_where_there_is_none(self):
        for args, words in (
            (["run", "-it", "--", "sh"], "standard output is no terminal"),
            (["run", "-t", "--json", "--", "sh"], "--json is for programs"),
            (["run", "-t", "-c", "1"], "-t is for a command"),
            (["exec", "s", "-t", "a.py", "--", "b"], "-t is for a command"),
        ):
            done = dsandbox(*args)
            self.assertEqual(done.status, 125, done)
            self.assertIn(words, done.stderr if "--json" not in args else done.stdout + done.stderr)
        done = dsb("image", "build", "-t", "a name", "-f", "/no/such/file")  # short for --tag there
        self.assertNotIn("unexpected", done.stderr)
        self.assertIn("/no/such/file", done.stderr)


CASES = (Terminals,)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Terminals that dsb-init makes for programs: once, and in a session."""
import json
import struct
import unittest

from guest_client import (ACK, CANCEL, DONE, EXEC, FAILURE, STDERR, STDIN, STDOUT, WINDOW, as_process, frame, namespaces, once, program_command,
                          scaled)
from test_session import Base
import runner
import test_programs

ENV = test_programs.ENV
# Says when it is there, which window it has then, and after each change.
WATCHES = ("import os, signal, sys, termios, tty\ntty.setraw(0)\n"
           "def say(*_): os.write(1, b'%dx%d.' % tuple(os.get_terminal_size())[::-1])\n"
           "signal.signal(signal.SIGWINCH, say)\nsay()\n"
           "while (c := os.read(0, 1)) != b'q': os.write(1, b'[%02x]' % c[0])")


def window(rows, columns):
    return struct.pack("<2H", rows, columns)


class Case(test_programs.Programs):
    """A guest, frames of its one program, and what has come from it."""

    def begin(self, *argv, size=(24, 80), env=ENV, **options):
        self.guest = self.start_guest()
        self.out = b""
        options.setdefault("timeout_ms", int(scaled(20) * 1000))
        self.guest.send(EXEC, program_command(argv, env=env, window=size, **options), self.number)

    def type(self, data, kind=STDIN):
        self.guest.send(kind, data, self.number)

    def until(self, text):
        while text not in self.out:
            frame = self.guest.until(STDOUT, DONE, FAILURE)
            self.assertEqual(frame[0], STDOUT, (self.out, frame))
            self.out += frame[2]

    def end(self):
        while True:
            kind, number, payload = self.guest.until(STDOUT, STDERR, DONE, FAILURE)
            self.assertEqual(number, self.number, payload)
            self.assertIn(kind, (STDOUT, DONE), payload)  # what it says as an error is on the terminal as well
            if kind == DONE:
                self.guest.send(ACK, b"", self.number)
                return json.loads(payload)
            self.out += payload

    def run_program(self, *argv, typed=b"", **options):
        self.begin(*argv, **options)
        if typed:
            self.type(typed)
        self.type(b"")
        return self.end()


class Terminals(Case):
    def test_it_is_one(self):
        done = self.run_program("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo all >&2; stty size; echo $TERM; tty; ls /proc/self/fd; exit 3",
                                size=(33, 99))
        lines = self.out.decode().split("\r\n")
        self.assertEqual((lines[:3], done["status"], done["exit_code"]), (["all", "33 99", "xterm"], "exited", 3))
        self.assertRegex(lines[3], "^/dev/pts/[0-9]+$")
        self.assertEqual("".join(lines[4:]).split(), ["0", "1", "2", "3"], "3 is of ls itself")
        self.assertEqual((done["stdout_bytes"], done["stderr_bytes"]), (len(self.out), 0))

    @once
    def test_term_of_its_own(self):
        self.run_program("sh", "-c", "echo $TERM", env={**ENV, "TERM": "vt100"})
        self.assertEqual(self.out, b"vt100\r\n")

    @once
    def test_keys(self):
        """As the kernel has them: echo, lines, Ctrl-C for the group in front, Ctrl-D for the end."""
        self.begin("sh", "-c", "trap 'echo int' INT; echo on; cat; echo again; cat; echo $?; exit 7", grace_ms=60000)
        self.until(b"on\r\n")
        self.type(b"one\n")
        self.until(b"one\r\none\r\n")
        self.type(b"\x03")
        self.until(b"again\r\n")
        self.type(b"two\n\x04")
        done = self.end()
        self.assertIn(b"int\r\n", self.out)
        self.assertTrue(self.out.endswith(b"two\r\ntwo\r\n0\r\n"), self.out)
        self.assertEqual((done["status"], done["exit_code"]), ("exited", 7))

    @once
    def test_suspended_by_nobody(self):
        """Ctrl-Z: there is no shell that would continue it, and the kernel stops none that is without."""
        self.begin("sh", "-c", "echo on; read x; echo got $x")
        self.until(b"on\r\n")
        self.type(b"\x1a")
        self.type(b"a\n")
        self.until(b"got a\r\n")
        self.assertEqual(self.end()["exit_code"], 0)

    @once
    def test_raw_and_window(self):
        self.begin("python3", "-c", WATCHES)
        self.until(b"24x80.")
        self.type(b"\x03\r\xff")
        self.until(b"[03][0d][ff]")
        self.type(window(50, 132), WINDOW)
        self.until(b"50x132.")
        self.type(window(1, 65535), WINDOW)
        self.until(b"1x65535.")
        self.type(b"q")
        self.assertEqual(self.end()["exit_code"], 0)

    @once
    def test_window_before_it_starts(self):
        self.guest = self.start_guest()
        self.out = b""
        self.guest.raw(b"".join(frame(kind, payload, self.number) for kind, payload in (
            (EXEC, program_command(["stty", "size"], env=ENV, window=(24, 80))), (WINDOW, window(9, 8)), (STDIN, b""))))
        self.end()
        self.assertIn(self.out, (b"9 8\r\n", b"24 80\r\n"))

    @once
    def test_input_at_its_end(self):
        self.assertEqual(self.run_program("cat")["exit_code"], 0)
        self.run_program("sh", "-c", "cat > /dev/null; echo end", typed=b"text\n")
        self.assertEqual(self.out.replace(b"^D\x08\x08", b""), b"text\r\nend\r\n")
        self.assertEqual(self.run_program("cat", typed=b"within a line")["exit_code"], 0)
        self.assertEqual(self.out.count(b"within a line"), 2, self.out)

    @once
    def test_much_input_and_its_end(self):
        """Behind all of it, also where the terminal has no room for a while."""
        self.begin("sh", "-c", "stty -echo; echo on; sleep 1; wc -l")
        self.until(b"on\r\n")  # what is typed before is shown
        self.type(b"a line\n" * 40000)
        self.type(b"")
        self.end()
        self.assertEqual(self.out.replace(b"^D\x08\x08", b"").split()[-1], b"40000")

    @once
    def test_all_that_it_prints_comes(self):
        for n in (1, 4000, 100000):
            self.run_program("sh", "-c", "head -c %d /dev/zero | tr '\\0' x; exit 0" % n)
            self.assertEqual(len(self.out), n)

    def test_its_group_is_ended(self):
        mark = self.mark()
        self.begin("sh", "-c", "setsid sleep 600 & sh -mc 'trap \"\" HUP; sleep 600 #%s\n' & echo on; exit 0" % mark)
        self.type(b"")
        self.end()
        self.gone(mark)

    @once
    def test_stopped_as_a_terminal_that_is_closed(self):
        self.begin("sh", "-c", "trap 'echo hup; exit 4' HUP; echo on; while :; do sleep .05; done", grace_ms=60000)
        self.until(b"on")
        self.type(b"", CANCEL)
        done = self.end()
        self.assertEqual((done["status"], done["exit_code"], self.out[-5:]), ("cancelled", 4, b"hup\r\n"), self.out)
        done = self.run_program("sh", "-c", "trap '' HUP TERM; echo on; while :; do sleep .05; done", timeout_ms=test_programs.SHORT, grace_ms=300)
        self.assertEqual((done["status"], done["signal"], self.out), ("timeout", 9, b"on\r\n"))

    @once
    def test_nobody_reads(self):
        """What is typed has a bound: the program ends by its time all the same, and Ctrl-C is behind it."""
        self.begin("python3", "-c", "import tty, time\ntty.setraw(0)\nprint('on', end='', flush=True)\ntime.sleep(600)", timeout_ms=int(scaled(2) * 1000))
        self.until(b"on")
        self.type(b"x" * 300000)
        self.assertEqual(self.end()["status"], "timeout")

    @once
    def test_output_limit(self):
        done = self.run_program("yes", output_limit=1000, output_kill=True)
        self.assertEqual((done["status"], len(self.out)), ("output_limit", 1000))

    @once
    def test_frames_that_are_none(self):
        for size in ((0, 80), (65535, 65535)):  # a window without a row is the host's doing, and the kernel's to judge
            self.begin("stty", "size", size=size)
            self.type(b"")
            self.end()
            self.assertEqual(self.out, b"%d %d\r\n" % size)
        self.begin("cat")
        self.type(b"\x01\x00\x02", WINDOW)
        self.assertIn("window", self.failure(self.guest))


class Once(Terminals):
    number = 1

    def start_guest(self):
        return self.start(no_interpreter=True)


@as_process
class AsProcess(Once, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Once, unittest.TestCase):
    prefix = namespaces() or ()


class InSession(Terminals, Base):
    """While the interpreter idles."""
    session = None

    def start_guest(self):
        if self.session is None:
            self.session = Base.start(self, config_env=ENV)
            self.session.run("x = 41")
        self.session.number += 1
        self.session.guest.frames.clear()
        return self.session.guest

    @property
    def number(self):
        return self.session.number

    def end(self):
        done = Terminals.end(self)
        self.assertEqual(done["state"]["outcome"], "kept")
        return done

    def tearDown(self):
        if self.session is not None and not any(frame[0] == FAILURE for frame in self.session.guest.frames):
            self.assertEqual(self.session.run("x + 1").value, "42")

    def test_streams_of_the_next_one(self):
        self.run_program("sh", "-c", "stty raw; echo on; sleep 600 &")
        result = self.session.program("sh", "-c", "test -t 0 || cat; test -t 1 || echo none >&2", stdin=b"piped")
        self.assertEqual((result.out, result.err), ("piped", "none\n"))
        self.assertEqual(self.session.run("import sys\nprint(sys.stdout.isatty())").out, "False\n")


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class SessionAsPid1(InSession, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

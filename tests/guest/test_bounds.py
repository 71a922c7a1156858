#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What dsb-init does for an interpreter that misbehaves has an end: in the place of start.py stands a program of the test.

Every case runs as an ordinary process and as pid 1 of new namespaces; the client is guest_client.py's.
"""
import json
import os
import shutil
import tempfile
import unittest

import guest_client
from guest_client import DONE, FAILURE, Guest, as_process, namespaces
import runner
from test_session import Session

STARTS_MAX = 6  # the first, and five again
# What every program here begins with: it leaves a mark, and takes the messages that dsb-init sends at the start.
BEGIN = """
import os, signal, socket, struct, sys, time
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "starts"), "a") as out:
    out.write("x")
control = socket.socket(fileno=3)
def answer(letter):
    return struct.pack("<cBHIQ", letter, 0, 0, 0, 0)
def taken():
    "An execution, whole: dsb-init sends the next interpreter what this one did not wait for."
    left = 0
    while left <= 0:
        head = control.recv(1 << 16)
        left = struct.unpack("<cIIQ", head)[1] if head[:1] == b"E" else 0
    while left > 0:
        left -= len(control.recv(1 << 16))
def children(step):
    for _ in range(3):
        if os.fork() == 0:
            try:
                while True: step()
            finally:
                os._exit(0)
"""
SESSION = BEGIN + "for _ in range(4): control.recv(1 << 16)\n"
ONE_SHOT = BEGIN + "control.recv(1 << 16)\n"


class Cases:
    prefix = ()

    def interpreter(self, text):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory, True)
        os.chmod(self.directory, 0o777)
        shutil.copy(os.path.join(guest_client.GUEST, "dsb-init"), self.directory)
        with open(os.path.join(self.directory, "start.py"), "w", encoding="utf-8") as out:
            out.write(text)
        before, guest_client.GUEST = guest_client.GUEST, self.directory
        self.addCleanup(setattr, guest_client, "GUEST", before)

    def starts(self):
        return os.path.getsize(os.path.join(self.directory, "starts"))

    def session(self):
        session = Session(self.prefix, checkpoint="off")
        self.addCleanup(session.guest.close)
        return session

    def fails(self, guest, words):
        frame = guest.until(FAILURE, DONE)
        self.assertEqual(frame[0] if frame else None, FAILURE, frame)
        self.assertIn(words, json.loads(frame[2])["message"])
        self.assertIsNone(guest.receive())

    def test_an_interpreter_that_ends_again_and_again(self):
        self.interpreter(SESSION + "control.send(answer(b'R'))\n")
        session = self.session()
        self.fails(session.guest, "again and again")
        self.assertEqual(self.starts(), STARTS_MAX)

    def test_an_interpreter_that_takes_no_execution(self):
        self.interpreter(SESSION + "control.shutdown(socket.SHUT_RD)\ncontrol.send(answer(b'R'))\ntime.sleep(600)\n")
        session = self.session()
        session.send("1")
        self.fails(session.guest, "again and again")
        self.assertEqual(self.starts(), STARTS_MAX)

    def test_an_interpreter_that_takes_some(self):
        """What ends with an execution is no loss of an idle one: the session goes on for as long as the host likes."""
        self.interpreter(SESSION + "control.send(answer(b'R'))\ntaken()\nos._exit(3)\n")
        session = self.session()
        for _ in range(STARTS_MAX + 2):
            self.assertEqual(session.run("1").outcome, "lost")

    def test_what_the_children_of_a_dead_interpreter_write(self):
        """To the control socket of a session, without an end: it is replaced all the same."""
        self.interpreter(SESSION + "control.send(answer(b'R'))\ntaken()\n"
                         "children(lambda: control.send(answer(b'x')))\nos._exit(3)\n")
        session = self.session()
        for _ in range(2):
            result = session.run("1")
            self.assertEqual((result.code, result.outcome), (3, "lost"))

    def test_what_the_children_of_a_dead_one_shot_interpreter_write(self):
        """To its control socket and its log."""
        self.interpreter(ONE_SHOT + "children(lambda: (control.send(b'x' * 1000), os.write(2, b'x' * 1000)))\nos._exit(3)\n")
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        guest.configure()
        self.fails(guest, "the interpreter ended")

    def test_who_sends_signals_all_the_time(self):
        """Is not listened to all the time: output comes through, and the time limit holds."""
        self.interpreter(SESSION + "control.send(answer(b'R'))\ntaken()\n"
                         "above = os.getppid()\nchildren(lambda: os.kill(above, signal.SIGCHLD))\ntime.sleep(600)\n")
        session = self.session()
        session.send("1", timeout_ms=500, grace_ms=0)
        self.assertEqual(session.finish().status, "timeout")


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

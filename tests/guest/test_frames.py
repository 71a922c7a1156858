#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The stream of dsb-init: frames of every kind, whole, broken and in pieces, and a host that goes away or does not read.

Every case runs as pid 1 of new namespaces where that is possible, and where it can differ also as an ordinary process.
"""
import json
import struct
import time
import unittest

from guest_client import (ANSWER, CLAIM, CONFIG, CONFIG_NUMBERS, CONTROL, DONE, EXEC, PROTOCOL, READY, STDERR, STDIN, STDOUT,
                          Guest, GuestCase, as_process, command, config_command, control_command, exec_command, golden,
                          namespaces, once, scaled)
import runner


class Cases(GuestCase):
    def test_host_goes_away(self):
        guest = self.start()
        guest.execute("import time\nprint('go', flush=True)\ntime.sleep(300)")
        guest.until(STDOUT)
        start = time.monotonic()
        guest.close()
        self.assertLess(time.monotonic() - start, scaled(10))

    def test_host_that_does_not_read(self):
        guest = self.start()
        guest.execute("while True: print('x' * 1000)", timeout_ms=1000, output_limit=1 << 30)
        time.sleep(4)
        done = guest.until(DONE)
        self.assertEqual(json.loads(done[2])["status"], "timeout")

    def test_idle(self):
        guest = self.start(idle_ms=300)
        self.assertIsNone(guest.receive())

    def test_life(self):
        guest = self.start(life_ms=int(1000 * scaled(1.5)))
        guest.execute("import time\ntime.sleep(60)", timeout_ms=60000)
        self.assertEqual(json.loads(guest.until(DONE)[2])["status"], "timeout")

    def test_life_of_a_session(self):
        guest = self.start(life_ms=int(1000 * scaled(1.5)), session=True)
        guest.execute("import time\ntime.sleep(60)", timeout_ms=60000)
        done = json.loads(guest.until(DONE)[2])
        self.assertEqual(done["status"], "timeout")
        self.assertEqual((done["state"]["outcome"], done["state"]["reason"]), ("lost", "the life time of the session is over"))

    def test_one_that_waits(self):
        """Its times begin when somebody claims it; until then nothing else may come, and nobody claims it twice."""
        for session in (False, True):
            with self.subTest(session):
                guest = self.start(waits=True, session=session, idle_ms=1000, life_ms=int(1000 * scaled(6)))
                self.assertEqual(guest.receive()[:2], (READY, 0))
                time.sleep(2)  # longer than its idle time
                guest.send(CLAIM, b"", 0)
                guest.execute("print(1)")
                self.assertEqual(json.loads(guest.until(DONE)[2])["status"], "exited")
                self.assertEqual(guest.stream(STDOUT), b"1\n")
        guest = self.start(waits=True, session=True, idle_ms=int(1000 * scaled(1)))
        guest.receive()
        guest.send(CLAIM, b"", 0)
        self.assertIsNone(guest.receive())  # idle from then on
        for kind, payload in ((EXEC, exec_command("1")), (CONTROL, control_command("vars")), (STDIN, b"")):
            guest = self.start(waits=True, session=True)
            guest.send(kind, payload)
            self.assertIn("nobody has claimed", self.failure(guest))
        for config in ({"waits": True}, {}):
            guest = self.start(**config)
            guest.send(CLAIM, b"", 0)
            guest.send(CLAIM, b"", 0)
            self.assertIn("nothing waits", self.failure(guest))

    @once
    def test_bad_frames(self):
        good = exec_command("1", "a.py", ["b"], {"C": "d"})
        for kind, payload, words in (
            (99, b"", "unknown type"),
            (EXEC, b"", "version"),
            (EXEC, b'{"code":"1","timeout_ms":1000}', "version"),
            (EXEC, command(numbers=[1, 1, 1], protocol=PROTOCOL - 1), "version 7"),
            (EXEC, command(numbers=[1, 1, 1], protocol=PROTOCOL + 1), "one version"),
            (EXEC, good[:47], "too short"),
            (EXEC, good[:-1], "variables"),
            (EXEC, good + b"x", "after its last part"),
            (EXEC, good[:8] + b"\5" + good[9:], "arguments"),
            (EXEC, good[:12] + b"\2" + good[13:], "variables"),
            (EXEC, good[:8] + b"\xff" * 4 + good[12:], "too many"),
            (EXEC, good[:12] + b"\xff" * 4 + good[16:], "too many"),
            (EXEC, good[:48] + b"\xff" * 4 + good[52:], "text or name"),
            (EXEC, command(8, [1, 1, 1]), "flags"),
            (EXEC, command(0, [0, 1, 1]), "timeout_ms"),
            (EXEC, command(0, [1 << 40, 1, 1]), "timeout_ms"),
            (EXEC, command(0, [1, (1 << 64) - 5, 1]), "grace_ms"),
            (EXEC, command(0, [1, 1, 1 << 63]), "output_limit"),
            (EXEC, command(0, [1, 1, 1, 1]), "a window without a terminal"),
            (EXEC, exec_command("1", "a" * 4097), "too long"),
            (EXEC, exec_command("1", "a\0b"), "text or name"),
            (EXEC, exec_command("1", "a", ["b\0"]), "arguments"),
            (EXEC, exec_command("1", "a", [], {"A=": "b"}), "variables"),
            (EXEC, exec_command("1", "a", [], {"": "b"}), "variables"),
            (EXEC, exec_command("1", "a", [], {"A": "\0"}), "variables"),
            (CONTROL, control_command("vars"), "without a session"),
            (CONFIG, config_command(), "second config"),
        ):
            guest = self.start()
            guest.send(kind, payload)
            self.assertIn(words, self.failure(guest), (kind, payload))
        for payload, words in (
            (b'{"idle_ms":1000,"life_ms":1000}', "version"),
            (config_command(session=True)[:-1], "text or name"),
            (command(4, CONFIG_NUMBERS.values()), "flags"),
            (command(0, CONFIG_NUMBERS.values(), text="x"), "does not belong"),
            (command(0, CONFIG_NUMBERS.values(), name="x"), "does not belong"),
            (command(0, CONFIG_NUMBERS.values(), argv=["x\0"]), "arguments"),
            (config_command(idle_ms=0), "idle_ms"),
            (config_command(life_ms=1 << 40), "life_ms"),
            (config_command(results_limit=1 << 20), "results_limit"),
            (config_command(results_limit=16 << 20), "results_limit"),
            (config_command(memory=1 << 63), "memory"),
        ):
            guest = Guest(self.prefix)
            self.addCleanup(guest.close)
            guest.send(CONFIG, payload, 0)
            self.assertIn(words, self.failure(guest), payload)
        for payload, words in (
            (control_command("vars", 0), "timeout_ms"),
            (control_command("vars", 600001), "timeout_ms"),
            (command(1, [1], name="vars"), "flags"),
            (command(0, [1], text="x", name="vars"), "does not belong"),
            (command(0, [1], name="vars", argv=["x"]), "does not belong"),
            (control_command("get", name="a\0b"), "variables"),
        ):
            guest = self.start(session=True)
            guest.send(CONTROL, payload)
            self.assertIn(words, self.failure(guest), payload)
        guest = self.start()
        guest.raw(struct.pack("<IBI", 1 << 30, EXEC, 1))
        self.assertIn("too long", self.failure(guest))

    def test_two_executions_at_once(self):
        guest = self.start()
        guest.execute("import time\ntime.sleep(60)")
        guest.execute("1")
        self.assertIn("one execution", self.failure(guest))

    def test_config_must_come_first(self):
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        guest.execute("print(1)")
        self.assertIn("config", self.failure(guest))

    @once
    def test_frames_in_pieces(self):
        guest = self.start()
        payload = exec_command("print(2)", timeout_ms=9000)
        for byte in struct.pack("<IBI", len(payload), EXEC, 77) + payload:
            guest.raw(bytes([byte]))
        done = guest.until(DONE)
        self.assertEqual(done[1], 77)
        self.assertEqual(guest.stream(STDOUT), b"2\n")

    @once
    def test_golden_bytes(self):
        """What the host's writer makes (tests/unit/test_command.c) is what the code finds."""
        guest = self.start()
        guest.send(EXEC, golden("exec"))
        guest.send(STDIN)
        self.assertEqual(json.loads(guest.until(DONE)[2])["status"], "exited", guest.stream(STDERR))
        self.assertEqual(guest.stream(STDOUT).decode(), "['/sandbox/main.py', '\u00e4', '']\nenviron({'A': 'b=c', 'E': ''})\n")
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        guest.receive()
        guest.send(CONFIG, golden("config"), 0)
        guest.send(EXEC, exec_command("import os, sys\nx = dict(os.environ), 'wave' in sys.modules", filename="<string>"))
        done = json.loads(guest.until(DONE)[2])
        self.assertEqual((done["status"], done["state"]["point"]), ("exited", "off"))
        guest.send(CONTROL, golden("control"), 1 << 31)
        self.assertEqual(json.loads(guest.until(ANSWER)[2]),
                         {"name": "x", "type": "tuple", "value": {"text/plain": "({'LANG': 'C.UTF-8'}, True)"}})


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

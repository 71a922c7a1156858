#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""When dsb-init takes rollback points: in quiet (idle), after each execution (always), never (off).

Every case runs as pid 1 of new namespaces and, where it can differ, as an ordinary process; the client is guest_client.py's.
The interpreter is the real one, which also writes into a file for which execution it was asked to copy itself.
"""
import json
import os
import re
import shutil
import tempfile
import time
import unittest

import guest_client
from guest_client import (CONFIG, DONE, EXEC, FAILURE, Guest, as_process, command, exec_command, frame,
                          namespaces, once, scaled)
import runner
from test_session import IGNORES, Session

QUIET = .05
UNSAVED = 10
MAKE = "    def make(self, number, nonce):\n"
MARK = ("        with open(os.path.dirname(__file__) + '/asked', 'a') as out:\n"
        "            out.write('%d ' % number)\n")
CRASH = "import os\nos._exit(3)"


class Cases:
    prefix = ()

    def setUp(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory, True)
        payload = shutil.copytree(guest_client.GUEST, directory + "/guest")
        for path, mode in ((directory, 0o777), (payload, 0o777)):
            os.chmod(path, mode)
        with open(payload + "/point.py", encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text.count(MAKE), 1)
        os.remove(payload + "/point.py")
        with open(payload + "/point.py", "w", encoding="utf-8") as file:
            file.write(text.replace(MAKE, MAKE + MARK))
        self.marks = payload + "/asked"
        self.addCleanup(setattr, guest_client, "GUEST", guest_client.GUEST)
        guest_client.GUEST = payload

    def asked(self):
        """After which executions the interpreter was asked for a copy."""
        if not os.path.exists(self.marks):
            return []
        with open(self.marks, encoding="utf-8") as file:
            return list(map(int, file.read().split()))

    def await_point(self, number):
        until = time.monotonic() + scaled(30)
        while number not in self.asked():
            self.assertLess(time.monotonic(), until, "no point after execution %d: %s" % (number, self.asked()))
            time.sleep(.01)

    def start(self, checkpoint="idle", **config):
        session = Session(self.prefix, checkpoint=checkpoint, **config)
        self.addCleanup(session.guest.close)
        return session

    def at_rest(self, **config):
        session = self.start(**config)
        self.await_point(0)
        return session

    def rolled_back(self, result, to, number):
        self.assertEqual((result.outcome, result.state["to"]), ("rolled_back", to), result.state)
        gone = number - 1 - to
        last = "the last execution" if gone == 1 else "the last %d executions" % gone
        said = re.search(r"; what (.*) before it did to variables is gone", result.state["reason"])
        self.assertEqual(said and said[1], last if gone else None, result.state)

    def back_to(self, result, number):
        """The execution that a crash goes back to, as an answer says that has no point of its own."""
        said = re.fullmatch(r"pending: a crash before it is taken loses the variables of the last (?:(\d+) executions|execution)",
                            result.state["point"])
        self.assertTrue(said, result.state)
        return number - int(said[1] or 1)

    def burst(self, session, executions):
        """Executions in a row; how many of them were not sent within the time that counts as quiet."""
        slow, before = 0, None
        for _ in range(executions):
            now = time.monotonic()
            slow += before is not None and now - before >= QUIET
            before = now
            result = session.run("n = %d" % (session.number + 1))
            self.assertEqual((result.outcome, result.status), ("kept", "exited"), result.state)
            self.assertIn(self.back_to(result, session.number), self.asked())
        return slow

    # --- idle

    @once
    def test_a_burst_pays_for_one_copy(self):
        session = self.at_rest()
        for _ in range(20):
            before = len(self.asked())
            slow = self.burst(session, 10)
            self.await_point(session.number)
            self.assertLessEqual(len(self.asked()) - before, 1 + slow, self.asked())
            if slow <= 4:
                return
        self.skipTest("this machine has no ten executions in a row")

    def test_a_time_limit_right_after_a_burst(self):
        session = self.at_rest()
        self.burst(session, 5)
        result = session.run("n = 'wrong'\n" + IGNORES, timeout_ms=int(1000 * scaled(.15)), grace_ms=200)
        newest = [number for number in self.asked() if number < session.number][-1]
        self.rolled_back(result, newest, session.number)
        self.assertEqual(result.status, "timeout")
        self.assertEqual(session.run("globals().get('n', 0)").value, str(newest))

    def test_what_was_there_in_quiet_is_kept(self):
        session = self.start()
        session.run("x = [1]")
        self.await_point(1)
        self.rolled_back(session.run("x = 'wrong'\n" + CRASH), 1, 2)
        self.assertEqual(session.run("x").value, "[1]")

    def test_no_point_yet(self):
        """The code is there before the interpreter is: there is no quiet before it."""
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        guest.receive()
        frames = ((CONFIG, guest_client.config_command(session=True, checkpoint="idle"), 0),
                  (EXEC, exec_command("x = 1\n" + CRASH), 1))
        guest.raw(b"".join(frame(*each) for each in frames))
        state = json.loads(guest.until(DONE)[2])["state"]
        self.assertNotIn(0, self.asked())
        self.assertEqual((state["outcome"], state["to"], state["point"]),
                         ("lost", None, "pending: a crash before it is taken loses all variables"))
        self.assertEqual(state["reason"], "the code ended the interpreter with exit status 3; there was no rollback point: "
                                          "none yet, since the session had not been quiet")
        self.await_point(1)

    def test_after_a_crash_the_next_copy_does_not_wait(self):
        session = self.start()
        session.run("x = 1")
        self.await_point(1)
        for _ in range(3):
            result = session.run(CRASH)
            self.rolled_back(result, session.number - 1, session.number)
            self.assertEqual(result.state["point"], "taken")
        self.assertEqual(session.run("x").value, "1")

    @once
    def test_a_session_that_never_rests(self):
        """Has a point all the same once ten seconds of executions are in none."""
        session = self.at_rest()
        first = session.run("import time\nn = 1\ntime.sleep(%g)" % (UNSAVED / 2 + .1))
        self.assertEqual(self.back_to(first, 1), 0)
        second = session.run("n = 2\ntime.sleep(%g)" % (UNSAVED / 2 + .1))
        rested = 1 in self.asked()  # this machine was slow
        self.assertEqual(second.state["point"] == "taken", not rested, (second.state, self.asked()))
        self.rolled_back(session.run(CRASH), 2 if 2 in self.asked() else 1, 3)

    @once
    def test_operations_on_variables(self):
        session = self.at_rest()
        path = os.path.dirname(self.marks) + "/state"
        session.run("x = 5")
        self.assertEqual([row["name"] for row in session.control(op="vars")["vars"]], ["x"])
        self.await_point(1)  # it came later, but it came
        self.assertEqual(session.control(op="save", file=path)["saved"], ["x"])
        session.control(op="reset")
        session.run("y = 1")
        asked = len(self.asked())
        self.assertEqual(session.control(op="restore", file=path)["restored"], ["x"])
        until = time.monotonic() + scaled(30)
        while len(self.asked()) == asked:
            self.assertLess(time.monotonic(), until, "no point after variables came back")
            time.sleep(.01)
        self.assertEqual(session.run(CRASH).outcome, "rolled_back")
        self.assertEqual(session.run("x, y").value, "(5, 1)")

    @once
    def test_memory(self):
        session = self.at_rest(memory=200 << 20)
        if session.hello["cgroup"].get("memory", -1) != -1:
            self.skipTest("the tests have a memory limit of their own")
        session.run("a = 1")
        self.await_point(1)
        result = session.run("x = bytearray(b'x') * (130 << 20)")
        self.assertRegex(result.state["point"], r"^skipped: memory \(it takes a limit of \d+ MiB\), a crash loses the variables of the last execution$")
        self.rolled_back(session.run(CRASH), 1, 3)
        session.run("x = bytearray(b'x') * (60 << 20)")
        self.await_point(session.number)
        result = session.run("y = bytearray(b'x') * (60 << 20)")
        self.assertRegex(result.state["point"], r"^skipped: memory \(it takes a limit of \d+ MiB\), a crash loses all variables$")
        result = session.run(CRASH)
        self.assertEqual(result.outcome, "lost")
        self.assertIn("there was no rollback point: memory", result.state["reason"])

    @once
    def test_nothing_is_done_when_nothing_is_due(self):
        session = self.at_rest()
        session.run("x = 1")
        self.await_point(1)
        session.run("x")  # it waited for the copy
        self.await_point(2)

        def turns():
            with open("/proc/%d/status" % session.pid(), encoding="ascii") as file:
                return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])

        session.control(op="vars")  # as well
        before = turns()
        time.sleep(.5)
        self.assertLess(turns() - before, 10)
        self.assertEqual(self.asked(), [0, 1, 2])

    # --- the others

    @once
    def test_always(self):
        session = self.start(checkpoint="always")
        for _ in range(5):
            self.assertEqual(session.run("1").state["point"], "taken")
        self.await_point(5)
        self.assertEqual(self.asked(), [0, 1, 2, 3, 4, 5])

    def test_off(self):
        session = self.start(checkpoint="off")
        for _ in range(3):
            self.assertEqual(session.run("x = 1").state["point"], "off")
        result = session.run(CRASH)
        self.assertEqual(result.outcome, "lost")
        self.assertIn("there was no rollback point: they are off", result.state["reason"])
        session.control(op="vars")
        self.assertEqual(self.asked(), [])

    @once
    def test_flags_that_do_not_go_together(self):
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        guest.receive()
        numbers = guest_client.CONFIG_NUMBERS.values()
        guest.send(CONFIG, command(guest_client.SESSION | 4, numbers), 0)
        self.assertIn(b"flags that do not go together", guest.until(FAILURE)[2])


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

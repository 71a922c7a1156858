#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that dsb-init starts itself, in the place of code: one-shot, and in a session while its interpreter idles."""
import os
import shutil
import signal
import tempfile
import time
import unittest

from guest_client import (ACK, CANCEL, CLAIM, CONFIG, DONE, EXEC, FAILURE, HELLO, READY, STDIN, STDOUT, Guest, GuestCase, Outcome,
                        as_process, command, config_command, exec_command, namespaces, once, program_command, scaled)
from test_session import Base
import runner

PATH = "/usr/local/bin:/usr/bin:/bin"
ENV = {"PATH": PATH, "K": "v"}
SHORT = int(scaled(.8) * 1000)  # a shell has begun by then
# Leaves a process in a session of its own, whose parent is dead, which holds the pipe and writes its number first.
LEAVES = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  print(os.getpid(), flush=True)\n  time.sleep(600)\n os._exit(0)\nos.wait()\ntime.sleep(.3)"


def python(code):
    return ("python3", "-c", code)


def running(mark):
    """Processes that have this in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if mark.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


class Programs(GuestCase):
    def directory(self):
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path)
        return path

    def mark(self):
        return "mark-%d-%s" % (os.getpid(), os.urandom(6).hex())

    def gone(self, mark):
        until = time.monotonic() + scaled(5)
        while running(mark) and time.monotonic() < until:
            time.sleep(.02)
        self.assertEqual(running(mark), [])

    def there(self, mark):
        """What was to begin has begun, and is not ended."""
        until = time.monotonic() + scaled(5)
        while not running(mark) and time.monotonic() < until:
            time.sleep(.02)
        self.assertTrue(running(mark))


class Once(Programs):
    """One program in a sandbox of its own, which has no interpreter."""

    def begin(self, argv, env=ENV, **options):
        guest = self.start(no_interpreter=True)
        guest.send(EXEC, program_command(argv, env=env, **options))
        return guest

    def end(self, guest):
        done = guest.until(DONE, FAILURE)
        self.assertIsNotNone(done, "the stream ended")
        self.assertEqual(done[0], DONE, done)
        guest.send(ACK)
        self.assertIsNone(guest.receive(), "something came after done")
        self.assertEqual(guest.process.wait(60), 0)
        outcome = Outcome(guest, done)
        self.assertIsNone(outcome.report)
        return outcome

    def run_program(self, *argv, stdin=b"", **options):
        guest = self.begin(argv, **options)
        for i in range(0, len(stdin), 1 << 16):
            guest.send(STDIN, stdin[i : i + (1 << 16)])
        guest.send(STDIN)
        return self.end(guest)

    def ended(self, outcome, status="exited", code=0, number=0):
        self.assertEqual((outcome.done["status"], outcome.done["exit_code"], outcome.done["signal"]), (status, code, number),
                         (outcome.out, outcome.err))
        return outcome

    def test_output_and_status(self):
        r = self.ended(self.run_program("sh", "-c", "echo one; echo two >&2; exit 7"), code=7)
        self.assertEqual((r.out, r.err), (b"one\n", b"two\n"))
        self.assertGreaterEqual(r.done["wall_ms"], 0)
        self.assertGreater(r.done["memory_peak_bytes"], 0)
        self.ended(self.run_program("sh", "-c", "kill -9 $$"), "signal", -1, 9)

    @once
    def test_words(self):
        argv = ["", "a b", "'\"$x", "ä", "-", "\n"]
        r = self.run_program("printf", "%s|", *argv)
        self.assertEqual(r.out.decode(), "".join(a + "|" for a in argv))
        r = self.run_program("env", env={"A": "1", "B": "x=y", "PATH": PATH, "C": ""})
        self.assertEqual(set(r.out.decode().split("\n")[:-1]), {"A=1", "B=x=y", "PATH=" + PATH, "C="})

    @once
    def test_the_later_variable_counts(self):
        payload = command(4, [20000, 500, 1 << 20], argv=["env"], env={"A": "1", "AB": "2", "PATH": PATH})
        again = payload[:12] + b"\x04" + payload[13:] + b"\x01\x00\x00\x00A\x01\x00\x00\x003"
        guest = self.start(no_interpreter=True)
        guest.send(EXEC, again)
        guest.send(STDIN)
        self.assertEqual(sorted(self.end(guest).out.split()), [b"A=3", b"AB=2", b"PATH=" + PATH.encode()])

    @once
    def test_where_it_runs(self):
        here = os.path.realpath(self.directory())
        self.assertEqual(self.run_program("pwd", directory=here).out, here.encode() + b"\n")
        top = self.run_program("pwd").out
        self.assertIn(top, (b"/sandbox\n", b"/\n"))  # an ordinary process may have no /sandbox
        r = self.ended(self.run_program("pwd", directory="/nowhere/at/all"), code=126)
        self.assertEqual((r.out, r.err), (b"", b"dsandbox: cannot change to the directory /nowhere/at/all: No such file or directory\n"))
        r = self.ended(self.run_program("pwd", directory="nowhere"), code=126)
        self.assertIn(b"directory nowhere:", r.err)

    @once
    def test_missing_and_not_executable(self):
        here = self.directory()
        with open(here + "/text", "w") as f:
            f.write("echo no\n")
        r = self.ended(self.run_program("no-such-program"), code=127)
        self.assertEqual(r.err, b"dsandbox: cannot run no-such-program: No such file or directory\n")
        self.ended(self.run_program("/no/such/program"), code=127)
        r = self.ended(self.run_program(here + "/text"), code=126)
        self.assertIn(b"Permission denied", r.err)
        self.ended(self.run_program("text", env={"PATH": here}), code=126)
        os.chmod(here + "/text", 0o755)
        r = self.ended(self.run_program("./text", directory=here), code=126)  # no shell runs it
        self.assertIn(b"Exec format error", r.err)
        self.ended(self.run_program(here), code=126)
        self.ended(self.run_program("true", "x" * (200 << 10)), code=126)  # more than execve takes
        self.ended(self.run_program("x" * 5000), code=127)

    @once
    def test_path_of_its_own_environment(self):
        here = self.directory()
        with open(here + "/tool", "w") as f:
            f.write("#!/bin/sh\necho found $0\n")
        os.chmod(here + "/tool", 0o755)
        r = self.run_program("tool", env={"PATH": "/nowhere::%s:/bin" % here})
        self.assertEqual(r.out.decode(), "found %s/tool\n" % here)
        self.ended(self.run_program("tool", env={"PATH": ":"}, directory=here), code=127)  # not in the working directory
        self.ended(self.run_program("true", env={}))

    def test_input(self):
        self.assertEqual(self.ended(self.run_program("cat")).out, b"")
        data = bytes(range(256)) * 2000
        r = self.ended(self.run_program("cat", stdin=data))
        self.assertEqual(r.out, data)  # exact bytes
        self.ended(self.run_program("true", stdin=b"x" * (1 << 20)))

    def test_descriptors_group_and_signals(self):
        r = self.run_program("sh", "-c", "ls /proc/self/fd; grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d' ' -f1,5,6 /proc/$$/stat")
        lines = r.out.decode().split()
        self.assertEqual(lines[:3], ["0", "1", "2"])
        self.assertEqual(lines[3], "3", "of ls itself")
        self.assertEqual(set(lines[5:8:2]), {"0" * 16})
        self.assertEqual(len(set(lines[8:11])), 1, "it leads its own group and session")

    def test_its_end_is_that_of_the_direct_child(self):
        began = time.monotonic()
        mark = self.mark()
        r = self.ended(self.run_program("sh", "-c", "(echo first; exec sleep 600 #%s\n) & sleep .2; echo last" % mark))
        self.assertLess(time.monotonic() - began, scaled(10))
        self.assertEqual(r.out, b"first\nlast\n")
        self.gone(mark)

    def test_what_hides_is_ended_too(self):
        mark = self.mark()
        r = self.ended(self.run_program(*python(LEAVES + " #" + mark)))
        self.assertTrue(r.out.strip().isdigit(), r)
        self.gone(mark)

    def test_a_writer_in_the_background_is_no_end(self):
        r = self.ended(self.run_program("sh", "-c", "yes & head -c 2000000 /dev/zero"))
        self.assertTrue(r.done["stdout_truncated"])
        self.assertEqual(len(r.out), 1 << 20)

    def test_timeout(self):
        mark = self.mark()
        r = self.run_program("sh", "-c", "echo part; sleep 600; echo never #" + mark, timeout_ms=SHORT)
        self.assertEqual((r.done["status"], r.out), ("timeout", b"part\n"))
        self.gone(mark)
        # It may end itself: SIGTERM comes to the whole group, and what ignores it is killed after the grace.
        # A shell acts when its own child has ended.
        r = self.run_program("sh", "-c", "trap 'echo bye; exit 3' TERM; sleep 600; echo never", timeout_ms=SHORT, grace_ms=60000)
        self.assertEqual((r.done["status"], r.done["exit_code"], r.out), ("timeout", 3, b"bye\n"))
        began = time.monotonic()
        r = self.run_program("sh", "-c", "trap '' TERM INT; echo on; while :; do sleep .05; done", timeout_ms=SHORT, grace_ms=300)
        self.assertEqual((r.done["status"], r.done["signal"], r.out), ("timeout", 9, b"on\n"))
        self.assertLess(time.monotonic() - began, scaled(15))

    def cancel(self, argv, how=b"", **options):
        guest = self.begin(argv, **options)
        guest.until(STDOUT)
        guest.send(CANCEL, how)
        return self.end(guest)

    def test_cancel(self):
        mark = self.mark()
        # No other program: a shell loses a signal that comes between its fork, or none, and the exec.
        r = self.cancel(["sh", "-c", "trap 'echo int; exit 4' INT; echo on; while :; do :; done #" + mark], grace_ms=60000)
        self.assertEqual((r.done["status"], r.done["exit_code"], r.out), ("cancelled", 4, b"on\nint\n"))
        r = self.cancel(["sh", "-c", "echo on; while :; do :; done #" + mark], grace_ms=60000)
        self.assertEqual((r.done["status"], r.done["signal"]), ("cancelled", signal.SIGINT))
        r = self.cancel(["sh", "-c", "trap '' INT; echo on; while :; do sleep .05; done #" + mark], b"kill", grace_ms=30000)
        self.assertEqual((r.done["status"], r.done["signal"]), ("cancelled", 9))
        self.gone(mark)

    def test_output_limit(self):
        r = self.run_program("sh", "-c", "head -c 5000 /dev/zero", output_limit=1000)
        self.assertEqual((len(r.out), r.done["stdout_bytes"], r.done["stdout_truncated"]), (1000, 5000, True))
        r = self.run_program("yes", output_limit=1000, output_kill=True)
        self.assertEqual((r.done["status"], len(r.out)), ("output_limit", 1000))

    def test_a_sandbox_that_waited(self):
        """It has an interpreter, which is ended before the program starts."""
        guest = Guest(self.prefix)
        self.addCleanup(guest.close)
        self.assertEqual(guest.receive()[0], HELLO)
        guest.send(CONFIG, config_command(waits=True), 0)
        self.assertEqual(guest.until(READY, FAILURE)[0], READY)
        guest.send(CLAIM, b"", 0)
        guest.send(EXEC, program_command(["sh", "-c", "echo $K"], env=ENV))
        guest.send(STDIN)
        self.assertEqual(self.ended(self.end(guest)).out, b"v\n")

    def test_an_interpreter_that_starts(self):
        guest = self.start()
        guest.send(EXEC, program_command(["sh", "-c", "echo $K"], env=ENV))
        guest.send(STDIN)
        self.assertEqual(self.ended(self.end(guest)).out, b"v\n")

    @once
    def test_frames_that_are_none(self):
        for payload, message in ((program_command([]), "there is no program"), (command(4, [1, 1, 1], "x", argv=["a"]), "and code"),
                                 (exec_command("1"), "no interpreter")):
            guest = self.start(no_interpreter=True)
            guest.send(EXEC, payload)
            self.assertIn(message, self.failure(guest))
        for options in ({"session": True}, {"waits": True}, {"preload": ["json"]}):
            guest = Guest(self.prefix)
            self.addCleanup(guest.close)
            guest.receive()
            guest.send(CONFIG, config_command(no_interpreter=True, **options), 0)
            self.assertIn("do not go together", self.failure(guest))

    def test_no_python_is_needed(self):
        guest = Guest([*self.prefix, "env", "PATH=/nowhere"])
        self.addCleanup(guest.close)
        hello = guest.configure(no_interpreter=True)
        self.assertEqual(hello["python"], "")
        guest.send(EXEC, program_command(["echo", "hi"], env=ENV))
        self.assertEqual(self.end(guest).out, b"hi\n")


@as_process
class AsProcess(Once, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Once, unittest.TestCase):
    prefix = namespaces() or ()


class InSession(Base, Programs):
    def start(self, config_env=ENV, **options):
        return Base.start(self, config_env=config_env, **options)

    def test_variables_are_kept(self):
        s = self.start()
        self.kept(s.run("x = 41"))
        r = self.kept(s.program("sh", "-c", "echo out; echo err >&2; exit 5"), code=5)
        self.assertEqual((r.out, r.err, r.report, r.state["point"]), ("out\n", "err\n", None, "taken"))
        self.assertEqual(self.kept(s.run("x + 1")).value, "42")
        self.kept(s.program("no-such-program"), code=127)
        self.kept(s.program("/etc/passwd"), code=126)

    def test_environment_is_the_sessions(self):
        s = self.start()
        s.run("import os\nos.environ['FROM_CODE'] = '1'")
        r = s.program("env", env={"ONE": "2", "K": "other"})
        self.assertEqual(set(r.out.split()), {"PATH=" + PATH, "K=other", "ONE=2"})
        self.assertEqual(s.program("sh", "-c", "echo $K$ONE").out, "v\n")

    def test_input_and_place(self):
        s = self.start()
        here = os.path.realpath(self.directory())
        self.assertEqual(s.program("sh", "-c", "pwd; cat", stdin=b"text", directory=here).out, here + "\ntext")
        self.assertEqual(s.program("cat").out, "")
        for n in (0, 30000, 65536, *range(330000, 450000, 15000)):  # what is in the pipe at its end comes as well
            s.send_program(["head", "-c", str(n), "/dev/zero"])
            s.guest.send(STDIN, b"", s.number)
            time.sleep(.1)  # the host is slow: process 1 has what it may have
            self.assertEqual(len(s.finish().out), n)
        s.run("import os\nos.chdir('/proc')")
        self.assertNotEqual(s.program("pwd").out, "/proc\n")

    def test_input_that_ended_before_it_starts(self):
        """It waits for the copy of the interpreter that the execution before it is worth."""
        s = self.start()
        for i in range(5):
            s.run("x = %d" % i)
            self.kept(s.program("cat"))
        self.assertEqual(s.run("x").value, "4")

    def test_a_crash_afterwards_goes_back_with_all_variables(self):
        s = self.start()
        self.kept(s.run("x = 1"))
        self.kept(s.program("true"))
        r = s.run("import os\nos._exit(1)")
        self.assertEqual((r.outcome, r.state["to"]), ("rolled_back", 2))
        self.assertNotIn("what", r.state["reason"])  # nothing was lost in between
        self.assertEqual(s.run("x").value, "1")

    def test_first_of_all(self):
        s = self.start()
        self.assertEqual(self.kept(s.program("echo", "hi")).out, "hi\n")
        self.assertEqual(s.run("6 * 7").value, "42")

    def test_timeout_and_cancel(self):
        s = self.start()
        mark = self.mark()
        s.run("x = 1")
        r = self.kept(s.program("sh", "-c", "echo part; sleep 600 #" + mark, timeout_ms=SHORT), status="timeout", code=-1)
        self.assertEqual(r.out, "part\n")
        s.send_program(["sh", "-c", "trap '' INT; echo on; while :; do sleep .05; done #" + mark], grace_ms=300)
        s.guest.until(STDOUT)
        s.guest.send(CANCEL, b"", s.number)
        self.kept(s.finish(), status="cancelled", code=-1)
        self.gone(mark)
        self.assertEqual(s.run("x").value, "1")

    def test_its_tree_is_ended_and_nothing_else(self):
        s = self.start()
        mark, other, orphans = self.mark(), self.mark(), self.mark()
        # Processes of the code go on, and what a thread of it starts meanwhile is its own.
        s.run("import subprocess, threading, time\nold = subprocess.Popen(['sleep', '600'])\n"
              "def later():\n time.sleep(.3)\n global new\n new = subprocess.Popen(['sh', '-c', 'sleep 600 #%s'])\n"
              "t = threading.Thread(target=later)\nt.start()\n"
              "subprocess.run(['sh', '-c', '(sleep .5; sh -c \\\"sleep 600; true #%s\\\") &'])" % (other, orphans))
        r = self.kept(s.program(*python(LEAVES.replace("sleep(.3)", "sleep(1)") + " #" + mark)))
        self.assertTrue(r.out.strip().isdigit(), r.out)
        self.gone(mark)
        self.there(other)
        self.there(orphans)
        self.assertEqual(s.run("t.join()\n[old.poll(), new.poll()]").value, "[None, None]")
        s.run("old.kill()\nnew.kill()\nold.wait(), new.wait()")

    def test_output_of_the_code_is_not_the_programs(self):
        s = self.start()
        said = os.path.join(self.directory(), "said")
        s.run("import threading, time\ndef f():\n for i in range(10):\n  print('thread', i, flush=True); time.sleep(.1)\n"
              "  if i == 2: open(%r, 'w').close()\nthreading.Thread(target=f).start()" % said)
        r = s.program("sh", "-c", "until test -e %s; do sleep .05; done; sleep .2; echo mine" % said)
        self.assertEqual(r.out, "mine\n")
        self.assertIn("thread 2\n", r.background["stdout"])

    def test_it_may_end_the_interpreter(self):
        s = self.start()
        s.run("x = 1")
        pid = int(s.run("import os\nos.getpid()").value)
        time.sleep(.2)
        r = s.program("sh", "-c", "kill -9 %d; sleep .3; echo still here" % pid)
        self.assertEqual((r.status, r.code, r.out, r.outcome), ("exited", 0, "still here\n", "rolled_back"))
        self.assertIn("ended while a program ran", r.state["reason"])
        self.assertEqual(self.kept(s.run("x")).value, "1")
        s = self.start(checkpoint="off")
        pid = int(s.run("import os\nos.getpid()").value)
        r = s.program("sh", "-c", "kill -9 %d; sleep .5" % pid)
        self.assertEqual((r.status, r.outcome), ("exited", "lost"))
        self.assertEqual(s.run("1 + 1").value, "2")

    def test_operations_wait(self):
        s = self.start()
        s.run("x = 1")
        go = os.path.join(self.directory(), "go")
        s.send_program(["sh", "-c", "echo on; until test -e %s; do sleep .05; done" % go])
        s.guest.until(STDOUT)
        self.assertEqual(s.control("vars"), {"error": "busy"})
        with open(go, "w", encoding="ascii"):
            self.kept(s.finish())
        self.assertEqual([v["name"] for v in s.control("vars")["vars"]], ["x"])


@as_process
class SessionAsProcess(InSession, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class SessionAsPid1(InSession, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

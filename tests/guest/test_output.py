#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What code prints, much of it: nothing is lost when it is killed, and the order is that in which it was written.

After some thousand lines they are printed into memory that pid 1 shares (printing.py, ring.c). MANY lines take a program
there; PROBE tells the test that it is there, or is not.
"""
import json
import os
import random
import signal
import struct
import tempfile
import time
import unittest

from guest_client import ACK, DONE, FAILURE, STDIN, STDOUT, GuestCase, namespaces, scaled
import runner
from test_session import Base

MANY = 3000
X86 = os.uname().machine == "x86_64"
FIRST = "import sys\nfor i in range(%d): print(i)\n" % MANY
PROBE = "sys.stderr.write('memory' if 'write' in vars(sys.stdout.buffer) else 'pipe')\n"
NUMBERS = "".join("%d\n" % i for i in range(MANY))
# Shows after each print how many have returned, in a file, whose memory a SIGKILL does not take. (A program that says "fileno"
# does not come to print into memory.)
COUNTED = (
    "import mmap\nf = open(%r, 'r+b')\nn = memoryview(mmap.mmap(3, 8)).cast('Q')\n"
    "assert open('/proc/self/fd/3', 'rb').read() is not None\ni = 0\nwhile True:\n    print(i, 'x' * (i %% 97))\n    i += 1\n    n[0] = i\n"
)


def numbered(i):
    return "%d %s\n" % (i, "x" * (i % 97))


class Cases(GuestCase):
    def much(self, code, **options):
        return self.run_code(code, **{"timeout_ms": 120000, "output_limit": 1 << 28, **options})

    def test_nothing_is_lost_or_doubled(self):
        r = self.much("import sys\nfor i in range(150000): print(i, 'x' * (i % 97))\n" + PROBE)
        self.assertEqual(r.err, b"memory" if X86 else b"pipe")
        self.assertEqual(r.out.decode(), "".join(map(numbered, range(150000))))
        self.assertEqual(r.done["stdout_bytes"], len(r.out))

    def test_a_reader_that_is_slow(self):
        guest = self.start()
        guest.execute("for i in range(100000): print(i, 'x' * (i % 97))", timeout_ms=300000, output_limit=1 << 28)
        guest.send(STDIN)
        frame = guest.receive()
        while frame and frame[0] == STDOUT:
            time.sleep(0.005)
            frame = guest.until(STDOUT, DONE, FAILURE)
        self.assertEqual(guest.stream(STDOUT).decode(), "".join(map(numbered, range(100000))))
        guest.send(ACK)

    def test_all_kinds_of_text(self):
        r = self.much(
            FIRST + "texts = ['\\0\\0\\0', 'a\\0', '\\xff\\n', '\u2603' * 9, 'y' * 70000, 'z' * 700000, '']\n"
            "for i in range(60):\n"
            "    print(texts[i % 7], end=['', '\\n', '\\0\\n'][i % 3])\n"
            "    if i % 11 == 0: sys.stdout.buffer.write(bytes(range(256)))\n"
            "    if i % 13 == 0: sys.stdout.flush()\n"
        )
        texts = ["\0\0\0", "a\0", "\xff\n", "\u2603" * 9, "y" * 70000, "z" * 700000, ""]
        expected, pending = NUMBERS.encode(), b""
        for i in range(60):
            pending += (texts[i % 7] + ["", "\n", "\0\n"][i % 3]).encode()
            if i % 3 or "\n" in texts[i % 7] or len(pending) > 8192:
                expected, pending = expected + pending, b""
            if i % 11 == 0:
                expected += bytes(range(256))
            if i % 13 == 0:
                expected, pending = expected + pending, b""
        self.assertEqual(sorted(r.out), sorted(expected + pending))
        self.assertEqual(r.out.replace(bytes(range(256)), b""), (expected + pending).replace(bytes(range(256)), b""))

    def test_the_limit(self):
        for kill in (False, True):
            r = self.much("for i in range(100000): print(i)", output_limit=30000, output_kill=kill)
            self.assertEqual(r.out, "".join("%d\n" % i for i in range(MANY * 3)).encode()[:30000])
            self.assertTrue(r.done["stdout_truncated"])
            self.assertEqual(r.done["status"], "output_limit" if kill else "exited")
            if not kill:
                self.assertEqual(r.done["stdout_bytes"], sum(len("%d\n" % i) for i in range(100000)))

    def test_memory_of_pid_1(self):
        """It does not grow with what is printed, nor where nobody reads for a while."""
        for code in ("for i in range(300000): print('x' * 200)", "s = 'x' * (1 << 20)\nfor i in range(60): print(s)"):
            guest = self.start()
            guest.execute(code, timeout_ms=300000, output_limit=1 << 28)
            guest.send(STDIN)
            guest.receive()
            time.sleep(0.5)
            frame = guest.receive()
            while frame[0] not in (DONE, FAILURE):
                guest.frames.clear()
                frame = guest.receive()
            with open("/proc/%d/status" % self.init(guest)) as f:
                peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
            self.assertLess(peak, 16 << 10)
            guest.send(ACK)

    def init(self, guest):
        """Pid 1 as the test sees it."""
        pid = guest.process.pid
        while True:
            with open("/proc/%d/comm" % pid) as f:
                if f.read().strip() == "dsb-init":
                    return pid
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                pid = int(f.read().split()[0])

    def test_a_line_is_seen_soon(self):
        guest = self.start()
        guest.execute(FIRST + PROBE + "import time\nfor i in range(5): time.sleep(.3); print('line', i)\ntime.sleep(60)", timeout_ms=100000)
        guest.send(STDIN)
        begin = time.monotonic()
        while b"line 4\n" not in guest.stream(STDOUT):
            self.assertIsNotNone(guest.receive())
        self.assertLess(time.monotonic() - begin, scaled(20))
        guest.process.stdin.close()

    # --- killed

    def killed(self, code, status="signal", number=9):
        r = self.much(code)
        self.assertEqual((r.done["status"], r.done["signal"]), (status, number), r.err)
        return r

    def test_killed_by_itself(self):
        for n in (MANY, MANY + 1, 20000, 61234):
            r = self.killed("import os, sys\nfor i in range(%d): print(i)\nos.kill(os.getpid(), 9)" % n)
            self.assertEqual(r.out.decode(), "".join("%d\n" % i for i in range(n)))

    def test_crash(self):
        for crash, number in (("import faulthandler\nfaulthandler._sigsegv()", 11), ("import os\nos.abort()", 6)):
            r = self.killed("for i in range(20000): print(i)\n" + crash, number=number)
            self.assertEqual(r.out.decode(), "".join("%d\n" % i for i in range(20000)))

    def kill_at(self, seconds):
        """The interpreter is killed from outside; gives what has come, and how many prints had returned."""
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(8))
            f.flush()
            os.chmod(f.name, 0o666)
            guest = self.start()
            guest.execute(COUNTED % f.name, timeout_ms=100000, output_limit=1 << 28)
            guest.send(STDIN)
            while not guest.stream(STDOUT):
                guest.receive()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                guest.receive()
            os.kill(self.interpreter(guest), signal.SIGKILL)
            done = guest.until(DONE, FAILURE)
            self.assertEqual(json.loads(done[2])["signal"], 9)
            f.seek(0)
            returned = struct.unpack("Q", f.read())[0]
            out = guest.stream(STDOUT).decode()
            guest.send(ACK)
            guest.close()
        return out, returned

    def interpreter(self, guest):
        pid = guest.process.pid
        while True:
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                pid = int(f.read().split()[0])
            with open("/proc/%d/cmdline" % pid) as f:
                if "start.py" in f.read():
                    return pid

    def test_killed_at_any_moment(self):
        for _ in range(int(os.environ.get("DSB_TEST_KILLS", "8"))):
            out, returned = self.kill_at(random.uniform(0, 0.3))
            self.assertGreater(returned, 0)
            lines = out.split("\n")
            self.assertGreaterEqual(len(lines) - 1, returned)
            self.assertEqual(out, "".join(map(numbered, range(len(lines) - 1))) + lines[-1])
            self.assertTrue(numbered(len(lines) - 1).startswith(lines[-1]))

    # --- who else writes

    def order(self, code, out, err=b"pipe"):
        """What comes between two prints: whoever writes it, it is there in its order."""
        r = self.much(FIRST + code + PROBE)
        self.assertEqual((r.out.decode()[len(NUMBERS) :], r.err), (out, err))

    def test_order(self):
        expected = "".join("before %d\nbetween\nafter %d\n" % (i, i) for i in range(300))
        loop = "for i in range(300):\n    print('before', i)\n    %s\n    print('after', i)\n"
        for import_, between in (
            ("import os\n", "os.write(1, b'between\\n')"),
            ("from os import write\n", "write(1, b'between\\n')"),
            ("", "sys.stdout.buffer.raw.write(b'between\\n')"),
            ("", "open(1, 'w', closefd=False).write('between\\n')"),
            ("", "open('/dev/fd/1', 'w').write('between\\n')"),
        ):
            with self.subTest(between):
                self.order(import_ + loop % between, expected)

    def test_order_with_children(self):
        expected = "".join("before %d\nbetween\nafter %d\n" % (i, i) for i in range(20))
        loop = "for i in range(20):\n    print('before', i)\n    %s\n    print('after', i)\n"
        for import_, between in (
            ("import subprocess\n", "subprocess.run(['echo', 'between'])"),
            ("import os\n", "os.system('echo between')"),
            ("import os\n", "os.waitpid(os.posix_spawn('/bin/echo', ['echo', 'between'], os.environ), 0)"),
            ("import multiprocessing as mp\nq = mp.get_context('fork')\n",
             "p = q.Process(target=print, args=('between',)); p.start(); p.join()"),
            ("import os\n", "\n    if os.fork() == 0:\n        print('between'); os._exit(0)\n    os.wait()"),
        ):
            with self.subTest(between):
                self.order(import_ + loop % between, expected)

    def test_libraries_and_descriptors(self):
        expected = "".join("before %d\nbetween\nafter %d\n" % (i, i) for i in range(50))
        loop = "for i in range(50):\n    print('before', i)\n    %s\n    print('after', i)\n"
        self.order("import ctypes\nc = ctypes.CDLL(None)\n" + loop % "c.write(1, b'between\\n', 8)", expected)
        r = self.much(FIRST + "import os\nf = os.open('/tmp', os.O_TMPFILE | os.O_RDWR, 0o600)\nkept = os.dup(1)\nos.dup2(f, 1)\nprint('in the file')\n"
                      "os.dup2(kept, 1)\nprint(os.pread(f, 100, 0))\n")
        self.assertEqual(r.out.decode()[len(NUMBERS) :], "b'in the file\\n'\n")

    def test_module_beside_the_program(self):
        """One whose text nobody looks at."""
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)
            with open(place + "/beside.py", "w") as f:
                f.write("import os\nout = os.write\n")
            r = self.much(FIRST + "sys.path.insert(0, %r)\nimport beside\n" % place +
                          "for i in range(100): print('a'); beside.out(1, b'b\\n')\n" + PROBE)
        self.assertEqual((r.out.decode()[len(NUMBERS) :], r.err), ("a\nb\n" * 100, b"pipe"))

    def test_threads(self):
        r = self.much(FIRST + "import threading\n"
                      "def work(n):\n    for i in range(20000): print('%d-%d' % (n, i))\n"
                      "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
                      "for t in threads: t.start()\nfor t in threads: t.join()\nfor i in range(3000): print('end-%d' % i)\n")
        lines = r.out.decode()[len(NUMBERS) :].replace("\n", " ").split()
        self.assertEqual(sorted(lines), sorted(["%d-%d" % (n, i) for n in range(4) for i in range(20000)] + ["end-%d" % i for i in range(3000)]))
        self.assertEqual(r.err, b"")

    def test_streams_of_the_code(self):
        """What is put in the place of sys.stdout, or around it."""
        r = self.much(FIRST + "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as f: print('kept')\n"
                      "print(repr(f.getvalue()))\nsys.stdout.reconfigure(encoding='latin-1', line_buffering=False)\nprint('\\xe4')\n"
                      "other = io.TextIOWrapper(sys.stdout.buffer, 'utf-8', write_through=True)\nsys.stdout.flush()\nother.write('\\xe4\\n')\n"
                      "other.write('end')\nother.flush()\n")
        self.assertEqual(r.out[len(NUMBERS) :], "'kept\\n'\n".encode() + b"\xe4\n" + "\u00e4\nend".encode())

    def test_errors(self):
        r = self.much(FIRST + "for wrong in ('text', None, 3):\n    try: sys.stdout.buffer.write(wrong)\n    except TypeError as e: print('refused')\n"
                      "print('end')\nsys.stdout.close()\ntry: print('more')\nexcept ValueError: sys.stderr.write('closed')")
        self.assertEqual((r.out.decode()[len(NUMBERS) :], r.err), ("refused\n" * 3 + "end\n", b"closed"))

    def test_interrupts(self):
        """A handler that prints, in the middle of prints."""
        r = self.much(FIRST + "import signal\nn = 0\ndef ring(*_):\n    global n\n    try: print('ring', n)\n    except RuntimeError: return\n    n += 1\n"
                      "signal.signal(signal.SIGALRM, ring)\nsignal.setitimer(signal.ITIMER_REAL, .001, .001)\n"
                      "for i in range(60000): print('line', i)\nsignal.setitimer(signal.ITIMER_REAL, 0)\nsys.stderr.write(str(n))\n")
        text = r.out.decode()[len(NUMBERS) :].replace("ring", "\nring")
        rings = [line for line in text.split("\n") if line.startswith("ring")]
        self.assertEqual(len(rings), int(r.err))
        self.assertEqual(text.count("line"), 60000)


class Sessions(Base):
    def test_executions_in_turn(self):
        s = self.start(checkpoint="always")
        for turn in range(3):
            r = self.kept(s.run("import sys\nfor i in range(20000): print(%d, i)\n" % turn + PROBE, output_limit=1 << 26, timeout_ms=120000))
            self.assertEqual(r.out, "".join("%d %d\n" % (turn, i) for i in range(20000)))
            self.assertEqual(r.err, "memory" if X86 else "pipe")
            self.assertEqual(self.kept(s.run("print('few')")).out, "few\n")

    def test_killed(self):
        """All that was printed is there, and the copy that goes on prints as well."""
        s = self.start(checkpoint="always")
        s.run("import os, sys")
        for n in (20000, 31234):
            r = s.run("for i in range(%d): print(i)\nos.kill(os.getpid(), 9)" % n, output_limit=1 << 26, timeout_ms=120000)
            self.assertEqual((r.status, r.outcome), ("signal", "rolled_back"))
            self.assertEqual(r.out, "".join("%d\n" % i for i in range(n)))

    def test_what_was_said_before_counts(self):
        """A function of an earlier execution writes past the stream."""
        s = self.start(checkpoint="off")
        s.run("import os, sys\ndef other(): os.write(1, b'b\\n')")
        r = s.run(FIRST + "for i in range(200): print('a'); other()\n" + PROBE, output_limit=1 << 26)
        self.assertEqual((r.out[len(NUMBERS) :], r.err), ("a\nb\n" * 200, "pipe"))

    def test_a_thread_that_goes_on(self):
        s = self.start(checkpoint="off")
        r = s.run(FIRST + "import threading, time\ndef late():\n    while not go: time.sleep(.01)\n    for i in range(5000): print('late', i)\n    global over\n    over = True\n"
                  "go = over = False\nthreading.Thread(target=late, daemon=True).start()\n", output_limit=1 << 26)
        self.assertEqual(r.out, NUMBERS)
        r = s.run("go = True\nimport time\nwhile not over: time.sleep(.01)\nfor i in range(3000): print('mine', i)", output_limit=1 << 26)
        mine = [line for line in r.out.split("\n") if line.startswith("mine")]
        self.assertEqual(mine, ["mine %d" % i for i in range(3000)])

    def test_forged_numbers(self):
        """The memory is the code's: whatever it writes there, pid 1 goes on and sends no more than there is."""
        s = self.start(checkpoint="off")
        forge = (
            "import gc, random, struct\n"
            "m = [o.memory for o in gc.get_objects() if type(o).__name__ == 'Report'][0]\n"
            "at = len(m) - %d\n"
            "laps, ends = [0, 1, 2, 2**64 - 1], [0, at, at + 4096 + 9, len(m), len(m) + 1, 2**63, 2**64 - 1]\n"
            "for i in range(20000): m[at:at + 24] = struct.pack('<3Q', random.choice(laps), random.choice(ends), i)\n" % (516 * 1024)
        )
        r = s.run("import sys\n" + forge + "print('end')", output_limit=1 << 20, timeout_ms=60000)
        self.assertEqual((r.status, r.code, r.err), ("exited", 0, ""))
        self.assertLessEqual(len(r.out), 1 << 20)
        self.assertEqual(self.kept(s.run("print('next')")).out, "next\n")


class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()


class SessionsAsProcess(Sessions, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class SessionsAsPid1(Sessions, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile and careless code in a session of dsb-init: what it closes, replaces, forges and leaves behind."""
import contextlib
import os
import shutil
import tempfile
import time
import unittest

import guest_client
from guest_client import CANCEL, CONTROL, STDIN, STDOUT, as_process, control_command, namespaces, once, scaled
import runner
from test_session import Base


class Cases(Base):
    @once
    def test_closed_descriptors(self):
        s = self.ten(self.start())
        for code in ("os.closerange(3, 4096)", "os.close(0)", "os.close(1)", "os.close(2)", "os.closerange(0, 4096)",
                     "import sys\nsys.stdout.close()\nsys.stderr.close()\nsys.stdin.close()",
                     "sys.stdout = sys.stderr = sys.stdin = None", "del sys.stdout, sys.stderr",
                     "os.closerange(0, 4096)\nkeep = [os.open('/', 0) for i in range(30)]",
                     "os.set_blocking(1, False)",
                     "import socket\nfor f in range(3, 1024):\n  try: socket.socket(fileno=f).shutdown(2)\n  except OSError: pass"):
            r = s.run("import sys\nn += 1\n" + code)
            self.assertEqual(r.outcome, "kept", code)
            r = self.kept(s.run("print('out')\nprint('err', file=sys.stderr)\ninput(), n", b"in\n"))
            self.assertEqual((r.out, r.err), ("out\n", "err\n"), code)
        self.assertEqual(s.run("n").value, "20")
        self.assertEqual(s.run("os._exit(1)").outcome, "rolled_back")
        self.assertEqual(s.run("n").value, "20")

    def test_fork_that_comes_back(self):
        s = self.start()
        r = s.run("import os\npid = os.fork()\nx = 'parent' if pid else 'child'\nprint(x)\nif pid: os.waitpid(pid, 0)\nx")
        self.assertEqual((r.value, sorted(r.out.split())), ("'parent'", ["child", "parent"]))
        self.kept(r)
        r = s.run("pid = os.fork()\nif not pid: raise SystemExit(9)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
                  " if hasattr(os, 'waitstatus_to_exitcode') else os.waitpid(pid, 0)[1] >> 8")
        self.assertEqual(r.value, "9")
        self.assertEqual(self.kept(s.run("x")).value, "'parent'")

    def test_copies_are_invisible(self):
        s = self.start()
        s.run("import os, signal\nseen = []\nsignal.signal(signal.SIGCHLD, lambda *a: seen.append(a))")
        for _ in range(3):
            r = s.run("try: os.wait()\nexcept ChildProcessError: print('none')\nseen")
            self.assertEqual((r.out, r.value), ("none\n", "[]"))
        r = s.run("import subprocess\nsubprocess.run(['true']).returncode, len(seen) > 0")
        self.assertEqual(r.value, "(0, True)")

    def test_background(self):
        s = self.start()
        s.run("import threading, subprocess, time, os\nc = [0]\n"
              "def count():\n    while True:\n        c[0] += 1\n        time.sleep(.01)\n"
              "threading.Thread(target=count, daemon=True).start()\np = subprocess.Popen(['sleep', '300'])")
        s.run("before = c[0]\ntime.sleep(.5)")
        self.assertEqual(self.kept(s.run("c[0] > before, p.poll()")).value, "(True, None)")
        s.run("pid = p.pid")
        r = s.run("os._exit(1)")
        self.assertEqual(r.outcome, "rolled_back")
        self.assertIn("threads were not carried over", r.state["reason"])
        self.assertEqual(s.run("os.path.exists('/proc/%d' % pid)").value, "False")

    def test_pipes_end_while_a_copy_waits(self):
        s = self.start()
        s.run("import subprocess\np = subprocess.Popen(['cat'], stdin=-1, stdout=-1)")
        self.kept(s.run("p.stdin.write(b'hi')\np.stdin.close()\nassert p.stdout.read() == b'hi'\nassert p.wait() == 0"))
        s.run("import os, socket\np = subprocess.Popen(['cat'], stdin=-1)\nr, w = os.pipe()\na, b = socket.socketpair()")
        s.run("os._exit(1)")
        r = s.run("os.write(w, b'1'), os.read(r, 1), a.send(b'2'), b.recv(1)")
        self.assertEqual(r.value, "(1, b'1', 1, b'2')")
        self.assertEqual(s.run("p.stdin.write(b'x')\np.stdin.flush()").report["error"]["name"], "BrokenPipeError")

    def test_output_never_mixes(self):
        s = self.start()
        go = os.path.join(self.directory(), "go")
        s.run("import sys, os, threading, time\nout, err = sys.stdout, sys.stderr\n"
              "def late():\n    while not os.path.exists(%r): time.sleep(.01)\n    print('late')\n    os.unlink(%r)\n"
              "threading.Thread(target=late).start()" % (go, go))
        open(go, "w").close()
        while os.path.exists(go):
            time.sleep(.01)
        r = self.behind(s, "late")
        self.assertEqual((r["stdout"], r["stderr"], r["truncated"]), ("late\n", "", False))
        for i in range(30):
            r = s.run("print('o%d' % {0}, end='')\nerr.write('e%d' % {0})\nout.write('p%d' % {0})".format(i))
            self.assertEqual((r.out, r.err), ("o%dp%d" % (i, i), "e%d" % i))
        s.run("os.close(1)\nprint('nowhere', end='')")
        s.run("sys.stdout = open('/dev/full', 'w')\nprint('full', end='')")
        s.run("sys.stdout.buffer.raw.close()")
        self.assertEqual(s.run("print(1)").out, "1\n")
        r = s.run("import subprocess\nfor i in range(200): print('x' * 5000)\nsubprocess.run(['echo', 'end'])", output_limit=2 << 20)
        self.assertTrue(r.out.endswith("x\nend\n"))
        self.assertEqual(len(r.out), 200 * 5001 + 4)

    def behind(self, s, word):
        """What earlier executions wrote, once WORD is in it; it is in no execution's own output."""
        until = time.monotonic() + scaled(60)
        while time.monotonic() < until:
            r = self.kept(s.run("print('own')"))
            self.assertEqual((r.out, r.err), ("own\n", ""))
            if r.background and word in r.background["stdout"] + r.background["stderr"]:
                return r.background
        self.fail("nothing from the background")

    def test_output_of_processes_of_earlier_executions(self):
        s = self.start()
        s.run("import subprocess, sys, multiprocessing, time, os")
        # A pool, a child that has left its session, and one whose parent is dead.
        s.run("def work(path):\n    while not os.path.exists(path): time.sleep(.01)\n    print('of the pool', flush=True)\n"
              "go = %r\n"
              "worker = multiprocessing.get_context('fork').Process(target=work, args=(go,))\nworker.start()\n"
              "line = 'while ! test -e %%s; do sleep .05; done; echo of the orphan; echo to stderr >&2' %% go\n"
              "p = subprocess.run(['sh', '-c', 'setsid sh -c \"%%s\" &' %% line])\nprint('first')" % os.path.join(self.directory(), "go"))
        r = s.run("print('second')\nopen(go, 'w').close()\nworker.join()\nprint('third')")
        self.assertEqual((r.out, r.err), ("second\nthird\n", ""))
        self.assertIn("of the pool\n", r.background["stdout"])
        if "to stderr" not in r.background["stderr"]:
            self.behind(s, "to stderr")

    # Every way of being somebody else's child; each waits as `sleep MARK`.
    FAMILY = (
        "import os, signal, subprocess, time\n"
        "def wait(): os.execvp('sleep', ['sleep', {0!r}])\n"
        "def forked(*before):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        for step in before: step()\n"
        "        wait()\n"
        "    return pid\n"
        "def again():\n    if os.fork(): os._exit(0)\n"
        "forked(); forked(os.setsid); forked(os.setpgrp); forked(os.setsid, again); forked(again, os.setsid, again)\n"
        "os.kill(forked(), signal.SIGSTOP)\n"
        "forked(lambda: [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)])\n"
        "subprocess.Popen(['sleep', {0!r}], start_new_session=True)\n"
        "subprocess.Popen('sleep {0} & sleep {0} & wait', shell=True)\n"
    )

    def alive(self, mark):
        found = []
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    found += [name] if mark.encode() in f.read().split(b"\0") else []
            except OSError:
                pass
        return found

    def test_nothing_goes_on_after_an_end_by_force(self):
        s = self.ten(self.start())
        kept, mark = "30001%07d" % os.getpid(), "30002%07d" % os.getpid()
        s.run("import subprocess\nbefore = subprocess.Popen(['sleep', %r])" % kept)
        for end in ("while True: time.sleep(1)", "subprocess.run('sleep %s; true' % mark, shell=True)",
                    "try:\n    while True: time.sleep(1)\nexcept KeyboardInterrupt: pass"):
            code = self.FAMILY.format(mark) + "mark = %r\nprint('there', flush=True)\n" % mark + end
            s.send(code, grace_ms=60000)
            s.guest.until(STDOUT)
            self.assertNotEqual(self.alive(mark), [])
            s.guest.send(CANCEL, b"", s.number)
            r = s.finish()
            self.assertEqual((r.status, r.outcome), ("cancelled", "kept"), r.err)
            self.assertEqual(self.alive(mark), [], end)
            self.assertNotEqual(self.alive(kept), [])
        self.assertEqual(self.kept(s.run("n, before.poll()")).value, "(9, None)")
        # After an end in order they may go on.
        s.run("p = subprocess.Popen(['sleep', %r])" % mark)
        self.assertEqual(self.kept(s.run("p.poll() is None")).value, "True")
        s.run(self.FAMILY.format(mark) + "os._exit(1)")
        self.assertEqual(self.alive(mark) + self.alive(kept), [])

    def test_pool_after_an_end_by_force(self):
        s = self.ten(self.start())
        s.run("import multiprocessing, time\nold = multiprocessing.get_context('fork').Pool(2)\nold.map(abs, [-1, -2])")
        for how in ("new.map(time.sleep, [600] * 4)", "try: new.map(time.sleep, [600] * 4)\nexcept KeyboardInterrupt: pass"):
            s.send("new = multiprocessing.get_context('fork').Pool(2)\nnew.map(abs, [1])\nprint('there', flush=True)\n" + how, grace_ms=60000)
            s.guest.until(STDOUT)
            s.guest.send(CANCEL, b"", s.number)
            r = s.finish()
            self.assertEqual((r.status, r.outcome), ("cancelled", "kept"), r.err)
            r = self.kept(s.run("old.map(abs, [-3, -4]), len(multiprocessing.active_children()), n"))
            self.assertEqual(r.value, "([3, 4], 2, 9)")
        self.assertEqual(s.run("new.map(abs, [1])").report["error"]["name"], "ValueError")

    def report_blocks(self, s):
        fds = "/proc/%d/fd" % s.pid()
        found = []
        for name in os.listdir(fds):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if "memfd:report" in os.readlink(os.path.join(fds, name)):
                    found.append(os.stat(os.path.join(fds, name)).st_blocks)
        self.assertEqual(len(found), 1)
        return found[0] * 512

    @once
    @unittest.skipIf(os.getuid(), "only root may look into dsb-init")
    def test_memory_of_the_report_is_given_back(self):
        s = self.start()
        s.run("class A:\n    def _repr_html_(self): return 'x' * 3900000\na = A()")

        def resident():
            with open("/proc/%d/statm" % s.pid()) as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

        before = resident()
        self.assertGreater(len(s.run("a").report["result"]["text/html"]), 3800000)
        self.assertGreater(len(s.control(op="get", name="a")["value"]["text/html"]), 3800000)
        s.run("import gc, mmap\nfor m in gc.get_objects():\n    if type(m).__name__ == 'Report': m.memory[:] = bytes(8) + b'x' * (len(m.memory) - 8)")
        self.assertLessEqual(self.report_blocks(s), 128 << 10)
        self.assertLessEqual(resident(), before + (1 << 20))

    def test_orphans_that_come_to_the_code(self):
        s = self.ten(self.start())
        r = s.run("import ctypes\nprctl = ctypes.CDLL(None).prctl\nprctl(36, 1, 0, 0, 0)")
        for _ in range(10):
            r = s.run("dead = 0\nfor p in os.listdir('/proc'):\n"
                      "    try: dead += open('/proc/%s/stat' % p).read().rpartition(')')[2].split()[:2] == ['Z', str(os.getpid())]\n"
                      "    except OSError: pass\ndead")
            self.assertEqual((r.value, r.state["point"]), ("0", "taken"))
        r = s.run("x = ctypes.c_int()\nprctl(37, ctypes.byref(x), 0, 0, 0)\nx.value")
        self.assertEqual(r.value, "1")
        self.assertEqual(s.run("os._exit(1)").outcome, "rolled_back")
        self.assertEqual(s.run("n").value, "9")

    def test_control_that_nobody_waits_for(self):
        s = self.ten(self.start())
        s.run("import time\nclass K:\n def __repr__(self): time.sleep(600)\nk = K()")
        for _ in range(2):
            s.guest.send(CONTROL, control_command("get", 600000, name="k"), 1 << 31)
            r = s.run("print(input(), n)", b"given")
            self.assertEqual((r.out, r.outcome, r.code), ("given 9\n", "kept", 0))
        s.guest.send(CONTROL, control_command("get", 600000, name="k"), 1 << 31)
        s.send("time.sleep(600)", grace_ms=60000)
        s.guest.send(CANCEL, b"", s.number)
        self.assertEqual(s.finish().status, "cancelled")

    def test_flood_on_the_control_socket(self):
        s = self.ten(self.start())
        r = s.run("import gc\nlink = [o for o in gc.get_objects() if type(o).__name__ == 'Session'][0].link\n"
                  "for _ in range(3):\n    if os.fork() == 0:\n        while True: link.sock.send(b'x' * 16)\n"
                  "os._exit(1)")
        self.assertEqual((r.outcome, r.state["to"]), ("rolled_back", 10))
        self.assertEqual(s.run("n").value, "9")

    def test_many_that_write_later(self):
        s = self.start()
        s.run("import subprocess")
        for i in range(40):
            self.assertEqual(self.kept(s.run("p%d = subprocess.Popen(['cat'], stdin=-1)\nprint(%d)" % (i, i))).out, "%d\n" % i)
        r = s.run("for p in (p0, p39):\n    p.communicate(b'late')\n(p0.returncode, p39.returncode)")
        self.assertEqual((r.out, r.background["stdout"]), ("", "late"))  # the first has nobody who reads any more
        self.kept(r)

    def test_background_flood(self):
        s = self.start()
        s.run("import subprocess\np = subprocess.Popen(['yes'])", output_limit=1000)
        for _ in range(3):
            r = self.kept(s.run("import time\nwhile time.process_time() < 0: pass\n1", output_limit=1000))
            self.assertEqual((r.value, r.out), ("1", ""))
            self.assertLessEqual(len((r.background or {"stdout": ""})["stdout"]), 65536)
        s.run("p.kill()\np.wait()", output_limit=1000)
        self.assertEqual(s.run("print(2)").out, "2\n")

    @once
    def test_input_is_each_execution_s_own(self):
        s = self.start()
        self.assertEqual(s.run("input()", b"one\ntwo\nthree\n").value, "'one'")
        self.assertEqual(s.run("import sys\nsys.stdin.read()", b"four\n").value, "'four\\n'")
        self.assertEqual(s.run("input()", b"").report["error"]["name"], "EOFError")
        s.guest.send(STDIN, b"late", s.number)
        self.assertEqual(s.run("sys.stdin.read()", b"now").value, "'now'")

    @once
    def test_replaced_library(self):
        s = self.ten(self.start())
        s.run("import builtins, json, sys, types, warnings, signal, threading, linecache, traceback\n"
              "for name in ('dup2', 'close', 'fork', 'getpid', 'fstat', '_exit', 'waitpid', 'open'):\n"
              "    setattr(os, name, None)\n"
              "signal.pthread_sigmask = signal.signal = None\njson.dumps = json.loads = None\n"
              "warnings.filters = None\nthreading._shutdown = None\n"
              "sys.modules['traceback'] = sys.modules['linecache'] = types.ModuleType('x')\n"
              "kept_names = dict(builtins.__dict__)\n"
              "for name in ('len', 'open', 'isinstance', 'type', 'str', 'dict', 'list', 'range', 'Exception', 'BaseException',\n"
              "             'OSError', 'enumerate', 'getattr', 'super', '__import__', 'compile', 'exec', 'eval', 'min', 'max'):\n"
              "    setattr(builtins, name, None)\n"
              "sys.settrace(lambda *a: 1 / 0)\nsys.setprofile(lambda *a: None)\n__builtins__ = {}")
        r = self.kept(s.run("n += 1\nn"))
        self.assertEqual(r.value, "10")
        s.run("raise ValueError(1)")
        self.kept(s.run("n += 1"))
        r = s.run("os.abort()")
        self.assertEqual(r.outcome, "rolled_back", r.err)
        self.assertEqual(s.run("n").value, "11")

    @once
    def test_recursion_limit(self):
        s = self.start()
        s.run("import sys\nx = 1\nsys.setrecursionlimit(20)")
        self.assertEqual(self.kept(s.run("x")).value, "1")

    @once
    def test_lost_socket_does_not_spin(self):
        s = self.start()
        s.run("import os, time\nos.closerange(3, 4096)\ntime.sleep(4)")
        with open("/proc/%d/stat" % s.pid()) as f:
            words = f.read().rpartition(")")[2].split()
        self.assertLess(int(words[11]) + int(words[12]), 100)  # ticks of pid 1

    def test_signals_while_idle(self):
        s, often = self.start(), scaled(.05)  # not more often than a busy machine gets through an execution
        s.run("import signal, time, os, threading\ndef stop(*a): raise TimeoutError('late')\n"
              "signal.signal(signal.SIGALRM, stop)\nsignal.setitimer(signal.ITIMER_REAL, %f, %f)\nx = 1" % (often, often))
        time.sleep(8 * often)
        for _ in range(20):
            r = s.run("signal.setitimer(signal.ITIMER_REAL, 0)")
            self.assertEqual(r.outcome, "kept")
            if r.code == 0:
                break
        sent = os.path.join(self.directory(), "sent")
        s.run("threading.Timer(.1, lambda: (os.kill(os.getpid(), 2), open(%r, 'w'))).start()" % sent)
        self.await_file(sent)
        self.assertEqual(self.kept(s.run("x")).value, "1")

    def test_forged_answers(self):
        s = self.start()
        r = s.run(
            "import os, socket, struct, time, array\nsent = 0\n"
            "for fd in range(3, 1024):\n"
            "    try: k = socket.socket(fileno=os.dup(fd))\n"
            "    except OSError: continue\n"
            "    for data in (b'D', b'D' + bytes(15), b'R' + bytes(15), b'A' * 16, b'x' * 3000, struct.pack('<cBHIQ', b'D', 0, 0, 1, 1)):\n"
            "        try:\n"
            "            k.send(data)\n"
            "            k.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1]))])\n"
            "            sent += 1\n"
            "        except OSError: pass\n"
            "time.sleep(.5)\nprint('true')\nsent", timeout_ms=20000)
        self.assertEqual((r.value, r.out), ("6", "true\n"))
        self.kept(r)
        self.assertLess(self.descriptors(s), 40)
        self.kept(s.run("1"))

    # The code has the interpreter's own objects: it delays the message that says that it starts.
    DELAY = (
        "import gc, time\n"
        "link = [o for o in gc.get_objects() if type(o).__name__ == 'Session'][0].link\nplain = link.send\n"
        "def work(seconds):\n"
        "    end = time.process_time() + seconds\n"
        "    while time.process_time() < end: pass\n"
        "def send(letter, *rest):\n"
        "    if letter == b'S': {0}\n"
        "    plain(letter, *rest)\n"
        "link.send = send")

    @once
    def test_forged_clocks(self):
        s = self.ten(self.start())
        self.kept(s.run(self.DELAY.format("work(1)")))
        r = self.kept(s.run("n"))
        self.assertEqual(r.value, "9")
        self.assertGreaterEqual(r.done["wall_ms"], 990)
        self.assertGreaterEqual(r.done["cpu_ms"], 900)
        self.kept(s.run("link.send = plain"))

    @once
    def test_late_start_stretches_no_limit(self):
        s = self.ten(self.start())
        self.kept(s.run(self.DELAY.format("time.sleep(2)")))
        r = s.run("time.sleep(2.5)", timeout_ms=4000, grace_ms=60000)
        self.assertEqual((r.status, r.outcome), ("timeout", "kept"))
        # Nor does a message that never comes.
        self.kept(s.run("link.send = lambda letter, *rest: None if letter == b'S' else plain(letter, *rest)"))
        r = s.run("while True: time.sleep(1)", timeout_ms=1000, grace_ms=500)
        self.assertEqual((r.status, r.outcome), ("timeout", "rolled_back"))
        self.assertEqual(s.run("n").value, "9")

    def test_listener_takes_nobody_else(self):
        s = self.ten(self.start())
        r = s.run(
            "import socket, subprocess, sys\n"
            "names = [l.split()[-1] for l in open('/proc/net/unix') if '@dsandbox-' in l]\n"
            "code = '''import socket, sys\nk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            "k.settimeout(5)\nk.connect(chr(0) + sys.argv[1][1:])\nprint(len(k.recv(1)))'''\n"
            "for name in names[:3]: subprocess.run([sys.executable, '-c', code, name], stderr=-1)\nlen(names)")
        self.kept(r)
        self.assertNotEqual(r.value, "0")
        self.assertEqual(set(r.out.split()), {"0"})  # taken, and closed at once
        self.assertEqual(s.run("n").value, "9")

    def descriptors(self, s):
        try:
            return len(os.listdir("/proc/%d/fd" % s.pid()))
        except PermissionError:
            return 0

    @once
    def test_two_hundred_executions(self):
        s = self.start()
        s.run("x = 0")

        def memory():
            with open("/proc/%d/statm" % s.pid()) as f:
                return int(f.read().split()[1])

        for i in range(210):
            r = s.run("x += 1\nprint('y' * 1000)\nx", b"z" * 1000)
            self.assertEqual((r.value, len(r.out)), (str(i + 1), 1001))
            if i == 10:
                before = (memory(), self.descriptors(s))
            if i % 50 == 49:
                self.assertEqual(s.run("import os\nos._exit(0)").outcome, "rolled_back")
        self.assertLessEqual(memory(), before[0] + 16)
        # a point that is being made has a socket of its own for a moment
        until = time.monotonic() + scaled(10)
        while self.descriptors(s) > before[1] + 1 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertLessEqual(self.descriptors(s), before[1] + 1)
        children = int(s.run("import os\nlen([p for p in os.listdir('/proc') if p.isdigit()])").value)
        if self.prefix:
            self.assertLessEqual(children, 5)


@as_process
class AsProcess(Cases, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Cases, unittest.TestCase):
    prefix = namespaces() or ()

    def test_kill_of_everything(self):
        s = self.ten(self.start())
        self.assertEqual(s.run("import time\nos.kill(-1, 9)\nos.kill(1, 9)\ntime.sleep(.3)").outcome, "kept")
        r = s.run("os._exit(2)")
        self.assertEqual((r.outcome, r.state["to"]), ("rolled_back", 11))
        self.assertEqual(s.run("n").value, "9")
        r = s.run("os.kill(-1, 9)\nos._exit(2)")
        self.assertEqual(r.outcome, "lost")
        self.assertIn("ended", r.state["reason"])
        s.run("n = 1\nimport os")
        r = s.run("if os.fork() == 0:\n    os.kill(-1, 9)\nimport time\ntime.sleep(30)")
        self.assertEqual((r.status, r.outcome), ("signal", "lost"))
        self.kept(s.run("1"))

    def test_stopped_by_another_process(self):
        s = self.ten(self.start())
        stopped = os.path.join(self.directory(), "stopped")
        s.run("import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', "
              "'import os, sys, time; time.sleep(.5); os.kill(-1, 19); open(sys.argv[1], \"w\")', %r])" % stopped)
        self.await_file(stopped)
        r = s.run("n", timeout_ms=500, grace_ms=300)
        self.assertEqual((r.status, r.outcome), ("timeout", "rolled_back"))
        self.assertEqual(self.kept(s.run("n")).value, "9")

    def test_streams_of_pid_1(self):
        drop = shutil.which("setpriv")
        if os.getuid() == 0 and not drop:
            self.skipTest("root may write to them, and there is no setpriv")
        prefix = list(self.prefix)
        if os.getuid() == 0:
            directory = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, directory)
            os.chmod(directory, 0o755)
            for name in os.listdir(guest_client.GUEST):
                shutil.copy(os.path.join(guest_client.GUEST, name), directory)
            self.addCleanup(setattr, guest_client, "GUEST", guest_client.GUEST)
            guest_client.GUEST = directory
            prefix += [drop, "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                       "--no-new-privs"]
        s = self.start(prefix=prefix, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
        r = s.run(
            "import os, struct\nfake = b'{\"status\":\"exited\",\"exit_code\":77}'\n"
            "frame = struct.pack('<IBI', len(fake), 7, 1) + fake\ndone = []\n"
            "for n in list(range(64)) + ['../fd']:\n"
            "    for path in ('/proc/1/fd/%s' % n, '/proc/1/mem', '/proc/1/root/proc/1/fd/%s' % n):\n"
            "        try:\n"
            "            with open(path, 'wb', 0) as f: f.write(frame)\n"
            "            done.append(path)\n"
            "        except OSError: pass\n"
            "print(os.getuid())\ndone")
        self.assertEqual((r.value, r.code), ("[]", 0))
        self.kept(r)
        self.assertNotEqual(r.out, "0\n")


if __name__ == "__main__":
    runner.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Processes, memory and processor time at their limits, one case each. The names begin with the probe's number;
conformance/README.md says where the other probes are. Environment and last line as in cli_harness.py.
"""
import os
import tempfile
import threading
import unittest

import cli_harness
from cli_harness import SETUP, EngineCase, wait_until
from speed import setting

MIB = 1 << 20
OOM = "x = []\nwhile True: x.append(b'x' * (1 << 20))\n"


class Limits(EngineCase):
    def needs(self, *controls):
        for control in controls:
            if control in self.allow:
                self.skipTest(f"this engine cannot limit {control} here")

    def ends(self, code, *args, limit=90):
        done = self.dsb(*args, "-c", code, limit=limit)
        return done, self.result(done)


class Processes(Limits):
    def test_pr01_fork_until_it_fails(self):
        self.needs("pids")
        other = []
        thread = threading.Thread(target=lambda: other.append(self.run_ok("import os\nprint(sum(range(10)))")))
        _, result = self.ends("import os, time\nprint('go', flush=True)\nwhile True:\n if os.fork() == 0: time.sleep(60)", "--timeout", "20s")
        self.assertIn("BlockingIOError", result["stderr"])
        self.assertEqual(result["status"], "error")
        thread.start()
        thread.join()
        self.assertEqual(other[0]["stdout"], "45\n")
        self.assert_clean()

    def test_pr02_fork_for_ever(self):
        self.needs("pids")
        _, result = self.ends("import os\nwhile True:\n try: os.fork()\n except OSError: pass", "--timeout", "3s")
        self.assertEqual(result["status"], "timeout")
        self.assert_clean()

    def test_pr03_the_number_of_children_is_the_policys(self):
        self.needs("pids")
        code = ("import os, time\nn = 0\ntry:\n while True:\n  if os.fork() == 0: time.sleep(60)\n  n += 1\n"
                "except BlockingIOError: print(n)")
        _, result = self.ends(code, "--pids", "40")
        self.assertEqual(result["status"], "ok")
        # Process 1 and the interpreter count.
        self.assertEqual(int(result["stdout"]), 38)

    def test_pr04_threads(self):
        self.needs("pids")
        code = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"
        done, result = self.ends(code, "--pids", "40")
        self.assertEqual((done.status, result["status"]), (1, "error"))
        self.assertIn("can't start new thread", result["stderr"])

    def test_pr05_orphans_are_reaped(self):
        code = ("import glob, os, time\nfor _ in range(2000):\n p = os.fork()\n if p == 0:\n  if os.fork() == 0: os._exit(0)\n  os._exit(0)\n"
                " os.waitpid(p, 0)\nn, end = 99, time.monotonic() + 60\nwhile n > 5 and time.monotonic() < end:\n time.sleep(.1)\n n = 0\n"
                " for f in glob.glob('/proc/[0-9]*/stat'):\n"
                "  try: n += open(f).read().rsplit(')')[1].split()[0] == 'Z'\n  except OSError: pass\nprint(n)")
        self.assertLessEqual(int(self.run_ok(code, "--timeout", "300s", limit=300)["stdout"]), 5)

    def test_pr07_grandchild_that_prints_for_ever(self):
        code = ("import os\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  while True: os.write(1, b'y' * 4096)\n os._exit(0)\n"
                "os.wait()\nprint('end')")
        result = self.run_ok(code)
        self.assertLessEqual(len(result["stdout"]), MIB)
        self.assert_clean()

    def test_pr08_kill_everything(self):
        done, result = self.ends("import os\nprint('before', flush=True)\ntry: os.kill(-1, 9)\nexcept OSError: pass\nos.kill(os.getpid(), 9)")
        self.assertEqual((done.status, result["status"], result["signal"], result["stdout"]), (137, "signal", 9, "before\n"))
        self.assert_clean()

    def test_pr09_process_1_cannot_be_killed(self):
        code = ("import os, time\nfor pid in (1, os.getppid()):\n for s in (9, 15, 19, 11):\n  try: os.kill(pid, s)\n"
                "  except PermissionError: pass\ntime.sleep(.3)\nprint('here', os.getppid())")
        self.assertEqual(self.run_ok(code)["stdout"], "here 1\n")

    def test_pr10_everything_stopped(self):
        code = "import os, signal, time\nif os.fork() == 0: time.sleep(60)\nos.kill(0, signal.SIGSTOP)"
        done, result = self.ends(code, "--timeout", "1s")
        self.assertEqual((done.status, result["status"]), (124, "timeout"))
        self.assert_clean()

    def test_pr11_a_process_with_an_engines_name(self):
        code = ("import ctypes, os, time\nif os.fork() == 0:\n ctypes.CDLL(None).prctl(15, b'dockerd', 0, 0, 0)\n"
                " os.execv('/bin/sh', ['runc init', '-c', 'sleep 60; true'])\ntime.sleep(.3)\nprint('end')")
        self.assertEqual(self.run_ok(code)["stdout"], "end\n")
        self.assert_clean()

    def test_pr12_many_programs_one_after_the_other(self):
        code = "import subprocess\nprint(sum(subprocess.run(['true']).returncode for _ in range(500)))"
        self.assertEqual(self.run_ok(code, "--timeout", "60s")["stdout"], "0\n")

    def test_pr13_pool(self):
        code = "import multiprocessing\ndef f(x): return x * x\nwith multiprocessing.Pool(2) as p: print(p.map(f, [1, 2, 3]))"
        self.assertEqual(self.run_ok(code)["stdout"], "[1, 4, 9]\n")

    def test_pr14_one_at_its_limit_beside_another(self):
        self.needs("pids")
        full = self.popen("--pids", "40", "--session", "full", "-c", "import os, time\ntry:\n while True:\n  if os.fork() == 0: time.sleep(60)\n"
                          "except OSError: open('/sandbox/full', 'w').close()\ntime.sleep(25)")
        try:
            self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(cli_harness.WORK.base, "full", "full")), 30))
            self.assertEqual(self.run_ok("import subprocess\nprint(subprocess.run(['echo', 'hi'], capture_output=True).stdout)")["stdout"], "b'hi\\n'\n")
        finally:
            full.terminate()
            full.communicate(timeout=60)
        self.assert_clean()

    def test_pr15_no_core_file(self):
        with tempfile.TemporaryDirectory() as where:
            done = self.dsb("--session", "core", "-c", "import os, ctypes\nos.chdir('/sandbox')\nctypes.string_at(0)", cwd=where)
            result = self.result(done)
            self.assertEqual((done.status, result["status"], result["signal"]), (139, "signal", 11), done)
            self.assertEqual(os.listdir(where), [])
            self.assertEqual(os.listdir(os.path.join(cli_harness.WORK.base, "core")), [])

    def test_pr16_a_tree_that_ignores_signals(self):
        code = ("import os, signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nfor _ in range(3):\n"
                " if os.fork() != 0: break\nprint('up', flush=True)\nwhile True: time.sleep(9)")
        done, result = self.ends(code, "--timeout", "2s")
        self.assertEqual((done.status, result["status"]), (124, "timeout"))
        self.assert_clean()


class Memory(Limits):
    def assert_ends_for_memory(self, code, *args):
        done, result = self.ends(code, *args)
        if result["status"] == "error":
            self.assertIn("MemoryError", result["stderr"])
        else:
            self.assertEqual((done.status, result["status"]), (137, "oom"))
            self.assertGreaterEqual(result["usage"]["oom_kills"], 1)
        self.assert_clean()

    def test_me01_twice_the_limit(self):
        self.needs("memory")
        self.assert_ends_for_memory("x = bytearray(b'x') * (256 << 20)", "--memory", "128MiB")

    def test_me04_swap_does_not_help(self):
        self.needs("memory", "swap")
        done, result = self.ends("x = [bytearray(os.urandom(1)) * (1 << 20) for _ in range(228)]".replace("os.", "__import__('os').")
                                 + "\nprint('survived')", "--memory", "128MiB")
        self.assertEqual((done.status, result["status"], result["stdout"]), (137, "oom", ""))

    def test_me05_shared_memory(self):
        code = ("import errno, os\ns = os.statvfs('/dev/shm')\nsize = s.f_blocks * s.f_frsize\nf = os.open('/dev/shm/x', os.O_RDWR | os.O_CREAT)\n"
                "n = 0\ntry:\n while True: n += os.write(f, b'x' * 65536)\nexcept OSError as e: print(size >> 20, n == size, errno.errorcode[e.errno])")
        self.assertEqual(self.run_ok(code)["stdout"], "64 True ENOSPC\n")

    def test_me06_files_in_memory_count(self):
        self.needs("memory")
        code = ("open('/tmp/a', 'wb').write(bytes(60 << 20))\nopen('/dev/shm/b', 'wb').write(bytes(40 << 20))\nprint('full', flush=True)\n" + OOM)
        done, result = self.ends(code, "--memory", "160MiB")
        self.assertEqual((done.status, result["status"], result["stdout"]), (137, "oom", "full\n"))
        self.assertLessEqual(result["usage"]["memory_peak_bytes"], 161 * MIB)

    def test_me07_a_mapping_of_a_terabyte(self):
        self.needs("memory")
        self.assert_ends_for_memory("import mmap\ntry: m = mmap.mmap(-1, 1 << 40)\nexcept OSError: raise MemoryError\n"
                                    "for i in range(0, 1 << 40, 4096): m[i] = 1", "--memory", "128MiB")

    def test_me08_no_locked_memory(self):
        code = ("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                "print(libc.mlockall(3), ctypes.get_errno() in (1, 12))\n"
                "libc.mmap.restype = ctypes.c_void_p\n"
                "print(libc.mmap(None, 2 << 20, 3, 0x40022, -1, 0) == ctypes.c_void_p(-1).value, ctypes.get_errno() in (1, 12))")
        self.assertEqual(self.run_ok(code)["stdout"], "-1 True\nTrue True\n")

    def test_me09_descriptors_end(self):
        code = ("import errno, os, resource\nlimit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]\nn = []\ntry:\n while True: n.append(os.open('/dev/null', 0))\n"
                "except OSError as e: print(errno.errorcode[e.errno], max(n) + 1 == limit)")
        self.assertEqual(self.run_ok(code)["stdout"], "EMFILE True\n")

    def test_me10_recursion(self):
        self.needs("memory")  # frames of Python are on the heap: without a limit it goes on
        done, result = self.ends("import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()")
        self.assertIn((result["status"], done.status), (("error", 1), ("signal", 139), ("oom", 137)))

    def test_me11_three_near_their_limits(self):
        self.needs("memory")
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.run_ok("x = bytearray(b'x') * (100 << 20)\nprint(len(x))",
                                                                              "--memory", "160MiB"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([r["stdout"] for r in results], [f"{100 << 20}\n"] * 3)

    def test_me12_less_memory_than_an_engine_takes(self):
        done = self.dsb("--memory", "1MiB", "-c", "pass")
        self.assertEqual((done.status, self.result(done)["failure"]["code"]), (125, "invalid"), done)
        self.assertIn("memory", self.result(done)["failure"]["message"])

    def test_me13_the_page_cache_is_no_reason_to_die(self):
        self.needs("memory")
        code = "f = open('/sandbox/f', 'wb')\nfor _ in range(512): f.write(bytes(1 << 20))\nprint('written')"
        result = self.run_ok(code, "--memory", "128MiB", "--disk", "1GiB", "--timeout", "120s", limit=150)
        self.assertEqual((result["stdout"], result["usage"]["oom_kills"]), ("written\n", 0))


class Processor(Limits):
    def share(self, code, *args):
        usage = self.run_ok(code, *args, "--timeout", "60s")["usage"]
        return usage["cpu_ms"] / usage["wall_ms"]

    BUSY = "import time\nend = time.monotonic() + %d\nwhile time.monotonic() < end: pass\n"

    def test_cp01_one_processor(self):
        self.needs("cpu")
        self.assertLessEqual(self.share("import os\nfor _ in range(2): os.fork()\n" + self.BUSY % 4), 1.15)

    def test_cp02_half_a_processor(self):
        self.needs("cpu")
        self.assertLessEqual(self.share("import os\nfor _ in range(2): os.fork()\n" + self.BUSY % 4, "--cpus", "0.5"), 0.6)

    def test_cp05_more_than_the_machine_has(self):
        """PF-08, too: what a machine does not have is no reason to refuse, on any engine."""
        self.needs("cpu", "memory")
        result = self.run_ok("print('ran')", "--cpus", "500", "--memory", "4096GiB")
        self.assertEqual(result["stdout"], "ran\n")

    def test_cp03_time_in_one_c_call(self):
        done, result = self.ends("import re\nprint('go', flush=True)\nre.match('(a+)+$', 'a' * 64 + 'b')", "--timeout", setting(1))
        self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "go\n"))
        self.assert_clean()


if __name__ == "__main__":
    if not SETUP:
        raise SystemExit("test_probes_limits.py: needs an engine: DSB_TEST_SETUP and the others, see cli_harness.py")
    cli_harness.main([Processes, Memory, Processor])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What code, callers and machines do wrong, one case each: output, input, signals, time, exits, hostile files, disk,
concurrency. The names begin with the probe's number; conformance/README.md says where the other probes are.
Environment and last line as in cli_harness.py.
"""
import base64
import contextlib
import hashlib
import json
import os
import pty
import signal
import stat
import subprocess
import threading
import time
import unittest

import cli_harness
from cli_harness import BACKEND, EngineCase, command, dsandbox, environment, gate, let_go, read, scaled, wait_until
from speed import set_seconds, setting

MIB = 1 << 20


class Output(EngineCase):
    def test_ou02_streams_are_counted_apart(self):
        result = self.run_ok("import sys\nsys.stdout.write('o' * 10)\nfor i in range(3000): sys.stderr.write('e' * 1000)")
        self.assertEqual((result["stdout_bytes"], result["stdout_truncated"]), (10, False))
        self.assertEqual((result["stderr_bytes"], result["stderr_truncated"], len(result["stderr"])), (3000000, True, MIB))

    def test_ou03_one_line_of_64_mib(self):
        result = self.run_ok("print('x' * (64 << 20))")
        self.assertEqual(result["stdout_bytes"], (64 << 20) + 1)
        self.assertEqual(result["stdout"], "x" * MIB)

    def test_ou04_around_the_cap(self):
        for more, truncated in ((-1, False), (0, False), (1, True)):
            result = self.run_ok(f"import os\nos.write(1, b'x' * (1024 + {more}))", "--output-limit", "1KiB")
            self.assertEqual((result["stdout_bytes"], result["stdout_truncated"]), (1024 + more, truncated))

    def test_ou06_character_in_two_writes(self):
        result = self.run_ok("import os, time\nos.write(1, b'\\xe2\\x98'); time.sleep(0.05); os.write(1, b'\\x83')")
        self.assertEqual((result["stdout"], result["stdout_encoding"]), ("\u2603", "utf-8"))

    def test_ou07_control_characters(self):
        text = "\x1b[2J\x1b]0;t\x07\r\u2028\x00\x7f\x9b"
        done = self.dsb("-c", f"import os\nos.write(1, {text.encode()!r})")
        self.assertEqual(self.result(done)["stdout"], text)
        self.assertNotIn(b"\x1b", done.out, "JSON escapes it")

    def test_ou07_lone_surrogate(self):
        result = self.run_ok("import os\nos.write(1, b'a\\xed\\xa0\\x80')")
        self.assertEqual((result["stdout"], base64.b64decode(result["stdout_base64"])), ("a" + 3 * "\ufffd", b"a\xed\xa0\x80"))

    def test_ou09_looks_like_the_engines_framing(self):
        data = b"\x02\0\0\0\0\0\0\x10" * 100 + b"\x01\0\0\0\xff\xff\xff\xff"
        result = self.run_ok(f"import os\nos.write(1, {data!r})")
        self.assertEqual(result["stdout_bytes"], len(data))
        self.assertEqual(result["stderr_bytes"], 0)

    def test_ou10_output_then_error(self):
        done = self.dsb("-c", "print('before')\nraise ValueError('after')")
        result = self.result(done)
        self.assertEqual(result["stdout"], "before\n")
        self.assertRegex(result["stderr"], "ValueError: after\n$")

    def test_ou11_closed_streams_are_not_the_end(self):
        done = self.dsb("-c", "import os, time\nos.close(1); os.close(2); time.sleep(1); os._exit(7)")
        self.assertEqual((done.status, self.result(done)["exit_code"]), (7, 7), done)
        self.assertGreater(self.result(done)["usage"]["wall_ms"], 950)

    def test_ou12_closed_streams_and_no_end(self):
        done = self.dsb("--timeout", "1s", "-c", "import os, time\nfor f in range(3): os.close(f)\nwhile True: time.sleep(9)")
        self.assertEqual((done.status, self.result(done)["status"]), (124, "timeout"), done)

    def test_ou13_output_and_a_hard_exit(self):
        for _ in range(20):
            result = self.run_ok("import os\nos.write(1, b'y' * 102400)\nos._exit(0)")
            self.assertEqual((result["stdout_bytes"], len(result["stdout"])), (102400, 102400))

    def test_ou14_nothing(self):
        for _ in range(20):
            result = self.run_ok("pass")
            self.assertEqual((result["stdout"], result["stderr"], result["exit_code"]), ("", "", 0))

    def test_ou17_ways_around_the_pipe(self):
        result = self.run_ok("for n in ('/proc/1/fd/1', '/proc/1/fd/10', '/dev/stdout', '/proc/self/fd/1'):\n"
                             "  try:\n    f = open(n, 'w'); f.write('z' * 600); f.close(); print('wrote', n)\n"
                             "  except OSError as e: print(n, e.errno)", "--output-limit", "1KiB")
        self.assertEqual((len(result["stdout"]), result["stdout_truncated"]), (1024, True))
        self.assertIn("/proc/1/fd/1 13", result["stdout"])

    def test_ou18_no_gap(self):
        result = self.run_ok("for i in range(200000): print(i)")
        lines = result["stdout"].split("\n")[:-1]
        self.assertGreater(len(lines), 100000)
        self.assertEqual(lines, [str(i) for i in range(len(lines))])


class Input(EngineCase):
    def test_si01_no_input(self):
        done = self.dsb("-c", "input()")
        self.assertEqual(self.result(done)["error"]["name"], "EOFError", done)

    def test_si03_ten_mib(self):
        data = os.urandom(10 * MIB)
        path = cli_harness.WORK.file(data)
        result = self.run_ok("import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())", "--stdin", path)
        self.assertEqual(result["stdout"].strip(), hashlib.sha256(data).hexdigest())

    def test_si05_closed_by_the_code(self):
        path = cli_harness.WORK.file(b"i" * (4 * MIB))
        result = self.run_ok("import os\nos.close(0)\nprint('x' * 1000000)", "--stdin", path)
        self.assertEqual(result["stdout_bytes"], 1000001)

    def test_si06_slow_input_and_its_end(self):
        process = self.popen_with_input("import sys\nprint(sys.stdin.read())")
        for part in (b"a", b"b"):
            time.sleep(0.3)
            process.stdin.write(part)
            process.stdin.flush()
        out, err = process.communicate(timeout=60)
        self.assertEqual(json.loads(out)["stdout"], "ab\n", err)

    def popen_with_input(self, code):
        options = ["--backend", BACKEND, "run", "--no-service", "--json", "--base-dir", cli_harness.WORK.base, "--stdin", "-"]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        return cli_harness.start(*options, "-c", code, stdin=subprocess.PIPE)

    def test_si07_no_terminal_inside(self):
        main, side = pty.openpty()
        try:
            done = self.dsb("-c", "import os\nprint([os.isatty(f) for f in range(3)])", stdin=side)
        finally:
            os.close(main)
            os.close(side)
        self.assertEqual(self.result(done)["stdout"], "[False, False, False]\n", done)

    def test_si08_kinds_of_files(self):
        good = {b"\xef\xbb\xbfprint('bom')": "bom\n", b"if 1:\r\n  print('crlf')\r\n": "crlf\n", b"print('end')": "end\n",
                b"# only a comment": "", "print('\u2603')".encode(): "\u2603\n"}
        for code, out in good.items():
            with self.subTest(code):
                self.assertEqual(self.result(self.dsb(cli_harness.WORK.file(code)))["stdout"], out)
        self.assert_failure(self.dsb(cli_harness.WORK.file(b"print('\xe9')")), "invalid", "utf-8")
        self.assertEqual(self.result(self.dsb(cli_harness.WORK.file(b"pass\0")))["error"]["name"], "SyntaxError")

    def test_si09_nothing_is_a_shell(self):
        result = self.run_ok("print('$(id) `id` \" \\' ; | & \\n$HOME')", "--env", "A=$(id);`id`")
        self.assertEqual(result["stdout"], "$(id) `id` \" ' ; | & \n$HOME\n")
        for name in ("-c.py", "--privileged", "-v", "a b;c$(id).py"):
            path = cli_harness.WORK.file("import sys; print(sys.argv)", name)
            with self.subTest(name):
                self.assertIn(name, self.result(self.dsb(path, "--", "-v", "--rm", "$(id)"))["stdout"])


class Signals(EngineCase):
    def test_sg02_every_handler(self):
        done = self.dsb("--timeout", setting(1), "-c",
                        "import signal, time\nfor n in signal.valid_signals() - {9, 19}: signal.signal(n, signal.SIG_IGN)\n"
                        "print('up', flush=True)\nwhile True: time.sleep(9)")
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "up\n"), done)
        self.assertLess(result["usage"]["wall_ms"], 1000 * (set_seconds(1) + scaled(1.5)))

    def test_sg03_each_signal(self):
        for number in (1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 31):
            with self.subTest(number):
                done = self.dsb("-c", f"import os, signal\nif {number} not in (9, 19): signal.signal({number}, 0)\nos.kill(os.getpid(), {number})")
                result = self.result(done)
                self.assertEqual((done.status, result["status"], result["signal"]), (128 + number, "signal", number), done)

    def test_sg06_program_stopped(self):
        process = self.popen("--timeout", setting(1), "-c", "import time\nprint('up', flush=True)\ntime.sleep(600)", json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        process.send_signal(signal.SIGSTOP)
        time.sleep(set_seconds(1) + 2)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 124, err)
        self.assert_clean()

    def test_sg07_odd_signal_state(self):
        """Ignored SIGCHLD, blocked signals: the program still sees its children end, and nothing of it gets inside."""
        def spoil():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})
        result = self.run_ok("import signal\nprint(sorted(signal.pthread_sigmask(0, [])), signal.getsignal(signal.SIGCHLD))",
                             preexec_fn=spoil)
        self.assertEqual(result["stdout"], "[] 0\n")

    def test_sg08_alarm(self):
        done = self.dsb("-c", "import signal, time\nsignal.alarm(1)\ntime.sleep(20)")
        self.assertEqual(self.result(done)["signal"], signal.SIGALRM, done)

    def test_sg09_faults(self):
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS):
            with self.subTest(number):
                done = self.dsb("-c", f"import os\nos.kill(os.getpid(), {int(number)})")
                self.assertEqual((done.status, self.result(done)["signal"]), (128 + number, number), done)


class Time(EngineCase):
    def test_tm02_ways_to_wait(self):
        for code in ("while True: pass", "import select\nselect.select([], [], [])", "import signal\nsignal.pause()",
                     "import os\nos.kill(os.getpid(), 19)", "import threading\nthreading.Event().wait()"):
            with self.subTest(code):
                done = self.dsb("--timeout", setting(1), "-c", "print('kept', flush=True)\n" + code)
                result = self.result(done)
                self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "kept\n"), done)
                limit = 1000 * set_seconds(1)
                self.assertTrue(limit - 100 <= result["usage"]["wall_ms"] <= limit + 1000 * scaled(1.25), result["usage"])

    def test_tm03_children_in_sessions_of_their_own(self):
        mark = f"97.{os.getpid()}"
        done = self.dsb("--timeout", "1s", "-c", "import subprocess, time\n"
                        f"for i in range(20): subprocess.Popen(['sleep', '{mark}'], start_new_session=True)\ntime.sleep(60)")
        self.assertEqual(self.result(done)["status"], "timeout", done)
        running = lambda: [p for p in os.listdir("/proc") if p.isdigit() and mark.encode() in read(f"/proc/{p}/cmdline")]
        self.assertTrue(wait_until(lambda: not running(), 5), running())

    def test_tm05_end_near_the_limit(self):
        for seconds in (0.95, 1.0, 1.05):
            done = self.dsb("--timeout", "1s", "-c", f"import time\ntime.sleep({seconds})")
            result = self.result(done)
            self.assertIn((done.status, result["status"]), ((0, "ok"), (124, "timeout")), done)


class Exits(EngineCase):
    def test_ex01_statuses(self):
        for status in (1, 2, 42, 124, 128, 139, 143, 255):
            with self.subTest(status):
                done = self.dsb("-c", f"import sys\nsys.exit({status})")
                result = self.result(done)
                self.assertEqual((done.status, result["status"], result["exit_code"]), (status, "error", status), done)
                self.assertIsNone(result["failure"])

    def test_ex02_odd_values(self):
        for value, status in (("256", 0), ("-1", 255), ("2**31", 0), ("'text'", 1), ("None", 0), ("True", 1)):
            with self.subTest(value):
                self.assertEqual(self.dsb("-c", f"import sys\nsys.exit({value})").status, status)

    def test_ex04_hard_exit_with_zero(self):
        result = self.run_ok("import sys, os\nsys.stdout = open(1, 'w', 65536, closefd=False)\nprint('never flushed')\nos._exit(0)")
        self.assertEqual(result["stdout"], "")

    def test_ex05_137_is_no_oom(self):
        done = self.dsb("-c", "import sys\nsys.exit(137)")
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["usage"]["oom_kills"]), (137, "error", 0), done)

    def test_ex08_abort(self):
        self.assertEqual(self.dsb("-c", "import os\nos.abort()").status, 134)


class Hostile(EngineCase):
    def test_ht01_links_are_not_followed(self):
        """A link to a file of the host is listed as itself, and is gone with its session."""
        result = self.run_ok("import os\nos.symlink('/etc/hostname', '/sandbox/output.json'); os.symlink('/', '/sandbox/root')",
                             "--session", "links")
        self.assertEqual(sorted(f["path"] for f in result["files"]["created"]), ["output.json", "root"])
        self.assertLess(max(f["size"] for f in result["files"]["created"]), 100)

    def test_ht11_set_user_id_bits(self):
        self.run_ok("import os\nopen('/sandbox/s', 'w').close(); os.chmod('/sandbox/s', 0o6755)", "--session", "bits")
        mode = os.stat(os.path.join(cli_harness.WORK.base, "bits", "s")).st_mode
        owner = os.stat(os.path.join(cli_harness.WORK.base, "bits", "s")).st_uid
        self.assertTrue(stat.S_ISREG(mode))
        self.assertNotEqual(owner, 0, "never root's")

    def test_ht17_modules_in_the_session(self):
        for name in ("json.py", "traceback.py", "sitecustomize.py", "usercustomize.py", "x.pth", "struct.py", "mmap.py"):
            self.run_ok(f"open('/sandbox/{name}', 'w').write('raise SystemExit(99)' if '{name}' != 'x.pth' else 'import sys; sys.exit(98)')",
                        "--session", "shadow")
        self.assertEqual(self.run_ok("print('fine')\n1 + 1", "--session", "shadow")["stdout"], "fine\n")
        done = self.dsb("--session", "shadow", "-c", "1 / 0")
        self.assertEqual(self.result(done)["error"]["name"], "ZeroDivisionError", done)

    def test_ht19_odd_times(self):
        result = self.run_ok("import os\nfor i, t in enumerate((-1, 2**33, 0)):\n  n = f'/sandbox/t{i}'; open(n, 'w').close(); os.utime(n, (t, t))",
                             "--session", "times")
        self.assertEqual(len(result["files"]["created"]), 3)

    def test_ht20_many_links_to_one_file(self):
        result = self.run_ok("import os\nopen('/sandbox/l', 'wb').write(b'x' * 4096)\nfor i in range(20000): os.link('/sandbox/l', f'/sandbox/l{i}')",
                             "--disk", "10MiB")
        self.assertTrue(result["files"]["truncated"] or len(result["files"]["created"]) == 20001)

    def test_se04_fresh_directories(self):
        process = self.popen("-c", "import time\nprint('up', flush=True)\ntime.sleep(20)", json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        names = [n for n in os.listdir(cli_harness.WORK.base) if n.startswith(".run")]
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0], "^\\.run-[a-z2-7]{26}$", "at least 128 random bits")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(cli_harness.WORK.base, names[0])).st_mode) & 0o077, 0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        self.assert_clean()

    def test_se09_ids_that_differ_by_case(self):
        self.run_ok("open('/sandbox/f', 'w').write('a')", "--session", "Case")
        self.assertEqual(self.run_ok("import os\nprint(os.listdir('/sandbox'))", "--session", "case")["stdout"], "[]\n")


class Disk(EngineCase):
    def test_dk01_tmp_is_full(self):
        result = self.run_ok("import errno\nf = open('/tmp/f', 'wb'); n = 0\ntry:\n  while True: n += f.write(bytes(1 << 20)); f.flush()\n"
                             "except OSError as e: print(errno.errorcode[e.errno], n >> 20)", "--tmp-size", "20MiB")
        self.assertRegex(result["stdout"], r"^ENOSPC (19|20)\n$")

    def test_dk02_a_million_empty_files(self):
        """Podman takes no bound on the inodes of a tmpfs; files without content are charged to the memory limit."""
        if "memory" in self.allow:
            self.skipTest("this engine holds no memory limit here")
        done = self.dsb(*cli_harness.LONG, "--memory", "128MiB", "-c", "import errno\ntry:\n  for n in range(1000000):\n    open(f'/tmp/{n}', 'x').close()\n"
                        "    if n % 10000 == 0: print(n, flush=True)\n  print('all')\nexcept OSError as e: print(errno.errorcode[e.errno])")
        result = self.result(done)
        words = result["stdout"].split()
        self.assertIn((done.status, result["status"]), ((137, "oom"), (0, "ok")), done)
        self.assertGreater(len(words), 2, "it got somewhere")
        if done.status == 0:
            self.assertIn(words[-1], ("ENOSPC", "ENOMEM"), done)
        self.assert_clean()

    def test_dk05_dk07_beyond_the_largest_file(self):
        result = self.run_ok("import errno, os\nf = os.open('/sandbox/f', os.O_RDWR | os.O_CREAT)\n"
                             "for call in (lambda: os.truncate(f, 1 << 50), lambda: os.pwrite(f, b'x', 1 << 40)):\n"
                             "  try: call(); print('ok')\n  except OSError as e: print(errno.errorcode[e.errno])")
        self.assertEqual(result["stdout"].split(), ["EFBIG", "EFBIG"])

    def test_dk06_space_without_writing(self):
        done = self.dsb("-c", "import os\nf = os.open('/sandbox/f', os.O_RDWR | os.O_CREAT)\nos.posix_fallocate(f, 0, 10 << 30)\nprint('got it')")
        self.assertIn((done.status, self.result(done)["status"]), ((137, "disk_limit"), (1, "error")), done)
        self.assertEqual(self.result(done)["stdout"], "")

    @unittest.skipUnless(os.getuid() == 0, "needs root to look at other users' processes")
    def test_dk10_deleted_and_open(self):
        """Its space is given back when nobody holds it; how much is free on the disk is up to others, too."""
        mark = os.urandom(8).hex()
        process = self.popen("--session", "deleted", "--timeout", "10m", "-c", f"f = open('{mark}', 'wb'); f.write(bytes(50 << 20)); f.flush()\n"
                             f"import os; os.unlink('{mark}'); open('up', 'w').close()\n{gate()}")
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(cli_harness.WORK.base, "deleted", "up")), 30))
        self.assertNotEqual(holders_of(mark), [], "the search finds who holds it")
        let_go("deleted")
        out, err = process.communicate(timeout=60)
        self.assertEqual(json.loads(out)["status"], "ok", err)
        self.assertTrue(wait_until(lambda: not holders_of(mark), 20), holders_of(mark))

    def test_dk12_nothing_stays_for_the_next(self):
        self.run_ok("for d in ('/tmp', '/dev/shm', '/var/tmp'): open(d + '/left', 'w').write('x')", "--session", "left")
        result = self.run_ok("import os\nprint([d for d in ('/tmp', '/dev/shm', '/var/tmp', '/run') if os.path.exists(d + '/left')])",
                             "--session", "left")
        self.assertEqual(result["stdout"], "[]\n")

    def test_dk11_no_room_behind_a_mapping(self):
        done = self.dsb("--tmp-size", "1MiB", "-c", "import mmap, os\nf = os.open('/tmp/f', os.O_RDWR | os.O_CREAT)\n"
                        "os.ftruncate(f, 8 << 20)\nm = mmap.mmap(f, 8 << 20)\nfor i in range(0, 8 << 20, 4096): m[i] = 1")
        self.assertEqual((done.status, self.result(done)["signal"]), (128 + signal.SIGBUS, signal.SIGBUS), done)


def holders_of(name):
    """Processes with an open file of this name."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            found += [pid for file in os.listdir(f"/proc/{pid}/fd") if name in os.readlink(f"/proc/{pid}/fd/{file}")]
    return found


def helpers_of(name):
    """The engine's own processes of one container: its monitor or shim."""
    identity = cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["Id"]
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = read(f"/proc/{pid}/cmdline")
        if identity.encode() in line and (b"conmon" in line.split(b"\0")[0] or b"containerd-shim" in line.split(b"\0")[0]):
            found.append(int(pid))
    return found


class Concurrent(EngineCase):
    @unittest.skipIf(BACKEND == "oci", "a container without an engine has no monitor: we hold its streams")
    def test_cc05_monitor_killed(self):
        """Whoever holds the container's streams dies in the middle: an honest end, never success, and nothing stays."""
        process = self.popen("--timeout", setting(6), "--session", "monitor", "-c", "import time\nopen('/sandbox/up', 'w').close()\ntime.sleep(600)\nprint('end')")
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(cli_harness.WORK.base, "monitor", "up")), 30))
        for pid in helpers_of(cli_harness.containers()[0]):
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        result = json.loads(out)
        self.assertNotEqual((process.returncode, result["status"]), (0, "ok"), result)
        self.assertIsNotNone(result["failure"], result)
        if not wait_until(lambda: not cli_harness.containers(), set_seconds(6) + 9):
            dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base)
        self.assert_clean(20)

    def test_cc06_killed_at_any_moment(self):
        for i in range(20):
            process = self.popen("--timeout", "2s", "-c", "print('up', flush=True)\nimport time; time.sleep(0.1)", json_=False)
            time.sleep(0.02 * i)
            process.kill()
            process.communicate(timeout=30)
        time.sleep(3)
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base)
        self.assertEqual(done.status, 0, done)
        self.assert_clean(20)
        self.assertEqual(self.run_ok("print('still works')")["stdout"], "still works\n")

    @unittest.skipUnless(os.getuid() == 0, "needs the right to mount")
    def test_cc07_no_room_in_the_base_directory(self):
        place = cli_harness.WORK.dir("full", 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={cli_harness.WORK.uid}", "full", place], check=True)
        try:
            with open(place + "/filler", "wb", 0) as filler:
                try:
                    while True:
                        filler.write(bytes(4096))
                except OSError:
                    pass
            done = dsandbox("--backend", BACKEND, "run", "--no-service", "--json", "--base-dir", place + "/base", "-c", "pass",
                            *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []))
            self.assert_failure(done, "limit", "free", "room")
        finally:
            subprocess.run(["umount", "-l", place], check=True)

    def test_cc01_side_by_side(self):
        wrong = []

        def one(number):
            nonce = os.urandom(16).hex()
            done = self.dsb("-c", f"print('{nonce}' * 100)")
            if self.result(done)["stdout"] != nonce * 100 + "\n":
                wrong.append(str(done))
        threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assert_clean()

    def test_cc08_base_directory_that_cannot_be(self):
        for path, word in ((os.path.join(cli_harness.WORK.path, "no/such/parent"), "no such"), ("/proc/x", "/proc/x")):
            with self.subTest(path):
                done = dsandbox("--backend", BACKEND, "run", "--no-service", "--json", "--base-dir", path, "-c", "pass",
                                *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []))
                result = self.result(done)
                self.assertEqual(done.status, 125, done)
                self.assertIn(word, result["failure"]["message"].lower())

    @unittest.skipUnless(cli_harness.AS, "root has no limit on processes; the others are in tests/edges/test_short.py")
    def test_cc09_few_processes(self):
        """The answer, or the reason and an end in order, and nothing is left."""
        argv, env = command(["--backend", BACKEND, "run", "--no-service", "--base-dir", cli_harness.WORK.base,
                             *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []), "-c", "print(6 * 7)"], environment())
        place = argv.index(cli_harness.PROGRAM)
        for number in (1, 2, 10, 4000):
            done = subprocess.run([*argv[:place], "prlimit", f"--nproc={number}:{number}", *argv[place:]], env=env,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd="/", check=False)
            with self.subTest(number):
                if done.returncode == 0 or number == 4000:
                    self.assertEqual((done.returncode, done.stdout), (0, b"42\n"), done)
                else:
                    self.assertEqual((done.returncode, done.stdout), (125, b""), done)
                    self.assertIn(b"resource temporarily unavailable", done.stderr.lower(), done)
        self.assertTrue(wait_until(lambda: not cli_harness.containers(), 45), "pid 1 ends by itself")
        dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base)
        self.assert_clean()


class Callers(EngineCase):
    def own(self, argv, env=None, **how):
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90,
                              check=False, **how)
        return done, json.loads(done.stdout)

    def argv(self, *args):
        allow = ["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []
        return command(["--backend", BACKEND, "run", "--no-service", "--json", "--base-dir", cli_harness.WORK.base, *allow, *args],
                       environment())

    @unittest.skipIf(cli_harness.AS, "the wrapper of the rootless user has an environment of its own")
    def test_cl03_no_environment(self):
        host = ["--host", cli_harness.ENDPOINT] if BACKEND == "oci" else []  # else found by the home directory, which there is none of
        argv, env = self.argv(*host, "-c", "print('ran')")
        done, result = self.own(argv, {k: v for k, v in env.items() if k in ("DOCKER_HOST", "CONTAINER_HOST")}, cwd="/")
        self.assertEqual((done.returncode, result["stdout"]), (0, "ran\n"), done)

    def test_cl04_umask(self):
        for mask in (0o000, 0o777):
            argv, env = self.argv("--session", f"mask{mask:o}", "-c", "open('/sandbox/f', 'w').close()")
            done, result = self.own(argv, env, cwd="/", umask=mask)
            self.assertEqual((done.returncode, result["status"]), (0, "ok"), done)
            place = os.path.join(cli_harness.WORK.base, f"mask{mask:o}")
            self.assertEqual(os.stat(place).st_mode & 0o007, 0)
            self.assertEqual(os.stat(os.path.join(place, "f")).st_mode & 0o777, 0o644)

    def test_cl05_the_working_directory_is_gone(self):
        argv, env = self.argv("-c", "import os; print(os.getcwd())")
        done, result = self.own(["sh", "-c", 'd=$(mktemp -d) && chmod 777 "$d" && cd "$d" && rmdir "$d" && exec "$@"', "sh", *argv], env)
        self.assertEqual((done.returncode, result["stdout"]), (0, "/sandbox\n"), done)

    def test_cl06_images_that_look_like_options(self):
        for image in ("--privileged", "-v/:/h", "a b", "x\ny", "", "../x", "a" * 5000):
            done = self.dsb("--image", image, "-c", "pass")
            self.assertEqual((done.status, self.result(done)["failure"]["code"]), (125, "invalid"), done)

    def test_cl07_environment_that_is_two_variables(self):
        for bad in ("=x", "A", "A B=x", "A\nB=y"):
            done = self.dsb("--env", bad, "-c", "pass")
            self.assertEqual((done.status, self.result(done)["failure"]["code"]), (125, "invalid"), done)
        result = self.run_ok("import os\nprint([os.environ['A'], 'B' in os.environ])", "--env", "A=x\nB=y")
        self.assertEqual(result["stdout"], "['x\\nB=y', False]\n")

    def test_cl08_odd_arguments(self):
        long = "x" * 100000
        done = self.dsb("-c", "import sys\nprint([len(a) for a in sys.argv[1:]])", "--", long, "", "a b")
        self.assertEqual((done.status, self.result(done)["stdout"]), (0, "[100000, 0, 3]\n"))
        done = self.dsb("-c", "import sys\nprint(sys.argv[1:])", "--", b"\xff\xfe")
        self.assertIn(self.result(done)["status"], ("ok", "error"))
        self.assertIn(done.status, (0, 125))


class Images(EngineCase):
    NAME = "localhost/dsb-pin"

    def engine(self, method, path, body=None):
        connection = cli_harness.UnixConnection(cli_harness.ENDPOINT[len("unix://"):])
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.assertIn(answer.status, (200, 201), text)

    @unittest.skipIf(BACKEND == "oci", "there is no engine to give a tag; test_oci_images.c has names that come to mean another image")
    def test_en22_tag_that_comes_to_mean_another_image(self):
        """Whoever gives the id, which every result has, gets that image; the tag is looked up each time."""
        identity = self.run_ok("pass")["image"]["id"]
        self.addCleanup(self.engine, "DELETE", f"/images/{self.NAME}:1?force=true")
        self.engine("POST", f"/images/{identity}/tag?repo={self.NAME}&tag=1")
        self.assertEqual(self.run_ok("pass", "--image", f"{self.NAME}:1")["image"]["id"], identity)
        self.engine("POST", f"/v4.0.0/libpod/images/import?reference={self.NAME}:1" if BACKEND == "podman" else
                    f"/images/create?fromSrc=-&repo={self.NAME}&tag=1", bytes(10240))  # an empty archive
        result = self.result(self.dsb("--image", f"{self.NAME}:1", "-c", "pass"))
        self.assertNotEqual((result["status"], result["image"]["id"]), ("ok", identity))
        self.assertEqual(self.run_ok("pass", "--image", identity)["image"]["id"], identity)


if __name__ == "__main__":
    cli_harness.main([Output, Input, Signals, Time, Exits, Hostile, Disk, Concurrent, Callers, Images])

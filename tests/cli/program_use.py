# SPDX-License-Identifier: MIT
"""On a real engine: input, signals and what is left, verbs, the examples."""
import base64
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time

import example_names
from cli_harness import (AS, BACKEND, EXAMPLES, HARD_LIMIT, RUNS, WORK, Done, EngineCase, command, container_pid, containers, dsandbox,
                         environment, gate, kill_container, let_go, processes, running, scaled, wait_until)
from speed import setting


class Input(EngineCase):
    def test_stdin_file(self):
        data = os.urandom(300000)
        result = self.run_ok("import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())", "--stdin", WORK.file(data))
        import hashlib
        self.assertEqual(result["stdout"].strip(), hashlib.sha256(data).hexdigest())

    def test_code_from_a_descriptor(self):
        """`run /dev/stdin` and `run <(command)`, whose command has ended before we look."""
        done = self.dsb("/dev/stdin", data=b"print(1)")
        self.assertEqual((done.status, self.result(done)["stdout"]), (0, "1\n"), done)
        if AS:
            return  # the wrapper passes no other descriptors on
        for options, text, expected in (([], b"print(2)", "2\n"), (["-c", "print(input())", "--stdin"], b"three", "three\n")):
            reader, writer = os.pipe()
            os.write(writer, text)
            os.close(writer)
            done = self.dsb(*options, f"/dev/fd/{reader}", pass_fds=[reader])
            os.close(reader)
            self.assertEqual((done.status, self.result(done)["stdout"]), (0, expected), done)

    def test_stdin_is_empty_by_default(self):
        self.assertEqual(self.run_ok("import sys; print(repr(sys.stdin.read()))", data=b"ours")["stdout"], "''\n")

    def test_stdin_unread(self):
        self.run_ok("print(1)", "--stdin", WORK.file(b"x" * (4 << 20)))

    def test_arguments(self):
        arguments = ["a b", "", "--memory=1", "-c", "'\"$HOME`", "\u2603", "--"]
        done = self.dsb("-c", "import sys; print(sys.argv[1:])", "--", *arguments)
        self.assertEqual(self.result(done)["stdout"], repr(arguments) + "\n", done)

    def test_environment(self):
        done = self.dsb("--env", "A=1", "--env", "B=x=y z", "-c", "import os; print(os.environ['A'], os.environ['B'])")
        self.assertEqual(self.result(done)["stdout"], "1 x=y z\n", done)

    def test_any_locale(self):
        for locale in ("C", "POSIX", "C.UTF-8"):
            with self.subTest(locale):
                done = self.dsb("--env", "NAME=\u2603", "-c", "import os; print('\u2603', os.environ['NAME'])", env={"LANG": locale, "LC_ALL": locale})
                self.assertEqual(self.result(done)["stdout"], "\u2603 \u2603\n", done)

    def test_nothing_of_our_environment(self):
        done = self.dsb("-c", "import os; print(sorted(os.environ))", env={"DSB_SECRET": "x", "HTTP_PROXY": "http://x", "AWS_SECRET_ACCESS_KEY": "x"})
        names = self.result(done)["stdout"]
        for name in ("DSB_SECRET", "HTTP_PROXY", "http_proxy", "AWS", "DOCKER_HOST", "CONTAINER_HOST"):
            self.assertNotIn(name, names)

    def test_code_from_standard_input(self):
        done = self.dsb("-", data=b"print('from stdin')\n")
        self.assertEqual(self.result(done)["stdout"], "from stdin\n", done)

    def test_alone(self):
        """`dsandbox` with no verb reads a program from standard input."""
        options = ["--backend", BACKEND, "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        done = dsandbox(*options, data=b"print('alone')\n")
        self.assertEqual((done.status, done.stdout), (0, "alone\n"), done)

    def test_empty_program(self):
        self.assertEqual(self.run_ok("")["stdout"], "")

    def test_large_program(self):
        path = WORK.file("x = 1\n" * 50000 + "# " + "x" * (3 << 20) + "\nprint('end')\n")
        self.assertEqual(self.result(self.dsb(path))["stdout"], "end\n")

    def test_file_name_in_traceback(self):
        path = WORK.file("raise KeyError('k')\n", "named.py")
        result = self.result(self.dsb(path))
        self.assertIn("named.py", str(result["error"]["traceback"]))

    def test_text_output_streams(self):
        """The first line is here before the second one can be printed."""
        process = self.popen("--session", "streams", "--timeout", "10m", "-c", f"print('first', flush=True)\n{gate()}print('second')", json_=False)
        self.addCleanup(process.communicate)
        self.assertEqual(process.stdout.readline(), b"first\n")
        let_go("streams")
        rest, err = process.communicate(timeout=60)
        self.assertEqual((rest, process.returncode), (b"second\n", 0), err)

    def test_text_streams_are_apart(self):
        done = self.dsb("-c", "import sys; print('o'); print('e', file=sys.stderr)", json_=False)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "o\n", "e\n"), done)

    def test_verbose_says_why(self):
        done = self.dsb("-v", "-c", "print(1)")
        self.assertEqual(self.result(done)["stdout"], "1\n")
        self.assertNotEqual(done.stderr, "")


class Newcomer(EngineCase):
    def test_ids_of_an_image(self):
        """With and without the kind of digest, whole and in part."""
        identity = self.run_ok("1")["image"]["id"]
        self.assertRegex(identity, "^sha256:[0-9a-f]{64}$")
        digits = identity.partition(":")[2]
        for name in (identity, digits, digits[:12], "sha256:" + digits[:12]):
            with self.subTest(name):
                self.assertEqual(self.run_ok("1", "--image", name)["image"]["id"], identity)

    def test_image_missing(self):
        done = self.dsb("--image", "dsandbox-nonesuch:1", "-c", "pass")
        self.assert_failure(done, "not_found", "dsandbox-nonesuch:1", "image build|--image|pull")
        self.assert_clean()

    def test_base_dir_of_others(self):
        path = WORK.dir("others", 0o700)
        os.chown(path, 12345, 12345)
        self.assert_failure(dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing()),
                            "denied", re.escape(path), " base_dir")

    def allowing(self):
        return ["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []

    def test_base_dir_writable_by_others(self):
        for mode in (0o777, 0o770, 0o1777):
            path = WORK.dir(f"open{mode:o}", mode)
            done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing())
            self.assert_failure(done, "denied", re.escape(path))

    def test_base_dir_is_a_link(self):
        path = os.path.join(WORK.path, "link-to-base")
        os.symlink(WORK.dir("linked", 0o700), path)
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", path, "-c", "pass", *self.allowing())
        self.assert_failure(done, "denied", "link-to-base")

    def test_base_dir_is_a_file(self):
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.file(b""), "-c", "pass", *self.allowing())
        self.assert_failure(done, "denied")

    def test_session_in_use(self):
        process = self.popen("--session", "busy", "--timeout", "10m", "-c", "print(1, flush=True)\n" + gate(), json_=False)
        self.addCleanup(process.communicate)
        self.addCleanup(let_go, "busy")
        self.assertEqual(process.stdout.readline(), b"1\n")
        self.assert_failure(self.dsb("--session", "busy", "-c", "pass"), "busy", "busy", "in use")

    def test_session_directory_is_a_link(self):
        target = WORK.dir("target", 0o700)
        os.symlink(target, os.path.join(WORK.base, "evil"))
        self.addCleanup(os.unlink, os.path.join(WORK.base, "evil"))
        done = self.dsb("--session", "evil", "-c", "open('/sandbox/x','w')")
        self.assert_failure(done, None)
        self.assertEqual(os.listdir(target), [])


def waiting_in(pipe):
    """Bytes that nobody has read."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


class Ending(EngineCase):
    CODE = "import time; print('up', flush=True); time.sleep({})"

    def end_with(self, number, seconds=15):
        process = self.popen("--timeout", "60", "-c", self.CODE.format(60), json_=False)
        try:
            self.assertEqual(process.stdout.readline(), b"up\n", process.stderr)
            self.assertEqual(len(containers()), 1)
            begin = time.monotonic()
            process.send_signal(number)
            process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.assertLess(time.monotonic() - begin, scaled(seconds))
        self.assert_clean()
        return process.returncode

    def test_interrupt(self):
        self.assertEqual(self.end_with(signal.SIGINT), 130)

    def test_terminate(self):
        self.assertIn(self.end_with(signal.SIGTERM), (130, 143))

    def test_hang_up(self):
        self.assertNotEqual(self.end_with(signal.SIGHUP), 0)

    def test_cancelled_in_json(self):
        process = self.popen("--timeout", "10m", "-c", "print('kept', flush=True)\nopen('/sandbox/up','w').close()\nimport time; time.sleep(600)", "--session", "cancel")
        marker = os.path.join(WORK.base, "cancel", "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 40))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        result = self.result(Done(["…"], process.returncode, out, err, 0))
        self.assertEqual((result["status"], result["stdout"]), ("cancelled", "kept\n"))
        self.assert_clean()

    def test_interrupt_at_any_moment(self):
        """A signal during start-up: an answer, and nothing left behind."""
        for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8):
            with self.subTest(delay=delay):
                process = self.popen("-c", "import time; time.sleep(30)")
                time.sleep(delay)
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate(timeout=40)
                # before the handler is in place the signal itself may end the program; then nothing was made yet
                if process.returncode != -signal.SIGTERM:
                    done = Done(["…"], process.returncode, out, err, 0)
                    self.assertEqual(self.result(done)["status"], "cancelled", done)
        self.assert_clean()

    def test_the_next_run_removes_what_a_killed_one_left(self):
        """Two containers never write into one session directory, even where the old one does not want to die."""
        process = self.popen("--timeout", "60", "--session", "stale", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        (old,) = containers()
        pid = container_pid(old)
        os.kill(pid, signal.SIGSTOP)  # pid 1 of the container, which does not see its stream end
        process.kill()
        process.communicate(timeout=30)
        self.assertEqual(len(containers()), 1)
        self.run_ok("print(1)", "--session", "stale")
        self.assert_clean()

    def test_gc_sees_a_container_once(self):
        """Through each backend, and with `auto`, where two backends are the same engine."""
        process = self.popen("--timeout", "60", "--session", "once", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        (old,) = containers()
        os.kill(container_pid(old), signal.SIGSTOP)
        process.kill()
        process.communicate(timeout=30)
        for options in ([], ["--backend", BACKEND]):
            done = dsandbox("gc", "-v", "--dry-run", "--base-dir", WORK.base, *options)
            self.assertEqual(len(re.findall("would remove container [0-9a-z-]+ of session once", done.stderr)), 1, done)
        dsandbox("gc", "--backend", BACKEND, "--base-dir", WORK.base)
        self.assert_clean()

    def test_killed(self):
        """SIGKILL of the program: the container is gone within the time limit and 5 s, without gc."""
        process = self.popen("--timeout", "4", "-c", self.CODE.format(60), json_=False)
        self.assertEqual(process.stdout.readline(), b"up\n")
        begin = time.monotonic()
        process.kill()
        process.communicate(timeout=30)
        gone = wait_until(lambda: not running(), 4 + 5)
        self.assertTrue(gone, f"is there after {time.monotonic() - begin:.1f} s: {containers()}")
        dsandbox("--backend", BACKEND, "gc", "--base-dir", WORK.base)  # for the directory, and what an absent daemon left
        self.assert_clean()

    def test_container_killed_from_outside(self):
        process = self.popen("--timeout", "60", "--session", "lost", "-c",
                             "import time\nprint('kept', flush=True)\nopen('/sandbox/up','w').close()\ntime.sleep(60)")
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(WORK.base, "lost", "up")), 40))
        time.sleep(scaled(0.5))  # what was printed is on its way through the engine
        names = containers()
        self.assertEqual(len(names), 1)
        kill_container(names[0])
        out, err = process.communicate(timeout=30)
        done = Done(["…"], process.returncode, out, err, 0)
        result = self.result(done)
        self.assertEqual((process.returncode, result["status"]), (125, "lost"), done)
        self.assertEqual(result["stdout"], "kept\n")
        self.assert_clean()

    def test_gc_leaves_the_living_alone(self):
        process = self.popen("--session", "living", "--timeout", "10m", "-c", "print('up', flush=True)\n" + gate(), json_=False)
        self.addCleanup(process.communicate)
        self.addCleanup(let_go, "living")
        self.assertEqual(process.stdout.readline(), b"up\n")
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", WORK.base)
        self.assertEqual(done.status, 0, done)
        self.assertEqual(len(containers()), 1)
        let_go("living")
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)

    def test_output_cannot_be_written(self):
        argv, env = command(["--backend", BACKEND, "run", "--base-dir", WORK.base, "--allow-unenforced=" + ",".join(self.allow or ["swap"]), "-c", "print(1)"], environment())
        with open("/dev/full", "wb") as full:
            done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=HARD_LIMIT, cwd="/")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn(b"cannot write the output: No space left", done.stderr)
        self.assert_clean()

    def test_standard_descriptors_closed(self):
        argv, env = command(["--backend", BACKEND, "run", "--base-dir", WORK.base, "--allow-unenforced=" + ",".join(self.allow or ["swap"]), "-c", "print('lost'); raise SystemExit(7)"], environment())
        process = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv], env=env, timeout=HARD_LIMIT, cwd="/")
        self.assertEqual(process.returncode, 125, "what the code printed is lost")
        self.assert_clean()
        argv[-1] = "raise SystemExit(7)"
        process = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv], env=env, timeout=HARD_LIMIT, cwd="/")
        self.assertEqual(process.returncode, 7)
        self.assert_clean()

    def test_stopped_while_nobody_reads(self):
        """The terminal has stopped the output, or the reader of the pipe sleeps: a signal is answered all the same."""
        process = self.popen("--timeout", "10m", "-c", "while True: print('x' * 1000)", json_=False)
        self.addCleanup(process.kill)

        def full():
            """It takes no more. How much that is depends on how large the pieces were: one that does not fit has a page for itself."""
            before = waiting_in(process.stdout)
            time.sleep(1)
            return 0 < before == waiting_in(process.stdout)

        self.assertTrue(wait_until(full, 30), "the pipe is not full")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=15), 130)
        process.stdout.close()
        process.stderr.close()
        self.assert_clean()

    def test_output_pipe_closed(self):
        """`dsandbox … | head -1`: the run ends, nothing is left."""
        process = self.popen("--timeout", "20", "-c", "import time\nwhile True: print('x' * 10000, flush=True); time.sleep(0.01)", json_=False)
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=40)
        process.stderr.close()
        self.assert_clean()

    def test_runs_leave_nothing(self):
        before = (sorted(os.listdir(WORK.base)), processes())
        env = {"TMPDIR": WORK.dir("tmp")}  # in /tmp are other programs' files, too, which come and go
        self.run_ok("print(1)", env=env)
        runtime = sorted(os.listdir(WORK.run))
        for number in range(RUNS):
            self.assertEqual(self.run_ok(f"open('/sandbox/f','w').write('x'); print({number})", env=env)["stdout"], f"{number}\n")
        self.assert_clean(5)
        self.assertEqual(sorted(os.listdir(WORK.run)), runtime)
        self.assertEqual(sorted(n for n in os.listdir(WORK.base) if n != ".locks"), [n for n in before[0] if n != ".locks"])
        locks = os.path.join(WORK.base, ".locks")
        if os.path.isdir(locks):
            self.assertEqual([n for n in os.listdir(locks) if n.startswith(".run")], [])
        self.assertEqual(os.listdir(env["TMPDIR"]), [])
        self.assertTrue(wait_until(lambda: processes() == before[1], 10), processes())


class Commands(EngineCase):
    """A program in the place of code."""

    def ended(self, done, status=0, kind="ok"):
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (status, kind), done)
        self.assertIsNone(result["failure"], done)
        return result

    def test_words_streams_and_status(self):
        words = ["a b", "", "--memory=1", "-c", "'\"$HOME`", "\u2603", "--"]
        result = self.ended(self.dsb("--", "printf", "%s|", *words))
        self.assertEqual((result["stdout"], result["results"], result["error"]), ("".join(w + "|" for w in words), [], None))
        done = self.dsb("--", "sh", "-c", "echo one; echo two >&2; exit 7", json_=False)
        self.assertEqual((done.status, done.stdout, done.stderr), (7, "one\n", "two\n"))
        result = self.ended(self.dsb("--", "sh", "-c", "exit 7"), 7, "error")
        self.assertEqual(result["exit_code"], 7)
        self.assert_clean()

    def test_where_it_runs_and_as_whom(self):
        self.assertEqual(self.ended(self.dsb("--", "pwd"))["stdout"], "/sandbox\n")
        self.assertEqual(self.ended(self.dsb("--cwd", "/tmp", "--", "pwd"))["stdout"], "/tmp\n")
        result = self.ended(self.dsb("--cwd", "nowhere", "--", "pwd"), 126, "error")
        self.assertEqual(result["stderr"], "dsandbox: cannot change to the directory nowhere: No such file or directory\n")
        code = "import os; print(len({0, *os.getresuid(), *os.getresgid(), *os.getgroups()}), open('/proc/self/status').read().split('CapInh')[1])"
        python = self.run_ok("import sys; print(sys.executable)")["stdout"].strip()
        other = self.ended(self.dsb("--", python, "-c", code))["stdout"].split("Speculation")[0]
        self.assertEqual(other, self.run_ok(code)["stdout"].split("Speculation")[0])  # rights and seccomp as code has them
        self.assertIn("Seccomp:\t2", other)
        lines = self.ended(self.dsb("--env", "A=x y", "--", "env"))["stdout"].split("\n")
        self.assertIn("A=x y", lines)
        self.assertIn("HOME=/tmp", lines)

    def test_missing_and_not_executable(self):
        result = self.ended(self.dsb("--", "no-such-program"), 127, "error")
        self.assertEqual(result["stderr"], "dsandbox: cannot run no-such-program: No such file or directory\n")
        self.ended(self.dsb("--", "/etc/passwd"), 126, "error")

    def test_group_and_usage(self):
        result = self.ended(self.dsb("--", "sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"))
        self.assertEqual(len(set(result["stdout"].split())), 1, result)  # it leads a group and a session
        self.assertGreater(result["usage"]["cpu_ms"], 0)
        self.assertGreater(result["usage"]["memory_peak_bytes"], 0)
        self.assertLessEqual(result["usage"]["pids_peak"], 8)

    def test_input(self):
        self.assertEqual(self.ended(self.dsb("--", "cat", data=b"ours"))["stdout"], "")
        data = os.urandom(300000)
        result = self.ended(self.dsb("--stdin", WORK.file(data), "--", "cat"))
        self.assertEqual(base64.b64decode(result["stdout_base64"]), data)
        self.assertIn("\ufffd", result["stdout"])

    def test_background_holds_nothing_up(self):
        begin = time.monotonic()
        result = self.ended(self.dsb("--", "sh", "-c", "sleep 600 & echo on"))
        self.assertEqual(result["stdout"], "on\n")
        self.assertLess(time.monotonic() - begin, scaled(60))
        self.assert_clean()

    def test_limits(self):
        result = self.ended(self.dsb("--timeout", setting(2), "--", "sh", "-c", "echo part; sleep 600"), 124, "timeout")
        self.assertEqual(result["stdout"], "part\n")
        result = self.ended(self.dsb("--output-limit", "1KiB", "--", "sh", "-c", "yes | head -c 5000"))
        self.assertEqual((len(result["stdout"]), result["stdout_bytes"], result["stdout_truncated"]), (1024, 5000, True))
        if "memory" not in self.allow:
            self.ended(self.dsb("--memory", "64MiB", "--", "sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"), 137, "oom")
        self.assert_clean()

    def test_signal_stops_it(self):
        with self.popen("--policy", WORK.file('{"grace": "60s"}'), "--", "sh", "-c", "trap 'echo int; exit 4' INT; echo on; while :; do sleep .1; done", json_=False) as process:
            self.assertEqual(process.stdout.readline().strip(), b"on")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=scaled(60))
        self.assertEqual((process.returncode, out), (130, b"int\n"))
        self.assert_clean()


class Verbs(EngineCase):
    def test_backend_ls(self):
        done = dsandbox("backend", "ls")
        self.assertEqual(done.status, 0, done)
        self.assertIn(BACKEND, done.stdout)

    def test_backend_show(self):
        done = dsandbox("backend", "show", BACKEND)
        self.assertEqual(done.status, 0, done)
        self.assertRegex(done.stdout.lower(), "docker|podman|runc|crun")
        self.assertRegex(done.stdout, r"\d+\.\d+")

    def test_doctor(self):
        """Green when a run with the same options works, and only then."""
        options = ("doctor", "--backend", BACKEND, "--base-dir", WORK.base)
        allowed = dsandbox(*options, *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []))
        self.assertRegex(allowed.stdout.lower(), "docker|podman|runc|crun", allowed)
        self.assertEqual(allowed.status, 0, allowed)
        plain = dsandbox(*options)
        self.assertEqual(plain.status, 125 if self.allow else 0, plain)
        self.assertEqual(re.findall(r"(?m)^(\S+) +BAD", plain.stdout), ["cgroups"] if self.allow else [], plain)

    def test_doctor_misses_the_image(self):
        done = dsandbox("doctor", "--json", "--backend", BACKEND, "--base-dir", WORK.base, "--image", "no-such-image:1")
        self.assertEqual(done.status, 125, done)
        image = [f for f in json.loads(done.stdout)["findings"] if f["name"] == "image"]
        self.assertEqual([f["good"] for f in image], [False], done)
        self.assertIn("image build", image[0]["remedy"])

    def test_gc(self):
        done = dsandbox("gc", "--backend", BACKEND, "--base-dir", WORK.base)
        self.assertEqual(done.status, 0, done)


class Examples(EngineCase):
    def test_all_are_here(self):
        with_tests = {n[5:-3] if n.endswith("_py") else n[5:] for n in dir(self) if n.startswith("test_")}
        self.assertLessEqual(example_names.inside(EXAMPLES), with_tests)

    def example(self, name, *args):
        return self.result(self.dsb(*args, os.path.join(EXAMPLES, name)))

    def test_hello(self):
        result = self.example("hello.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("solves", result["stdout"])
        self.assertIn("['lo']", result["stdout"])
        self.assertEqual([f["path"] for f in result["files"]["created"]], ["hello.txt"])

    def test_table(self):
        result = self.example("table.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("text/html", result["results"][-1])
        self.assertIn("Oslo", result["results"][-1]["text/plain"])

    def test_plot(self):
        result = self.example("plot.py")
        self.assertEqual(result["status"], "ok", result)
        self.assertIn("wave.png", [f["path"] for f in result["files"]["created"]])
        figures = [r for r in result["results"] if "image/png" in r]
        self.assertEqual(len(figures), 1, result)
        self.assertTrue(base64.b64decode(figures[0]["image/png"]).startswith(b"\x89PNG"))

    def test_files(self):
        for number in (1, 2):
            result = self.example("files.py", "--session", "counting")
            self.assertIn(f"run number {number}", result["stdout"])
            self.assertIn("outside /sandbox:", result["stdout"])

    def test_timeout(self):
        result = self.example("timeout.py", "--timeout", setting(2))
        self.assertEqual(result["status"], "timeout")
        self.assertIn("step 1\n", result["stdout"])

    def test_policy(self):
        done = self.dsb("--policy", os.path.join(EXAMPLES, "policy.json"), "-c", "print(1)")
        self.assertEqual(self.result(done)["stdout"], "1\n", done)


CASES = (Input, Newcomer, Ending, Commands, Verbs, Examples)

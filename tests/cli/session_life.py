# SPDX-License-Identifier: MIT
"""Sessions with the program: without an engine, their directories, and what brings them to an end."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import unittest

import cli_harness
from cli_harness import AS, BACKEND, Case, gate, let_go, wait_until
from session_harness import SessionCase, dsb, end_service, is_gone, kill_all, popen, service_pid
from speed import setting


class Refusing(Case):
    def refused(self, *args, words=()):
        done = dsb(*args, limit=30)
        self.assertEqual(done.status, 125, done)
        for word in words:
            self.assertRegex(done.stderr, f"(?i){word}", done)
        return done


class Silent(Refusing):
    """A service that does not answer may have sessions: its number and what to do, not "no sessions"."""

    def setUp(self):
        end_service()
        self.refused("session", "show", "nowhere")  # starts it
        self.pid = service_pid()
        self.addCleanup(self.end)
        os.kill(self.pid, signal.SIGSTOP)

    def end(self):
        if not is_gone(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: is_gone(self.pid), 30))


class Stopped(Silent):
    long = "the client's own patience"

    def test_stopped(self):
        self.refused("session", "ls", words=(f"process {self.pid}, has the socket", f"kill -cont {self.pid}"))
        os.kill(self.pid, signal.SIGCONT)
        self.assertEqual(dsb("session", "ls").status, 0)

    def test_stopped_as_json(self):
        self.assert_failure(dsb("session", "ls", "--json"), "busy", f"process {self.pid}")


class WithoutSocket(Silent):
    long = "the client's own patience"

    def test_it(self):
        os.unlink(os.path.join(cli_harness.WORK.run, "dsandbox/api.sock"))
        self.refused("session", "ls", words=(f"process {self.pid}, has the socket",))
        self.end()
        self.assertIn("no sessions", dsb("session", "ls").stdout)


class WithoutEngine(Refusing):
    """What needs no sandbox: bad operands, and a service that cannot make one."""

    @classmethod
    def tearDownClass(cls):
        end_service()

    def test_verbs_and_operands(self):
        for args, word in ((("session",), "use new, ls"), (("session", "fly"), "not 'fly'"), (("session", "show"), "operand is missing"),
                           (("session", "rm"), "--label"), (("session", "rm", "a", "--all"), "not both"), (("exec",), "which session"),
                           (("exec", "a", "-c", "1", "-s", "b"), "exec does not take --session"), (("exec", "a", "x.py", "-c", "1"), "both -c"),
                           (("cp", "a", "b"), "session:path"), (("cp", "a:x", "b:y"), "one of both"), (("cp", "a"), "operand is missing"),
                           (("cp", "a:../x", "y"), "below /sandbox"), (("cp", "a:/etc/passwd", "y"), "below /sandbox"),
                           (("run", "--label", "a=b", "-c", "1"), "--session"), (("exec", "a", "-i", "--stdin", "x", "-c", "1"), "exclude"),
                           (("session", "ls", "-o", "xml"), "table or json"), (("session", "history", "a", "-o", "xml"), "py or ipynb"),
                           (("run", "-o", "py", "-c", "1"), "table or json"), (("repl",), "terminal"),
                           (("session", "new", "--label", "x"), "name=value"), (("session", "new", "--memory", "x"), "memory"),
                           (("session", "new", "--no-service"), "needs the service"), (("exec", "a", "-i", "-"), "both the code")):
            with self.subTest(args):
                self.refused(*args, words=(word,))

    def test_bad_ids_are_no_paths(self):
        for bad in ("", ".", "..", "a/b", "a/../b", "../../v1", "a?x", "a%2fb", "-", "a" * 65, "ä"):
            for args in (["session", "show", "--", bad] if bad.startswith("-") else ["session", "show", bad],
                         ["session", "rm", bad], ["session", "export", bad, "x"], ["run", "-s", bad, "-c", "1"], ["cp", bad + ":x", "y"]):
                with self.subTest(args):
                    self.refused(*args)

    def test_nothing_is_started_to_say_so(self):
        """Listing, and options that are wrong, start no service."""
        end_service()
        done = dsb("session", "ls")
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        self.assertIn("no sessions", done.stdout)
        self.assertEqual(json.loads(dsb("session", "ls", "-o", "json").stdout), {"sessions": []})
        self.refused("run", "-s", "a", "--memory", "x", "-c", "1")
        self.assertIsNone(service_pid())

    def test_no_such_archive(self):
        missing = os.path.join(cli_harness.WORK.path, "missing.tar")
        self.refused("session", "import", "a", missing, words=(f"cannot open {re.escape(missing)}: no such file",))

    def test_no_such_session(self):
        for verb in ("show", "vars", "files", "history", "reset", "interrupt", "save", "restore", "rm"):
            with self.subTest(verb):
                self.refused("session", verb, "nowhere", words=("no session 'nowhere'", "dsandbox session ls"))
        self.refused("session", "export", "nowhere", os.path.join(cli_harness.WORK.path, "x.tar"), words=("no session",))
        self.assertFalse(os.path.exists(os.path.join(cli_harness.WORK.path, "x.tar")))
        self.refused("cp", "nowhere:x", os.path.join(cli_harness.WORK.path, "x"), words=("no session",))

    def test_json_has_one_object_on_errors_too(self):
        for args in (("session", "show", "nowhere"), ("session", "nonsense"), ("session", "export", "nowhere"), ("cp", "a:x", "-")):
            with self.subTest(args):
                done = dsb(*args, "--json")
                self.assertEqual(self.result(done)["status"], "error", done)

    def test_no_engine(self):
        if BACKEND:
            self.skipTest("there is one")
        done = dsb("--backend", "docker-api", "run", "--json", "--session", "a", "--base-dir", cli_harness.WORK.base, "-c", "1")
        self.assert_failure(done, "unavailable", "no-such.sock")


class BaseDirectory(SessionCase):
    def test_relative(self):
        """As the program sees it, whatever the service's working directory is."""
        base = os.path.relpath(cli_harness.WORK.base, "/")  # where the tests start the program
        done = dsb("session", "new", self.s, "--backend", BACKEND, "--base-dir", base, *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []))
        self.assertEqual(done.status, 0, done)
        self.assertEqual(self.json("session", "show", self.s)["workdir"], os.path.join(cli_harness.WORK.base, self.s))
        self.run_("x = 1")  # the same session, with the absolute path
        other = dsb("run", "--session", self.s, "--base-dir", "elsewhere", "-c", "1")
        self.assertEqual(other.status, 125, other)
        self.assertIn(f"--base-dir is {cli_harness.WORK.base}, not /elsewhere", other.stderr)

    @staticmethod
    def remove_empty(path):
        """What somebody else has put into it meanwhile is his."""
        with contextlib.suppress(OSError):
            os.rmdir(path)

    @unittest.skipUnless(AS, "the set-up with a second user")
    def test_second_user_needs_no_option(self):
        """/tmp/sandboxes is root's."""
        shared, own = "/tmp/sandboxes", f"/tmp/sandboxes-{cli_harness.WORK.uid}"
        place = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY)  # it is one for all tests that run at the moment
        self.addCleanup(os.close, place)
        fcntl.flock(place, fcntl.LOCK_EX)
        if not os.path.lexists(own):
            self.addCleanup(shutil.rmtree, own, ignore_errors=True)
        try:
            os.mkdir(shared, 0o700)
            self.addCleanup(self.remove_empty, shared)
        except FileExistsError:
            owner = os.lstat(shared).st_uid
            os.chown(shared, 0, -1)
            self.addCleanup(os.chown, shared, owner, -1)
        options = ["--backend", BACKEND, "--allow-unenforced=" + ",".join(self.allow or ["swap"])]
        for how in ([], ["--no-service", "-v"]):
            done = dsb("run", *how, *options, "-c", "print(40 + 2)")
            self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
        self.assertIn(f"session directory {own}/.run-", done.stderr)
        findings = {f["name"]: f["found"] for f in json.loads(dsb("doctor", *options[:2], "-o", "json").stdout)["findings"]}
        self.assertEqual(findings["base directory"], f"{own} ({shared} belongs to uid 0 with mode 700)")
        done = dsb("run", "--session", self.s, *options, "-c", "open('made', 'w').write('x')")
        self.assertEqual(done.status, 0, done)
        shown = self.json("session", "show", self.s)
        self.assertEqual((shown["base_dir"], shown["workdir"]), (own, f"{own}/{self.s}"))
        self.assertEqual(os.listdir(f"{own}/{self.s}"), ["made"])
        self.text("session", "rm", "--files", self.s)
        self.assertFalse(os.path.exists(f"{own}/{self.s}"))
        # What somebody else has laid ready is not ours.
        moved = own + ".moved"
        os.rename(own, moved)
        self.addCleanup(os.rename, moved, own)
        os.mkdir(own, 0o755)
        self.addCleanup(os.rmdir, own)
        done = dsb("run", "--json", "--no-service", *options, "-c", "print(1)")
        self.assert_failure(done, "denied", re.escape(own), "belongs to uid 0", " base_dir")
        done = dsb("run", "--no-service", *options, "-c", "print(1)")
        self.assertIn(" --base-dir", done.stderr)


class Life(SessionCase):
    """The service and its end."""

    def test_killed(self):
        """The service alone, or told to end: nothing is lost, and nothing said."""
        self.run_("open('/sandbox/f', 'w').write('file')\nx = 1")
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = self.json("session", "show", self.s)
            end_service(number)
            self.assertIn(self.s, dsb("session", "ls").stdout)
            self.assertEqual(self.json("session", "show", self.s), before)
            done = self.text("exec", self.s, "-c", "print(open('/sandbox/f').read(), x)")
            self.assertEqual((done.stdout, done.stderr), ("file 1\n", ""), done)

    def test_told_to_end_while_code_runs(self):
        """Who waits for what runs is told where it goes on; what waits for its turn runs with the next service."""
        self.run_("1")
        first = popen("exec", self.s, "-c", "import time; print('up', flush=True); time.sleep(60)")
        self.assertEqual(first.stdout.readline(), b"up\n")
        second = popen("exec", self.s, "-c", "print('second')")
        self.assertTrue(wait_until(lambda: self.json("session", "show", self.s)["queued"] == 1, 20))
        end_service(signal.SIGTERM)
        _, err = first.communicate(timeout=60)
        self.assertEqual(first.returncode, 125, err)
        self.assertIn(f"goes on in session {self.s}".encode(), err)
        self.assertTrue(wait_until(lambda: self.json("session", "show", self.s)["queued"] == 1, 20))
        self.text("session", "interrupt", self.s)
        out, err = second.communicate(timeout=60)
        self.assertEqual((second.returncode, out, err), (0, b"second\n", b""))
        history = self.json("session", "history", self.s)["executions"]
        self.assertEqual([one["status"] for one in history], ["ok", "cancelled", "ok"])

    def test_killed_with_its_sessions(self):
        self.run_("open('/sandbox/f', 'w').write('file')\nx = 1")
        kill_all()
        done = self.text("exec", self.s, "-c", "print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual(done.stdout, "file False\n", done)
        self.assertRegex(done.stderr, "^dsandbox: variables were lost: the service .*files were kept\n$")
        done = self.text("exec", self.s, "-c", "x = 2")
        self.assertEqual(done.stderr, "", "said once")
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "2\n")

    def test_directory_removed(self):
        """That files were kept is said after a look alone."""
        self.run_("open('/sandbox/f', 'w').write('file')")
        kill_all()
        shutil.rmtree(os.path.join(cli_harness.WORK.base, self.s))
        done = self.text("exec", self.s, "-c", "import os; print(os.listdir('/sandbox'))")
        self.assertEqual(done.stdout, "[]\n", done)
        self.assertRegex(done.stderr, "^dsandbox: variables were lost: the service .*files are gone, too\n$")

    def test_saved_variables_come_back(self):
        self.run_("import json\nx = {'a': [1, 2]}\ng = (n for n in 'abc')")
        self.text("session", "save", self.s)
        self.run_("later = 1")
        kill_all()
        done = self.text("exec", self.s, "-c", "print(x, 'later' in globals(), 'g' in globals())")
        self.assertEqual(done.stdout, "{'a': [1, 2]} False False\n", done)
        lines = done.stderr.splitlines()
        self.assertRegex(lines[0], "variables were lost: the service")
        self.assertRegex(lines[1], "^dsandbox: .*x.* came back from the saved ones$")
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stderr, "")

    def test_killed_while_code_runs(self):
        """The program says that the connection was cut; the code goes on, and the next service has it."""
        self.run_("1", *self.patient())
        process = popen("exec", self.s, "-c", "import time; x = 1; print('up', flush=True); time.sleep(60)")
        self.assertEqual(process.stdout.readline(), b"up\n")
        end_service(signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 125, err)
        self.assertIn(b"service went away", err)
        self.assertIn(b"session history", err)
        self.assertIn(b"Do it again", err)
        self.assertEqual(self.json("session", "show", self.s)["state"], "busy")
        self.text("session", "interrupt", self.s)
        done = self.text("exec", self.s, "-c", "print(x)")
        self.assertEqual((done.stdout, done.stderr), ("1\n", ""), done)
        history = self.json("session", "history", self.s)["executions"]
        self.assertEqual([one["status"] for one in history], ["ok", "cancelled", "ok"])

    def test_many_start_it_at_once(self):
        end_service()
        processes = [popen("run", "-s", f"{self.s}-{i}", *self.settings(), "-c", f"print({i})") for i in range(6)]
        for i, process in enumerate(processes):
            out, err = process.communicate(timeout=120)
            self.assertEqual((process.returncode, out), (0, b"%d\n" % i), err)
        self.assertEqual(len(self.json("session", "ls")["sessions"]), 6)
        self.text("session", "rm", "--all", "--files")

    def test_one_shot_uses_it(self):
        """The same result object, with and without."""
        end_service()
        code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7"
        alone = self.result(dsb("run", "--json", *self.settings(), "-c", code))
        self.assertIsNone(service_pid(), "it is not started for one run")
        self.run_("1")
        through = self.result(dsb("run", "--json", *self.settings(), "-c", code))
        self.assertEqual(set(alone), set(through))
        for key in ("schema", "session", "status", "exit_code", "failure", "stdout", "stderr", "error", "results", "files", "state", "backend",
                    "engine", "image"):
            self.assertEqual(alone[key], through[key], key)
        self.assertEqual(alone["policy"]["sha256"], through["policy"]["sha256"])
        self.assertEqual((alone["id"][:2] == "x-", through["id"][:2]), (False, "x-"), "it did go through the service")
        limit = setting(1)
        done = dsb("run", *self.settings(), "--timeout", limit, "-c", "print(1, flush=True)\nimport time; time.sleep(600)")
        self.assertEqual((done.status, done.stdout), (124, "1\n"), done)
        self.assertIn(f"time limit of {limit}", done.stderr)
        done = dsb("run", *self.settings(), "--stdin", "-", "-c", "print(input() * 2); raise SystemExit(9)", data=b"ab\n")
        self.assertEqual((done.status, done.stdout), (9, "abab\n"), done)
        done = dsb("run", "--json", *self.settings(), "--image", "no-such-image:1", "-c", "1")
        self.assert_failure(done, "not_found", "no-such-image")

    def test_output_streams(self):
        self.run_("1")
        """Each line is here before the next one can be printed."""
        code = "\n".join(f"print({i}, flush=True)\n{gate(f'go{i}')}" for i in range(3))
        process = popen("exec", self.s, "--timeout", "10m", "-c", code)
        for i in range(3):
            self.assertEqual(process.stdout.readline(), b"%d\n" % i)
            let_go(self.s, f"go{i}")
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0, err)

    def test_much_output_is_all_there(self):
        self.run_("1")
        done = self.text("exec", self.s, "-c", "import sys\nfor i in range(40000): print('line', i)\nsys.stdout.buffer.write(b'\\xff\\xfe')")
        self.assertEqual(done.out, b"".join(b"line %d\n" % i for i in range(40000)) + b"\xff\xfe")

    def test_second_waits_or_is_busy(self):
        self.run_("order = []")
        first = popen("exec", self.s, "--timeout", "10m", "-c", f"print('up', flush=True)\n{gate()}order.append(1)")
        self.assertEqual(first.stdout.readline(), b"up\n")
        self.assert_failure(dsb("exec", self.s, "--json", "--no-wait", "-c", "1"), "busy", "busy", "no-wait", "interrupt")
        second = popen("exec", self.s, "-c", "order.append(2); print(order)")
        self.assertTrue(wait_until(lambda: self.json("session", "show", self.s)["queued"] == 1, 20))
        let_go(self.s)
        out, err = second.communicate(timeout=60)
        self.assertEqual((second.returncode, out), (0, b"[1, 2]\n"), err)
        first.communicate(timeout=20)

    def test_interrupt_from_elsewhere(self):
        self.run_("x = 5", *self.patient())
        self.assertEqual(self.text("session", "interrupt", self.s).stdout, "nothing was running\n")
        process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)")
        self.assertEqual(process.stdout.readline(), b"up\n")
        self.assertEqual(self.text("session", "interrupt", self.s).stdout, "interrupted\n")
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "5\n")

    def test_signals_stop_the_code(self):
        self.run_("x = 5", *self.patient())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)", start_new_session=True)
                self.assertEqual(process.stdout.readline(), b"up\n")
                os.killpg(process.pid, number) if AS else os.kill(process.pid, number)
                _, err = process.communicate(timeout=20)
                if not AS:
                    self.assertEqual(process.returncode, 128 + number, err)
                self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "5\n")

    def test_program_killed(self):
        """What nobody waits for is stopped."""
        self.run_("x = 5", *self.patient())
        process = popen("exec", self.s, "-c", "print('up', flush=True)\nimport time; time.sleep(60)", start_new_session=True)
        self.assertEqual(process.stdout.readline(), b"up\n")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)", limit=20).stdout, "5\n")

    def test_reader_gone(self):
        self.run_("1")
        process = popen("exec", self.s, "-c", "while True: print('y' * 100)")
        process.stdout.read(1000)
        process.stdout.close()
        process.wait(timeout=30)
        process.stderr.close()
        self.assertEqual(process.returncode, 128 + signal.SIGPIPE)


WITHOUT_ENGINE = (Stopped, WithoutSocket, WithoutEngine)
WITH_ENGINE = (Life, BaseDirectory)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What killed programs leave behind goes without being asked. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import cli_harness
from cli_harness import wait_until
from engine_proxy import EngineProxy
from session_harness import SessionCase, dsb, popen

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


class Leftovers(SessionCase):
    def directories(self):
        return [name for name in os.listdir(cli_harness.WORK.base) if name.startswith(".run-")]

    def test_directory_of_a_killed_run(self):
        options = self.settings()
        killed = [popen("run", "--no-service", "-c", "print('up', flush=True); import time; time.sleep(60)", *options) for _ in range(2)]
        for process in killed:
            self.assertEqual(process.stdout.readline(), b"up\n")
            process.send_signal(signal.SIGKILL)
            process.communicate()
        self.assertEqual(len(self.directories()), 2)

        def all_gone():
            """A container that is still ending may make something in its directory meanwhile."""
            self.assertEqual(dsb("run", "--no-service", "-c", "1", *options).status, 0)
            return not self.directories()

        wait_until(all_gone, 60)

    def test_a_living_run_keeps_its_own(self):
        options = self.settings()
        living = popen("run", "--no-service", "-c", "open('f', 'w').write('kept'); print('up', flush=True); input(); print(open('f').read())",
                       "--stdin", "-", *options, stdin=-1)
        self.assertEqual(living.stdout.readline(), b"up\n")
        for _ in range(2):
            self.assertEqual(dsb("run", "--no-service", "-c", "1", *options).status, 0)
        out, err = living.communicate(b"\n", timeout=60)
        self.assertEqual((out, err, living.returncode), (b"kept\n", b"", 0))


class Stubborn(EngineProxy):
    """Removals, or the first `most` of them, do not get to the engine, and are answered with this."""

    def __init__(self, status, message, most=1000):
        body = json.dumps({"message": message, "cause": message, "response": status}).encode() if message else b""
        head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n"
        self.answer = head.encode() + (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n" + body
        self.asked, self.most = 0, most
        super().__init__()

    def on_data(self, data, to_engine, source, seen):
        removal = to_engine and data.startswith(b"DELETE ") and self.asked < self.most
        if removal:
            self.asked += 1
            source.sendall(self.answer)
        return not removal


class Removal(SessionCase):
    """What the engine does not remove is said to be there, each time."""

    def leave_one(self):
        """The id of the container of a killed program, whose first process does not end with it."""
        process = popen("run", "--no-service", "-c", "print('up', flush=True); import time; time.sleep(60)", *self.settings())
        self.assertEqual(process.stdout.readline(), b"up\n")
        (name,) = cli_harness.containers()
        container = cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")
        pid = container["State"]["Pid"]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(dsb, "gc", *self.options)
        process.kill()
        process.communicate()
        return container["Id"]

    def setUp(self):
        super().setUp()
        self.options = ["--backend", cli_harness.BACKEND, "--base-dir", cli_harness.WORK.dir(f"no-directories-{self.s}", 0o700)]

    def test_not_removed_is_said(self):
        identity = self.leave_one()
        for status, message, words in ((409, "removal of container x is already in progress", "already in progress"),
                                       (409, "x has dependent containers", "dependent containers"),
                                       (500, "driver failed to remove root filesystem", "root filesystem"),
                                       (204, "", "still lists it")):
            with self.subTest(words):
                engine = Stubborn(status, message)
                done = dsb("gc", *self.options, env=engine.env())
                engine.close()
                self.assertGreater(engine.asked, 0, done)
                self.assertEqual(done.status, 125, done)
                self.assertRegex(done.stderr, f"container {identity[:12]} of session .* could not be removed: .*{words}")
                self.assertNotIn("removed 1", done.stdout)
        done = dsb("gc", *self.options)
        self.assertEqual((done.status, done.stdout), (0, "removed 1\n"), done)

    def test_listed_before_it_is_known(self):
        """As Docker does it with what it makes just now: no such container, and a moment later there is."""
        self.leave_one()
        engine = Stubborn(404, "No such container: x", most=1)
        done = dsb("gc", *self.options, env=engine.env())
        engine.close()
        self.assertEqual((done.status, done.stdout, engine.asked), (0, "removed 1\n", 1), done)


class Lasting(SessionCase):
    def test_it_is_said_where_a_boot_empties_the_directory(self):
        options = [option for option in self.settings() if option not in ("--base-dir", cli_harness.WORK.base)]
        for place, said in (("/tmp", True), ("/var/tmp", False)):
            base = tempfile.mkdtemp(dir=place)
            os.chown(base, cli_harness.WORK.uid, -1)
            self.addCleanup(shutil.rmtree, base, ignore_errors=True)
            name = f"{self.s[:40]}-{place[1:4]}"
            self.assertEqual(dsb("session", "new", name, "--base-dir", base, *options).status, 0)
            shown = dsb("session", "show", name)
            self.assertEqual("next boot" in shown.stdout, said, shown)
            self.assertEqual(dsb("session", "rm", "--files", name).status, 0)


class Cleaner(unittest.TestCase):
    """systemd-tmpfiles and what is installed for it, below a root directory of its own."""

    @unittest.skipUnless(shutil.which("systemd-tmpfiles") and os.getuid() == 0, "needs systemd-tmpfiles and root")
    def test_old_files_of_sessions_stay(self):
        root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, root)
        ours = ["sandboxes/a/file", "sandboxes-1000/a/file", ".dsandbox-1000/api.lock"]
        for name in (*ours, "other/file"):
            path = os.path.join(root, "tmp", name)
            os.makedirs(os.path.dirname(path))
            open(path, "w", encoding="utf-8").close()
            os.utime(path, (0, 0))
        config = os.path.join(root, "usr/lib/tmpfiles.d")
        os.makedirs(config)
        with open(os.path.join(config, "tmp.conf"), "w", encoding="utf-8") as file:
            file.write("q /tmp 1777 root root 1s\n")
        shutil.copy(os.path.join(TOP, "doc/tmpfiles.conf"), os.path.join(config, "dsandbox.conf"))
        time.sleep(1.1)  # it looks at when a file was made, too
        subprocess.run(["systemd-tmpfiles", f"--root={root}", "--clean"], check=True, timeout=60)
        left = [os.path.relpath(os.path.join(top, name), os.path.join(root, "tmp"))
                for top, _, names in os.walk(os.path.join(root, "tmp")) for name in names]
        self.assertEqual(sorted(left), sorted(ours))


if __name__ == "__main__":
    cli_harness.main([Leftovers, Removal, Lasting, Cleaner])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A /tmp that is full, or that may not be written. With the base directory and the service's socket elsewhere nothing needs it;
where they are in it, what cannot be done says why. Environment and last line as in tests/cli/cli_harness.py, and DSB_TEST_RIG
as in tests/edges/small_store.py.
"""
import os
import tempfile
from unittest import mock

import cli_harness
from cli_harness import BACKEND, WORK
from session_harness import dsb, end_service
from small_store import StoreCase

ONCE = "it is the program's, the service's and the package's own"
CODE = "print(6 * 7)"
RUNTIME = "/tmp/run"
IN_TMP = {"XDG_RUNTIME_DIR": RUNTIME}
PACKAGE = f"""import dsandbox, sys
base = sys.argv[1] or None
try:
    with dsandbox.Session(backend={BACKEND!r}, base_dir=base) as session:
        print(session.run({CODE!r}).stdout, end='')
except dsandbox.Error as error:
    print(error)
"""


class Tmp(StoreCase):
    """For the engine as well."""

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(dir=self.state)
        self.program = os.path.realpath(os.environ["DSB_TEST_PROGRAM"])
        self.space.tmpfs(self.place, "size=4m,mode=1777")
        # What others have in /tmp stays: the engine, what is written here, perhaps the program.
        for path in {cli_harness.ENDPOINT.removeprefix("unix://"), WORK.path, self.program}:
            if path.startswith("/tmp/"):
                top = "/" + path.split("/")[2]
                self.space.run("mkdir", self.place + top)
                self.space.run("mount", "--bind", "/tmp" + top, self.place + top)
        self.space.run("mkdir", "-m", "0700", self.place + "/run")
        self.space.run("mount", "--rbind", self.place, "/tmp")
        # The engine may yet clean up behind a container.
        self.addCleanup(self.space.run, "umount", "-l", "-R", "/tmp")
        self.addCleanup(self.end_services)

    def end_services(self):
        end_service()
        with mock.patch.object(WORK, "run", self.space.path(RUNTIME)):
            end_service()

    def in_python(self, base="", env=None):
        more = {"XDG_RUNTIME_DIR": WORK.run, "PYTHONPATH": os.path.join(cli_harness.TOP, "bindings/python"), "DSANDBOX_PROGRAM": self.program}
        env = cli_harness.environment(**{**more, **(env or {})})
        return self.space.run("python3", "-c", PACKAGE, base, env=env)

    def nothing_needs_it(self):
        for verb in (("run", "--no-service"), ("run",)):
            done = dsb(*verb, *self.options(), "-c", CODE)
            self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
        self.assertEqual(self.in_python(WORK.base), "42")
        done = dsb("doctor", *self.options(), env=self.alone())
        self.assertEqual(done.status, 0, done)
        done = dsb("image", "build", "--backend", BACKEND)
        self.assertEqual(done.status, 125, done)
        self.assertRegex(done.stderr, r"cannot .* \(TMPDIR chooses another place\): ")
        self.nothing_left()

    def says(self, words, env):
        """All that needs it."""
        for verb in (("run", "--no-service", "-c", CODE), ("run", "-c", CODE), ("session", "new", "never"), ("doctor",)):
            done = dsb(*verb, "--backend", BACKEND, env={**self.alone(), **env})
            self.assertEqual(done.status, 125, done)
            self.assertRegex(done.stdout + done.stderr, words)
        self.assertRegex(self.in_python(env=env), words)
        self.assertEqual(cli_harness.containers(), [])

    def left_in_tmp(self):
        names = os.listdir(self.space.path("/tmp")) + self.left_in("/tmp/sandboxes")
        return [name for name in names if not name.startswith(("dsb-", "filler")) and name not in ("run", "sandboxes")]

    def test_full(self):
        new = dsb("session", "new", self.s, "--backend", BACKEND, env=IN_TMP)
        self.assertEqual(new.status, 0, new)
        first = dsb("exec", self.s, "-c", "open('kept', 'w').write('x' * 10)", env=IN_TMP)
        self.assertEqual(first.status, 0, first)
        with self.space.full("/tmp"):
            self.nothing_needs_it()
            self.says("has only [0-9.]+ [a-zA-Z]+ free, and [0-9.]+ KiB must stay free", IN_TMP)
            done = dsb("exec", self.s, "-c", "x = 42", env=IN_TMP)
            self.assertEqual(done.status, 125, done)
            self.assertIn("make room on the file system of /tmp/sandboxes", done.stderr)
            done = dsb("cp", WORK.file("y" * 100000, "new"), f"{self.s}:kept", env=IN_TMP)
            self.assertEqual(done.status, 125, done)
            self.assertIn("No space left on device: make room on its file system", done.stderr)
        done = dsb("exec", self.s, "-c", "print(open('kept').read())", env=IN_TMP)
        self.assertEqual((done.status, done.stdout), (0, "xxxxxxxxxx\n"), done)
        self.assertEqual(dsb("session", "rm", "--files", self.s, env=IN_TMP).status, 0)
        self.assertEqual(self.left_in_tmp(), [])

    def test_without_a_file_more(self):
        self.space.run("mount", "-o", "remount,nr_inodes=5", "/tmp")
        self.says("No space left on device|has only 0 free inodes", IN_TMP)

    def test_read_only(self):
        self.space.run("mount", "-o", "remount,ro", "/tmp")
        self.nothing_needs_it()
        self.says("Read-only file system", IN_TMP)
        self.space.run("mount", "-o", "remount,rw", "/tmp")
        self.assertEqual(self.left_in_tmp(), [])


if __name__ == "__main__":
    cli_harness.main([Tmp])

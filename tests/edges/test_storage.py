#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
File systems that are full: the engine's, and those of the host. What cannot be done says where there is no room and what
to do, and leaves nothing behind. Environment and last line as in tests/cli/cli_harness.py, and DSB_TEST_RIG as in
tests/edges/small_store.py.
"""
import io
import json
import os
import subprocess
import tarfile
import unittest
from unittest import mock

import cli_harness
from cli_harness import WORK
from session_harness import dsb, end_service
from small_store import ENGINE, StoreCase

CODE = "print(6 * 7)"


class Full(StoreCase):
    """One file system at a time: the engine's, and those of the host that a run writes to."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.small = os.path.join(cls.state, "small")

    def mount(self, *options):
        self.space.tmpfs(self.small, "size=4m", *options)
        self.addCleanup(self.unmount)
        self.addCleanup(self.end_services)

    def unmount(self):
        """The service's last processes may be there a little longer than it is."""
        def works():
            return subprocess.run(self.space.command("umount", self.small), capture_output=True, check=False, timeout=60).returncode == 0
        self.assertTrue(cli_harness.wait_until(works, 30), "somebody still uses it")

    def end_services(self):
        """Also one that has its socket there."""
        end_service()
        with mock.patch.object(WORK, "run", self.space.path(self.small)):
            end_service()

    def tarball(self):
        """Of a root file system."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            file = tarfile.TarInfo("file")
            file.size = 1 << 20
            tar.addfile(file, io.BytesIO(bytes(file.size)))
        return WORK.file(data.getvalue(), f"{self.s}.tar")

    def no_room(self, *args):
        done = dsb(*args)
        self.assertEqual(done.status, 125, done)
        text = json.loads(done.stdout)["failure"]["message"] if "--json" in args else done.stderr
        self.assertRegex(text, f"(?i)no space left on device.*; the engine has no room: make room on the file system of {self.store}"
                         rf" \({ENGINE} system df says")

    def test_engine(self):
        self.new()
        self.assertEqual(dsb("exec", self.s, "-c", "x = 41").status, 0)
        with self.space.full(self.store):
            self.no_room("run", *self.options(), "-c", CODE)
            self.no_room("run", "--no-service", "--json", *self.options(), "-c", CODE)
            self.no_room("session", "new", "never", *self.options())
            self.no_room("image", "build", "--backend", cli_harness.BACKEND, "--file", self.tarball(), "--tag", "never:latest")
            done = dsb("doctor", *self.options())
            self.assertEqual(done.status, 125, done)
            self.assertRegex(done.stdout, f"engine's room +BAD +{self.store}: its file system is full\n +-> make room on the file system of")
            done = dsb("gc", *self.options())
            if done.status != 0:  # there was room enough for a part of a container, and none to remove it
                self.assertRegex(done.stderr, "could not be removed: .*no space left on device.*; the engine has no room: make room")
            done = dsb("exec", self.s, "-c", "print(x + 1)")
            self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
            self.assertNotIn("never", self.left_in(WORK.base))
            done = dsb("session", "rm", "--files", self.s)
            if done.status != 0:  # the engine writes down what it removes
                self.assertRegex(done.stderr, "its files were deleted, but its container .* could not be removed: .*no space left on device"
                                 ".*; the engine has no room: make room .*'dsandbox gc' tries again\n$")
        done = dsb("doctor", *self.options())
        self.assertEqual(done.status, 0, done)
        done = dsb("gc", *self.options())
        self.assertEqual(done.status, 0, done)
        self.nothing_left()
        self.assertEqual(self.run_(CODE)["stdout"], "42\n")
        self.assertEqual(dsb("session", "rm", "--files", self.s).status, 0)
        self.nothing_left()

    def test_engine_with_some_room(self):
        for left in (12, 32, 100):
            with self.subTest(left=left):
                with self.space.full(self.store, left << 10):
                    done = dsb("run", "--no-service", *self.options(), "-c", CODE)
                if done.status == 0:
                    self.assertEqual(done.stdout, "42\n", done)
                else:
                    self.assertEqual(done.status, 125, done)
                    self.assertRegex(done.stderr, "no space left on device.*; the engine has no room: make room")
                self.nothing_left()
        self.assertEqual(dsb("run", *self.options(), "-c", CODE).stdout, "42\n")

    def test_base_directory(self):
        self.mount()
        with self.space.full(self.small):
            for verb in (("run", "-c", CODE), ("run", "--no-service", "-c", CODE), ("session", "new", "never")):
                done = dsb(*verb, *self.options(self.small))
                self.assertEqual(done.status, 125, done)
                self.assertRegex(done.stderr, "has only 0 bytes free, and [0-9.]+ KiB must stay free: make room on the file system of "
                                 f"{self.small}, or choose another --base-dir\n$")
                self.assertEqual([name for name in self.left_in(self.small) if not name.startswith("filler")], [])
            done = dsb("gc", *self.options(self.small))
            self.assertEqual((done.status, done.stdout), (0, "removed 0\n"), done)
        done = dsb("run", *self.options(self.small), "-c", CODE)
        self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
        self.nothing_left(self.small)

    def test_a_base_directory_that_is_mounted_with_care(self):
        """Without devices and without programs: code is read, not executed, and is all that there is to run."""
        self.mount("nodev", "noexec", "nosuid")
        code = "import runpy; open('own.py', 'w').write('value = 42'); print(runpy.run_path('own.py')['value'])"
        for verb in (("run", "-c", code), ("run", "--no-service", "-c", code)):
            done = dsb(*verb, *self.options(self.small))
            self.assertEqual((done.status, done.stdout, done.stderr), (0, "42\n", ""), done)
        self.assertEqual(dsb("session", "new", self.s, *self.options(self.small)).status, 0)
        done = dsb("exec", self.s, "-c", code)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "42\n", ""), done)
        self.assertEqual(os.listdir(self.space.path(f"{self.small}/{self.s}")), ["own.py"])
        self.assertEqual(dsb("session", "rm", "--files", self.s).status, 0)
        self.nothing_left(self.small)

    def test_what_cannot_be_removed(self):
        """Something is mounted in it: it is said where, and goes when that has gone."""
        self.new()
        self.assertEqual(dsb("exec", self.s, "-c", "import os; os.mkdir('d')").status, 0)
        place = os.path.join(WORK.base, self.s)
        self.space.run("mount", "-t", "tmpfs", "busy", f"{place}/d")
        try:
            done = dsb("session", "rm", "--files", self.s)
        finally:
            self.space.run("umount", f"{place}/d")
        self.assertEqual(done.status, 125, done)
        self.assertIn(f"what is left is in {place} ", done.stderr)
        self.new()
        self.assertEqual(dsb("session", "rm", "--files", self.s).status, 0)
        self.nothing_left()

    def test_runtime_directory(self):
        """Without room for a file's content, and for files at all."""
        for options in ((), *((f"nr_inodes={count}",) for count in (2, 5))):
            with self.subTest(options):
                self.mount(*options)
                env = {"XDG_RUNTIME_DIR": self.small}
                with self.space.full(self.small) if not options else open(os.devnull):
                    done = dsb("run", *self.options(), "-c", CODE, env=env)
                    self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
                    done = dsb("session", "new", self.s, *self.options(), env=env)
                    if done.status != 0:
                        self.assertEqual(done.status, 125, done)
                        self.assertRegex(done.stderr, f"{self.small}/dsandbox/.*: No space left on device: make room on its file system")
                    else:
                        done = dsb("exec", self.s, "-c", CODE, env=env)
                        self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
                        self.assertEqual(dsb("session", "rm", "--all", "--files", env=env).status, 0)
                self.doCleanups()
                self.nothing_left()

    def test_state_directory(self):
        """What is asked for is done; what the audit log lacks is counted."""
        def unrecorded():
            connection = cli_harness.UnixConnection(os.path.join(WORK.run, "dsandbox/api.sock"))
            connection.request("GET", "/v1/version")
            answer = json.loads(connection.getresponse().read())
            connection.close()
            return answer["unrecorded"]

        self.mount()
        env = {"XDG_STATE_HOME": self.small}
        with self.space.full(self.small):
            self.assertEqual(dsb("session", "new", self.s, *self.options(), env=env).status, 0)
            for verb in (("exec", self.s), ("run", *self.options())):
                done = dsb(*verb, "-c", CODE, env=env)
                self.assertEqual((done.status, done.stdout, done.stderr), (0, "42\n", ""), done)
            self.assertIn(self.s, dsb("session", "ls", env=env).stdout)
            self.assertEqual(unrecorded(), 2)
        self.assertEqual(dsb("exec", self.s, "-c", CODE, env=env).stdout, "42\n")
        with open(self.space.path(os.path.join(self.small, "dsandbox/audit.jsonl")), encoding="utf-8") as log:
            self.assertEqual([json.loads(line)["session"] for line in log], [self.s])
        self.assertEqual(unrecorded(), 2)
        self.assertEqual(dsb("session", "rm", "--files", self.s, env=env).status, 0)
        self.nothing_left()

    def test_temporary_directory(self):
        self.mount()
        env = {"TMPDIR": self.small}
        with self.space.full(self.small):
            for verb in (("run", "-c", CODE), ("run", "--no-service", "-c", CODE), ("run", "--session", self.s, "-c", CODE)):
                done = dsb(*verb, *self.options(), env=env)
                self.assertEqual((done.status, done.stdout), (0, "42\n"), done)
            done = dsb("image", "build", "--backend", cli_harness.BACKEND, env=env)
            self.assertEqual(done.status, 125, done)
            self.assertRegex(done.stderr, rf"cannot write {self.small}/.*\(TMPDIR chooses another place\): No space left on device: make room")
            self.assertEqual([name for name in os.listdir(self.space.path(self.small)) if not name.startswith("filler")], [])
        self.assertEqual(dsb("session", "rm", "--files", self.s).status, 0)
        self.nothing_left()


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "only root has mounts of its own")
class Mounts(cli_harness.EngineCase):
    """Of the program alone."""

    def with_mount(self, command, *args):
        program = WORK.file(f"""#!/bin/sh
exec unshare -m sh -euc '{command}; exec "{cli_harness.PROGRAM}" "$@"' sh "$@"
""")
        os.chmod(program, 0o755)
        with mock.patch.object(cli_harness, "PROGRAM", program):
            return cli_harness.dsandbox("--backend", cli_harness.BACKEND, *args)

    def test_a_read_only_base_directory(self):
        base = WORK.dir("read-only", 0o700)
        mount = f'mount --bind "{base}" "{base}"; mount -o remount,bind,ro "{base}"'
        for verb in (("run", "--no-service", "-c", CODE), ("doctor",)):
            done = self.with_mount(mount, "--base-dir", base, *verb)
            self.assertEqual(done.status, 125, done)
            self.assertIn("Read-only file system: choose another place, or have it mounted for writing", done.stdout + done.stderr)
            self.assertIn("--base-dir", done.stdout + done.stderr)
        self.assertEqual(os.listdir(base), [])

    def test_a_base_directory_that_the_engine_does_not_see(self):
        base = WORK.dir("unseen", 0o700)
        done = self.with_mount(f'mount -t tmpfs -o mode=0700 unseen "{base}"', "--base-dir", base, "run", "--no-service", "-c", CODE)
        self.assertEqual(done.status, 125, done)
        self.assertRegex(done.stderr, f"{base}/.*; the engine does not see this directory, .*; choose another --base-dir\n")
        self.assertEqual(os.listdir(base), [])


if __name__ == "__main__":
    cli_harness.main([Full, Mounts])

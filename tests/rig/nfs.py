#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A base directory on NFS, for an ordinary user with rootless Podman: as servers export it, where root is nobody, and as they do
otherwise. For root in a guest of vm.sh, which is server and client.
"""
import os
import subprocess
import tarfile
import unittest

from prerequisites import PATIENT, POLICY, UID, begin_all, end_all, root, write
from units import as_user, wait_for

# Each with what its server does with users.
EXPORTS = {"squash": "root_squash", "open": "no_root_squash", "nobody": "all_squash"}
SERVED, SEEN = "/srv/nfs", "/mnt/nfs"
HOLDS = """import os
held = open('held', 'w')
held.write('x' * 100000)
held.flush()
"""
WAITS = HOLDS + "print('up', flush=True)\nwhile True: pass"


def dsandbox(export, *argv):
    return ["as-user", *PATIENT.split(), "--base-dir", f"{SEEN}/{export}/ci/base", *argv]


def run(*argv):
    return dsandbox(argv[0], "run", "--no-service", "--policy", POLICY, *argv[1:])


class Nfs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        end_all()
        begin_all()
        write(POLICY, '{"start_timeout": "600s"}')
        root("modprobe", "-a", "nfsd", "nfsv4")
        root("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
        for number, (name, how) in enumerate(EXPORTS.items(), 1):
            os.makedirs(f"{SERVED}/{name}/ci", mode=0o755)
            os.chown(f"{SERVED}/{name}/ci", UID, UID)
            root("exportfs", "-i", "-o", f"rw,no_subtree_check,fsid={number},{how}", f"127.0.0.1:{SERVED}/{name}")
        os.chmod(f"{SERVED}/squash/ci", 0o700)
        os.chmod(f"{SERVED}/nobody/ci", 0o777)
        root("rpc.mountd", "--no-nfs-version", "3")
        root("rpc.nfsd", "--no-nfs-version", "3", "--grace-time", "10", "2")
        write("/proc/fs/nfsd/v4_end_grace", "Y")  # nobody was there before
        for name in EXPORTS:
            os.makedirs(f"{SEEN}/{name}")
            root("mount", "-t", "nfs4", f"127.0.0.1:{SERVED}/{name}", f"{SEEN}/{name}")

    @classmethod
    def tearDownClass(cls):
        end_all()
        for name in EXPORTS:
            root("umount", "-l", f"{SEEN}/{name}")
        root("exportfs", "-ua")
        root("rpc.nfsd", "0")
        begin_all()

    def nothing_left(self, export="squash"):
        base = f"{SERVED}/{export}/ci/base"
        wait_for(lambda: as_user("podman", "ps", "-aq").stdout == "")
        self.assertEqual(os.listdir(base), [".locks"])
        self.assertEqual(os.listdir(f"{base}/.locks"), [])

    def test_run(self):
        """With a file that is open when its directory is removed, and one that was removed before it was closed."""
        for export in ("squash", "open"):
            with self.subTest(export):
                done = root(*run(export, "-c", HOLDS + "gone = open('gone', 'w'); gone.write('x'); os.unlink('gone'); print(open('held').read(3))"),
                            check=False)
                self.assertEqual((done.returncode, done.stdout), (0, "xxx\n"), done)
                self.nothing_left(export)

    def test_killed(self):
        with subprocess.Popen(run("squash", "--timeout", "300s", "-c", WAITS), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"up\n")
            process.kill()
        wait_for(lambda: as_user("podman", "ps", "-aq").stdout == "")
        self.assertEqual(as_user(*dsandbox("squash", "gc")[1:]).stdout, "removed 1\n")
        self.nothing_left()

    def test_session(self):
        def exec_(session, code):
            return as_user(*dsandbox("squash", "exec", session, "-c", code)[1:])

        def do(*argv):
            makes = argv[:2] in (("session", "new"), ("session", "import"))
            return as_user(*(dsandbox("squash", *argv)[1:] if makes else ("dsandbox", *argv))).stdout

        do("session", "new", "a", "--checkpoint", "always", "--policy", POLICY)
        exec_("a", HOLDS + "x = 41; os.mkdir('d')")
        write("/tmp/new", "new")
        do("cp", "/tmp/new", "a:d/new")
        do("cp", "/tmp/new", "a:held")  # in the place of one that is open
        self.assertEqual(exec_("a", "print(x + 1, open('held').read(), os.listdir('d'))").stdout, "42 new ['new']\n")
        other = root(*run("squash", "--session", "a", "-c", "1"), check=False)
        self.assertEqual(other.returncode, 125, other)
        self.assertIn("session 'a' is in use by another process", other.stderr)
        crashed = root(*dsandbox("squash", "exec", "a", "-c", "import ctypes; ctypes.string_at(0)"), check=False)
        self.assertIn("variables were rolled back", crashed.stderr)
        self.assertEqual(exec_("a", "print(x)").stdout, "41\n")
        exec_("a", "held = None")  # what was removed while it was open is there until then
        do("session", "export", "a", "/tmp/a.tar")
        with tarfile.open("/tmp/a.tar") as tar:
            self.assertEqual(sorted(tar.getnames()), ["d", "d/new", "held"])
        exec_("a", HOLDS)
        do("session", "rm", "--files", "a")
        self.nothing_left()
        do("session", "new", "b", "--policy", POLICY)
        do("session", "import", "b", "/tmp/a.tar")
        self.assertEqual(exec_("b", "print(open('d/new').read())").stdout, "new\n")
        do("session", "rm", "--files", "b")
        self.nothing_left()

    def test_who_is_nobody_there(self):
        """Root, or all: it is refused at the start, and said why."""
        done = root(*run("nobody", "-c", "1"), check=False)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done)
        self.assertRegex(done.stderr, f"base directory {SEEN}/nobody/ci/base belongs to uid 65534 .*; it is on NFS, whose server takes root, or "
                                      "all users, for nobody .*choose another --base-dir\n$")
        self.assertEqual(os.listdir(f"{SERVED}/nobody/ci"), [])
        done = root("dsandbox", "--base-dir", f"{SEEN}/squash/ci/base", "doctor", check=False)
        self.assertEqual(done.returncode, 125, done)
        self.assertRegex(done.stdout, f"{SEEN}/squash/ci/base: Permission denied; it is on NFS, whose server takes root")


CASES = [Nfs]

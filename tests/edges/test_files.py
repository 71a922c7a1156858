#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Large files, both ways, with clients that take their time: complete, and little memory. Environment and last line as in
tests/cli/cli_harness.py.
"""
import hashlib
import os
import random
import subprocess
import tarfile
import time

import own_service
import harness
import cli_harness
import transfers
from harness import in_threads, scaled

setUpModule, tearDownModule = own_service.begin, own_service.end

SIZE = 100 << 20
CLIENTS = 8
PROGRAM_MAX_KIB = 32 << 10


class Files(harness.SessionCase):
    def setUp(self):
        super().setUp()
        self.create = {**self.create, "set": {"disk": "2GiB"}}
        self.ok("pass")
        self.data = random.Random(1).randbytes(SIZE)
        self.sum = hashlib.sha256(self.data).hexdigest()

    def cp(self, *operands, **more):
        return self.service.popen(harness.PROGRAM, "cp", *operands, **more)

    def end(self, process):
        error = process.stderr.read()
        self.assertEqual((process.wait(scaled(60)), error), (0, b""))
        process.stdout.close()
        process.stderr.close()

    def is_small(self, process):
        if not harness.SANITIZED:
            self.assertLess(transfers.peak(process.pid), PROGRAM_MAX_KIB)

    def up(self, name):
        process = self.cp("-", f"{self.id}:{name}", stdin=subprocess.PIPE)
        with process.stdin:
            for at in range(0, SIZE, 1 << 20):
                process.stdin.write(self.data[at:at + (1 << 20)])
                time.sleep(0.002)
            self.is_small(process)
        self.end(process)

    def down(self, name):
        process = self.cp(f"{self.id}:{name}", "-")
        found = hashlib.sha256()
        time.sleep(1)  # all buffers are full by now
        for at in range(0, SIZE, 1 << 20):
            found.update(process.stdout.read(1 << 20))
            time.sleep(0.002)
            if at == SIZE // 2:
                self.is_small(process)
        self.assertEqual(process.stdout.read(), b"")
        self.end(process)
        return found.hexdigest()

    def test_slow_clients(self):
        names = [f"f{number}" for number in range(CLIENTS)]
        in_threads([lambda n=name: self.up(n) for name in names])
        code = "import hashlib\nfor n in %r: print(hashlib.sha256(open(n, 'rb').read()).hexdigest())" % names
        self.assertEqual(self.ok(code, timeout="120s")["stdout"].count(self.sum), CLIENTS)
        self.assertEqual(in_threads([lambda n=name: self.down(n) for name in names]), [self.sum] * CLIENTS)
        if not harness.SANITIZED:
            self.assertLess(transfers.peak(self.service.pid), transfers.SERVICE_MAX_KIB)
        print(f"at most {transfers.peak(self.service.pid)} KiB in the service")

    def test_more_than_its_disk(self):
        """What an upload may bring is what the limit of the session leaves; then the code may still run."""
        self.api.delete(self.path("?files=1"))
        self.create["set"] = {"disk": "50MiB"}
        self.ok("open('kept', 'w').write('old content')")
        process = self.cp("-", f"{self.id}:kept", stdin=subprocess.PIPE)
        out, error = process.communicate(self.data, timeout=scaled(120))
        self.assertEqual((process.returncode, out), (125, b""))
        self.assertIn(b"disk of 50.0", error)
        self.assertEqual(self.api.call("GET", self.path("/files/kept")), b"old content")
        self.assertEqual(self.ok("import os; print(os.listdir('.'))")["stdout"], "['kept']\n")


class Sparse(harness.SessionCase):
    """Files of zeros take nothing from the code's limit on disk, and so nothing of the disk of who takes them out."""
    MIB = 1 << 20

    def setUp(self):
        super().setUp()
        self.create = {**self.create, "set": {"disk": "8MiB"}}
        self.ok("import os\nfor i in range(20):\n    with open(f's{i}', 'wb') as f: f.truncate(8 << 20)\n"
                "with open('s7', 'r+b') as f: f.seek(4 << 20); f.write(b'mid')")
        self.place = cli_harness.WORK.dir("out", 0o700)

    def dsb(self, *args, **more):
        done = subprocess.run(self.service.command(harness.PROGRAM, *args), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=harness.HARD_LIMIT, check=False, **more)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def check(self, path):
        with open(path, "rb") as file:
            self.assertEqual(file.read(), (b"\0" * (4 << 20) + b"mid").ljust(8 << 20, b"\0") if path.endswith("s7") else bytes(8 << 20))

    def test_they_stay_small(self):
        archive, copy, one = (os.path.join(self.place, name) for name in ("all.tar", "all", "s7"))
        self.dsb("session", "export", self.id, archive)
        self.dsb("cp", "-r", f"{self.id}:.", copy)
        self.dsb("cp", f"{self.id}:s7", one)
        with open(os.path.join(self.place, "out"), "wb") as out:
            self.dsb("cp", f"{self.id}:s7", "-", stdout=out)
        for path in (archive, one, *(os.path.join(copy, name) for name in os.listdir(copy))):
            self.assertLess(os.stat(path).st_blocks * 512, self.MIB, path)
        self.assertEqual(len(os.listdir(copy)), 20)
        self.check(one)
        self.check(os.path.join(copy, "s7"))
        self.check(os.path.join(copy, "s19"))
        os.rename(os.path.join(self.place, "out"), one)
        self.check(one)
        with tarfile.open(archive) as tar:
            self.assertEqual(sorted(tar.getnames()), sorted(f"s{i}" for i in range(20)))
            tar.extract("s7", os.path.join(self.place, "x"))
        self.check(os.path.join(self.place, "x/s7"))


if __name__ == "__main__":
    cli_harness.main([Files, Sparse])

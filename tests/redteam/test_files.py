#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Files of a session that want to hold up whoever looks at them from outside.
Environment and last line as in tests/cli/cli_harness.py.
"""
from common import RedCase, dsb, cli_harness


class Held(RedCase):
    # A lease of the owner makes every open by others wait for it, or fail.
    LEASE = """
import fcntl, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
open('held', 'w').write('text')
held = open('held')
try: fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
except PermissionError: print('refused')
"""
    LOCKS = """
import fcntl, os
open('held', 'w').write('text')
held, place = open('held', 'r+'), os.open('/sandbox', os.O_RDONLY)
for file in (held, place): fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(held, fcntl.LOCK_EX)
"""

    def assert_readable(self):
        self.assertEqual(self.text("cp", f"{self.s}:held", "-").stdout, "text")
        self.assertIn("held", [f["path"] for f in self.json("session", "files", self.s)["files"]])
        self.assertEqual(self.run_("print(open('held').read())")["stdout"], "text\n")
        self.text("session", "export", self.s)

    def test_lease(self):
        self.assertEqual(self.run_(self.LEASE)["stdout"], "refused\n")
        self.assert_readable()

    def test_locks(self):
        self.run_(self.LOCKS)
        self.assert_readable()
        self.assertEqual(dsb("session", "rm", self.s).status, 0)


if __name__ == "__main__":
    cli_harness.main([Held])

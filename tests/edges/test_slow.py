#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A reader that takes its time gets everything that the limits allow, and what they do not allow is said. Environment and last
line as in tests/cli/cli_harness.py.
"""
import json
import os
import re
import threading

import cli_harness
from session_harness import SessionCase, popen, service_pid

SIZE = 40 << 20
CODE = f"import sys\nfor _ in range({SIZE} >> 16): sys.stdout.write('x' * 65535 + '\\n')"


def served():
    """How many runs the service has done."""
    with open(os.path.join(cli_harness.WORK.path, "state/dsandbox/audit.jsonl"), encoding="utf-8") as log:
        return sum(json.loads(line)["session"] is None for line in log)


class Slow(SessionCase):
    def read_slowly(self, *args):
        """How many bytes come, what is said, and the exit status. Pipes and the service's own buffers are full at first."""
        process = popen(*args, "--timeout", "10m", "-c", CODE)
        watch = threading.Timer(cli_harness.scaled(300), process.kill)
        watch.start()
        try:
            self.assertEqual(process.stdout.read(1), b"x")
            threading.Event().wait(3)
            rest = process.stdout.read()
            error = process.stderr.read()
            return 1 + len(rest), error.decode(), process.wait()
        finally:
            watch.cancel()
            process.kill()
            process.communicate()

    def much(self):
        policy = os.path.join(cli_harness.WORK.path, "much.json")
        with open(policy, "w", encoding="utf-8") as file:
            json.dump({"output_limit": "64MiB"}, file)
        return "--policy", policy

    def assert_small(self):
        """What the service ever had in memory at once: its part of what waits, not all of it."""
        with open(f"/proc/{service_pid()}/status", encoding="utf-8") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        self.assertLess(peak, 64 << 10)

    def test_much_output_of_a_session(self):
        self.new(*self.much())
        self.assertEqual(self.read_slowly("exec", self.s), (SIZE, "", 0))
        self.assert_small()

    def test_much_output_of_a_run(self):
        """Through the service, which is there as long as a session is."""
        self.run_("1")
        before = served()
        self.assertEqual(self.read_slowly("run", *self.settings(), *self.much()), (SIZE, "", 0))
        self.assertEqual(served(), before + 1)
        self.assert_small()

    def test_more_than_the_limit(self):
        """The default one. What came and what is said are all that there was."""
        self.new()
        for verb in (("exec", self.s), ("run", *self.settings()), ("run", "--no-service", *self.settings())):
            with self.subTest(verb[:2]):
                came, said, status = self.read_slowly(*verb)
                left_out = re.fullmatch(r"dsandbox: ([0-9]+) bytes of output were left out: more than --output-limit\n", said)
                self.assertIsNotNone(left_out, said)
                self.assertEqual((came + int(left_out[1]), status), (SIZE, 0))
                self.assertEqual(came, 1 << 20)


if __name__ == "__main__":
    cli_harness.main([Slow])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A reader that takes its time gets everything that the limits allow. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import threading

import cli_harness
from session_harness import SessionCase

SIZE = 40 << 20


class Slow(SessionCase):
    def test_much_output_of_a_session(self):
        code = f"import sys\nfor _ in range({SIZE} >> 16): sys.stdout.write('x' * 65535 + '\\n')"
        policy = os.path.join(cli_harness.WORK.path, "much.json")
        with open(policy, "w", encoding="utf-8") as file:
            json.dump({"output_limit": "64MiB"}, file)
        self.new("--policy", policy)
        process = cli_harness.start("exec", self.s, "--timeout", "120s", "-c", code)
        watch = threading.Timer(300, process.kill)
        watch.start()
        try:
            self.assertEqual(process.stdout.read(1), b"x")
            threading.Event().wait(3)  # pipes and the service's own buffers are full by now
            rest = process.stdout.read()
            error = process.stderr.read()
            self.assertEqual((1 + len(rest), error, process.wait()), (SIZE, b"", 0))
        finally:
            watch.cancel()
            process.kill()
            process.communicate()


if __name__ == "__main__":
    cli_harness.main([Slow])

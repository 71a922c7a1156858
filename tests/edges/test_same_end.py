#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The same code ends in the same way whether it runs by itself or in a session. Environment and last line as in
tests/cli/cli_harness.py.
"""
import json

import cli_harness
from session_harness import SessionCase, dsb

FILL = "import time\nfor i in range(100): open(f'a{i}', 'wb').write(bytes(1 << 20)); time.sleep(0.05)"
ENDS = {
    "nothing": ("pass", ()),
    "status": ("import sys; sys.exit(3)", ()),
    "words": ("import sys; sys.exit('no more')", ()),
    "error": ("1 / 0", ()),
    "time": ("while True: pass", ("--timeout", "1s")),
    "interrupt": ("raise KeyboardInterrupt", ()),
    "interrupted": ("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", ()),
    "killed": ("import os; os.kill(os.getpid(), 9)", ()),
    "disk": (FILL, ("--disk", "4MiB")),
    "output": ("while True: print('x' * 1000)", ("--output-limit", "64KiB", "--timeout", "10s")),
}
SAME = ("status", "exit_code", "signal", "reason", "failure", "stdout", "error")
# Code that is told to end has long enough for it on a machine that is busy, too.
POLICY = json.dumps({"grace": "30s"})


class SameEnd(SessionCase):
    pass


def add(name, code, options):
    def test(self):
        seen, policy = {}, cli_harness.WORK.file(POLICY)
        for way, more in (("alone", ("--no-service",)), ("session", ("--session", self.s))):
            done = dsb("run", "--json", "-c", code, *more, *options, *self.settings(), "--policy", policy)
            result = json.loads(done.stdout)
            facts = {key: result[key] for key in SAME}
            if facts["error"]:  # frames have the session's own name of the code
                facts["error"] = {key: facts["error"][key] for key in ("name", "value")}
            facts["stdout"] = facts["stdout"][:1000]
            seen[way] = {**facts, "exit status": done.status}
        self.assertEqual(seen["session"], seen["alone"])

    setattr(SameEnd, f"test_{name}", test)


for _name, (_code, _options) in ENDS.items():
    add(_name, _code, _options)

if __name__ == "__main__":
    cli_harness.main([SameEnd])

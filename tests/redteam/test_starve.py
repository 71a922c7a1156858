#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Code that wants process 1, which keeps the time, to have no processor time: the time limit holds.
Environment and last line as in tests/cli/cli_harness.py.
"""
from common import RedCase, cli_harness
from speed import slowness

# All that could hold process 1 back, then a hundred children that never pause.
STARVE = """
import os
def each(*attacks):
    for attack in attacks:
        try: attack()
        except OSError: pass
idle = os.sched_param(0)
each(lambda: os.sched_setaffinity(1, [min(os.sched_getaffinity(0))]), lambda: os.sched_setscheduler(1, os.SCHED_IDLE, idle),
     lambda: os.sched_setscheduler(1, os.SCHED_BATCH, idle), lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
     lambda: os.setpgid(0, 1), lambda: os.setpriority(os.PRIO_PGRP, 1, 19), lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
     lambda: open('/proc/1/autogroup', 'w').write('19'), lambda: open('/proc/1/timerslack_ns', 'w').write('4000000000'))
each(lambda: os.setpriority(os.PRIO_PROCESS, 0, 0), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
for _ in range(100):
    if os.fork() == 0:
        while True: pass
while True: pass
"""


class Starve(RedCase):
    def assert_in_time(self, result, seconds):
        """
        Within a second after the limit, of a sandbox that has a processor; more only where this machine is slow now, or others
        had the processor, as the two clocks say.
        """
        self.assertEqual(result["status"], "timeout")
        usage = result["usage"]
        slack = 1000 * max(slowness(), usage["wall_ms"] / max(usage["cpu_ms"], 1))
        self.assertLess(usage["wall_ms"], 1000 * seconds + slack, usage)
        return slack

    def test_one_shot(self):
        done = self.dsb("--timeout", "2s", "-c", STARVE)
        self.assertEqual(done.status, 124, done)
        slack = self.assert_in_time(self.result(done), 2)
        self.assertLess(done.seconds * 1000, 2000 + 5 * slack, "what the caller waits for: start, limit, end")
        self.assert_clean()

    def test_session(self):
        self.new("--checkpoint", "always")  # the attack may begin before a session that waits for quiet has its first point
        self.run_("kept = 'still here'")
        self.assert_in_time(self.run_(STARVE, "--timeout", "2s", status="timeout"), 2)
        self.assertEqual(self.run_("print(kept)")["stdout"], "still here\n")
        self.text("session", "rm", self.s)


if __name__ == "__main__":
    cli_harness.main([Starve])

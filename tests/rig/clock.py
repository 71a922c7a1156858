#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
TM-07: the machine's clock is set while code runs. For root in a guest of vm.sh, whose clock is nobody else's.
"""
import subprocess
import time
import unittest

HOUR = 3600
SEES = """import time
offset = time.time() - time.monotonic()
print('up', flush=True)
while abs(time.time() - time.monotonic() - offset) < 1800: time.sleep(0.05)
time.sleep(1)
print('saw it')"""
# An emulated machine on a busy one: its engine may need minutes for a start.
POLICY = "/tmp/clock-policy.json"
ENDLESS = "print('up', flush=True)\nwhile True: pass"


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(POLICY, "w", encoding="ascii") as file:
            file.write('{"start_timeout": "600s"}')

    def run_over_step(self, step, limit, code):
        """Exit status, the rest of the output, and seconds from the code's first word to the end."""
        process = subprocess.Popen(["as-user", "dsandbox", "--engine-timeout", "600", "run", "--no-service", "--policy", POLICY, "--timeout",
                                    f"{limit}s", "-c", code],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first = process.stdout.readline()
        self.assertEqual(first, "up\n", first or process.communicate(timeout=1200)[1])
        begin = time.monotonic()
        time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
        out, err = process.communicate(timeout=1200)
        return process.returncode, out, time.monotonic() - begin, err

    def test_no_early_end(self):
        for step in (HOUR, -HOUR):
            with self.subTest(step):
                status, out, _, err = self.run_over_step(step, 600, SEES)
                self.assertEqual((status, out), (0, "saw it\n"), err)

    def test_no_late_end(self):
        for step in (HOUR, -HOUR):
            with self.subTest(step):
                status, _, seconds, err = self.run_over_step(step, 5, ENDLESS)
                self.assertEqual(status, 124, err)
                self.assertTrue(4 < seconds < 600, seconds)


CASES = [Clock]

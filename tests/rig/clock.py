#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
TM-07: the machine's clock is set while code runs. For root in a guest of vm.sh, whose clock is nobody else's.
The last line is "N passed, N failed, N skipped".
"""
import subprocess
import time
import unittest

HOUR = 3600
SEES = """import time
print('up', flush=True)
offset = time.time() - time.monotonic()
while abs(time.time() - time.monotonic() - offset) < 1800: time.sleep(0.05)
time.sleep(1)
print('saw it')"""
ENDLESS = "print('up', flush=True)\nwhile True: pass"


class Clock(unittest.TestCase):
    def run_over_step(self, step, limit, code):
        """Exit status, the rest of the output, and seconds from the code's first word to the end."""
        process = subprocess.Popen(["as-user", "dsandbox", "run", "--no-service", "--timeout", f"{limit}s", "-c", code],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "up\n", "it runs")
        begin = time.monotonic()
        time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
        out, err = process.communicate(timeout=200)
        return process.returncode, out, time.monotonic() - begin, err

    def test_no_early_end(self):
        for step in (HOUR, -HOUR):
            with self.subTest(step):
                status, out, _, err = self.run_over_step(step, 60, SEES)
                self.assertEqual((status, out), (0, "saw it\n"), err)

    def test_no_late_end(self):
        for step in (HOUR, -HOUR):
            with self.subTest(step):
                status, _, seconds, err = self.run_over_step(step, 5, ENDLESS)
                self.assertEqual(status, 124, err)
                self.assertTrue(4 < seconds < 60, seconds)


result = unittest.main(exit=False, verbosity=2).result
bad = len(result.failures) + len(result.errors)
print(f"{result.testsRun - bad} passed, {bad} failed, 0 skipped")
raise SystemExit(bad != 0)

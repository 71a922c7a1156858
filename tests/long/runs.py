#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The work of runs.sh."""
import collections
import json
import os
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli"))
import cli_harness  # noqa: E402
from cli_harness import BACKEND, SETUP, EngineCase, dsandbox, processes, wait_until  # noqa: E402

RUNS, AT_ONCE, KILLED = 300, 2, 20
SHOWN = 20  # wrong results in full
RATE = 500  # runs between two lines of progress


class Runs(EngineCase):
    def setUp(self):
        self.lock = threading.Lock()
        self.wrong, self.seconds = collections.Counter(), []

    def each(self, count, work):
        numbers = iter(range(count))

        def loop():
            while True:
                with self.lock:
                    number = next(numbers, None)
                if number is None:
                    return
                work(number)
        threads = [threading.Thread(target=loop) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def note(self, kind, text):
        with self.lock:
            self.wrong[kind] += 1
            if sum(self.wrong.values()) <= SHOWN:
                print(f"{kind}: {text}", flush=True)

    def one(self, number):
        nonce = os.urandom(16).hex()
        status = number % 3
        try:
            done = self.dsb("-c", f"import sys\nopen('/sandbox/n', 'w').write('{nonce}')\nprint('{nonce}')\nprint('{nonce}', file=sys.stderr)\n"
                            f"sys.exit({status})")
            result = json.loads(done.out)
        except (AssertionError, ValueError) as problem:
            self.note("lost", problem)
            return
        got = (done.status, result["exit_code"], result["stdout"], result["stderr"], [f["path"] for f in result["files"]["created"]])
        if got[:2] == (125, None):
            self.note("failed", done)
        elif got != (status, status, nonce + "\n", nonce + "\n", ["n"]):
            self.note("wrong", f"{got} {done}")
        with self.lock:
            self.seconds.append(done.seconds)
            if len(self.seconds) % RATE == 0:
                print(f"{len(self.seconds)} runs, {sum(self.wrong.values())} not right, {time.strftime('%T')}", flush=True)

    def kill_one(self, _number):
        process = self.popen("--timeout", "2s", "-c", "import time; time.sleep(0.2)", json_=False)
        time.sleep(random.uniform(0, 0.8))
        process.kill()
        process.communicate(timeout=30)

    def left_nothing(self):
        self.assert_clean(30)
        self.assertTrue(wait_until(lambda: not processes(), 20), processes())
        self.assertEqual([n for n in os.listdir(cli_harness.WORK.base) if n != ".locks"], [])

    def test_runs(self):
        begin = time.monotonic()
        self.each(RUNS, self.one)
        spent = sorted(self.seconds) or [0.0]
        print(f"{SETUP}: {RUNS} runs, {AT_ONCE} at once, in {time.monotonic() - begin:.0f} s; one takes {spent[len(spent) // 2]:.3f} s (median), "
              f"{spent[-1]:.3f} s (longest); lost {self.wrong['lost']}, wrong {self.wrong['wrong']}, failed {self.wrong['failed']}", flush=True)
        self.left_nothing()
        self.assertEqual(dict(self.wrong), {})

    def test_runs_that_are_killed(self):
        self.each(KILLED, self.kill_one)
        time.sleep(3)  # pid 1 ends by itself
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base)
        self.assertEqual(done.status, 0, done)
        self.left_nothing()
        print(f"{SETUP}: {KILLED} killed, nothing left", flush=True)


if __name__ == "__main__":
    RUNS, AT_ONCE, KILLED = (int(word) for word in sys.argv[1:4])
    sys.argv[1:] = []
    unittest.installHandler()
    cli_harness.main([Runs])

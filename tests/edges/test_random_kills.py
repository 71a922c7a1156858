#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
kill -9 of the service at random moments, with executions under way: no variable is lost, and every answer comes, or the
connection is cut and the answer can be fetched. Environment and last line as in tests/cli/cli_harness.py; also
DSB_TEST_KILLS (20) and DSB_TEST_SESSIONS (4), how often and with how many sessions, and DSB_TEST_SEED, for the moments.
"""
import contextlib
import http.client
import json
import os
import random
import threading
import time

import own_service
import cli_harness

import harness
from harness import process_size
from speed import scaled
from test_adoption import AdoptionCase

ROOTLESS = "sessions belong to a user who is not root, and so do their sockets"
KILLS = int(os.environ.get("DSB_TEST_KILLS", "20"))
SESSIONS = int(os.environ.get("DSB_TEST_SESSIONS", "4"))
SEED = os.environ.get("DSB_TEST_SEED", "1")
CUT = (OSError, http.client.HTTPException)  # what a client sees whose service is killed

setUpModule, tearDownModule = own_service.begin, own_service.end


class Worker(threading.Thread):
    """One session, and what its client knows of it."""

    def __init__(self, test, number):
        super().__init__()
        self.test, self.name = test, f"s{number}"
        self.random = random.Random(f"{SEED}:{number}")
        self.api = harness.Api(test.service.socket)
        self.n, self.cuts, self.fetched, self.failure = 0, 0, 0, None
        self.code = self.key = None

    def step(self):
        """One execution; its answer comes, or its end is the connection's."""
        code = self.code = f"n += 1; open('log', 'a').write(f'{{n}}\\n'); import time; time.sleep({self.random.choice((0, 0.01, 0.3, 1.0))}); print(n)"
        path = f"/v1/sessions/{self.name}/execute"
        self.key = f"{self.name}-{self.n}" if self.random.random() < 0.5 else None
        headers = {"Idempotency-Key": self.key} if self.key else {}
        if self.random.random() < 0.5:
            return self.post(path, headers)
        stream = self.api.stream(path, {"code": code}, headers=headers)
        with contextlib.closing(stream):
            result = stream.all().result
        if result is None:
            raise http.client.IncompleteRead(b"")
        return result

    def post(self, path, headers):
        status, _, content = self.api.raw("POST", path, json.dumps({"code": self.code}), headers)
        self.test.assertEqual(status, 200, content)
        return json.loads(content)

    def again(self, ask):
        """Its answer, when there is a service."""
        self.api.close()
        while True:
            with contextlib.suppress(*CUT):
                return ask()
            self.api.close()
            time.sleep(0.01)

    def come_back(self):
        """What became of the last one: with a key its result can be fetched, or it runs now; without, it ran or it did not."""
        if self.key:
            path, headers = f"/v1/sessions/{self.name}/execute", {"Idempotency-Key": self.key}
            result = self.again(lambda: self.post(path, headers))
            self.test.assertEqual((result["status"], result["stdout"]), ("ok", f"{self.n + 1}\n"), result)
            self.fetched += 1
        result = self.again(lambda: self.api.run(self.name, "n"))
        self.test.assertEqual((result["status"], result["state"]["outcome"]), ("ok", "kept"), result)
        n = int(result["results"][-1]["text/plain"])
        self.test.assertIn(n, (self.n + 1,) if self.key else (self.n, self.n + 1))
        self.cuts += 1
        self.n = n

    def run(self):
        try:
            while not self.test.enough.is_set():
                try:
                    result = self.step()
                except CUT:
                    self.come_back()
                    continue
                self.test.assertEqual((result["status"], result["state"]["outcome"], result["stdout"]), ("ok", "kept", f"{self.n + 1}\n"))
                self.n += 1
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure
        self.api.close()


def private_kib(pid):
    """Memory of a process that no other one shares."""
    lines = harness.content(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_"))


class RandomMoments(AdoptionCase):
    def sizes(self, workers):
        return {worker.name: process_size(self.process(worker.name)) for worker in workers}

    def check_idle(self, workers):
        """What a session costs that nobody uses: at most 3 MiB that no other process has."""
        private = [private_kib(self.process(worker.name)) for worker in workers]
        self.assertTrue(harness.SANITIZED or max(private) <= 3072, private)

    def sessions(self):
        return {one["id"]: (one["container"], one["created"]) for one in self.api.get("/v1/sessions")["sessions"]}

    def test_killed_at_random_moments(self):
        chance = random.Random(SEED)
        self.enough = threading.Event()
        workers = [Worker(self, number) for number in range(SESSIONS)]
        for worker in workers:
            self.make(worker.name, "n = 0")
        sessions = self.sessions()
        self.restart()  # what is needed once for that is there from now on
        before, service = self.sizes(workers), process_size(self.service.pid)
        self.check_idle(workers)
        for worker in workers:
            worker.start()
        try:
            for _ in range(KILLS):
                time.sleep(chance.random())
                self.restart()
        finally:
            self.enough.set()
            for worker in workers:
                worker.join(scaled(60))
        for worker in workers:
            if worker.failure is not None:
                raise worker.failure
        print(f"seed {SEED}: {KILLS} kills, executions {[w.n for w in workers]}, cut {[w.cuts for w in workers]}, "
              f"of which fetched {[w.fetched for w in workers]}")
        self.assertGreater(sum(worker.cuts for worker in workers), 0)
        self.assertEqual(self.sessions(), sessions, "the same containers as before")
        for worker in workers:
            lines = self.api.get(f"/v1/sessions/{worker.name}/files/log").decode().split()
            self.assertEqual(lines, [str(i + 1) for i in range(worker.n)])
            history = self.api.get(f"/v1/sessions/{worker.name}/history")["executions"]
            self.assertEqual([one["n"] for one in history], list(range(history[0]["n"], history[-1]["n"] + 1)))
            self.assertEqual(sum(one["code"].startswith("n += 1") for one in history), worker.n)
            self.assertTrue(all(one["status"] == "ok" for one in history), history)
        self.api.close()
        self.check_idle(workers)
        # The ends of the last connections are seen a little later.
        harness.wait_for(lambda: all(size[0] <= before[name][0] + 1 for name, size in self.sizes(workers).items()))
        harness.wait_for(lambda: process_size(self.service.pid)[0] <= service[0] + 2)
        for name, (_, resident) in self.sizes(workers).items():
            self.assertTrue(harness.SANITIZED or resident < before[name][1] + 4096, (name, before[name], resident))


if __name__ == "__main__":
    cli_harness.main([RandomMoments])

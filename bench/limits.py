#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What limits cost and hold: how far a run goes beyond its time limit, and what print(1) takes beside a sandbox that uses
all of its processor time, in turn with and without that neighbour, as a ratio.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

LIMIT_MS = 1000


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Sandbox:
    def __init__(self, args, backend, endpoint):
        self.argv = [args.program, "--backend", backend, "--host", endpoint, "--base-dir", args.base_dir, "--image", args.image,
                     "run", "--no-service", "--json"]

    def start(self, code, *options):
        return subprocess.Popen([*self.argv, *options, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def run(self, code, status, *options):
        """The result, and milliseconds of the whole process. Another end than `status` would make the number worthless."""
        begin = time.monotonic()
        process = self.start(code, *options)
        result = json.loads(process.communicate(timeout=120)[0])
        took = (time.monotonic() - begin) * 1000
        if result["status"] != status:
            sys.exit(f"bench: {result['status']} instead of {status}: {result['failure']}")
        return result, took

    def overshoot(self):
        over = self.run("while True: pass", "timeout", "--timeout", "1s")[0]["usage"]["wall_ms"] - LIMIT_MS
        if over < 0:
            sys.exit(f"bench: ended {-over} ms too early")
        return over

    def hello(self):
        return self.run("print(1)", "ok")[1]

    def beside(self, count):
        """The same with a neighbour that uses all of its share."""
        neighbour = self.start("print('up', flush=True)\nwhile True: pass", "--timeout", "600s")
        time.sleep(2)
        times = [self.hello() for _ in range(count)]
        if neighbour.poll() is not None:
            sys.exit("bench: the neighbour ended")
        neighbour.terminate()
        neighbour.communicate(timeout=60)
        return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeouts", type=int, default=200, help="runs that reach their time limit")
    parser.add_argument("--runs", type=int, default=60, help="print(1) with, and as many without a neighbour")
    parser.add_argument("--image", default="dsandbox-sandbox:latest")
    parser.add_argument("--program", required=True)
    parser.add_argument("--base-dir", required=True)
    parser.add_argument("--docker", help="endpoint of a Docker Engine")
    parser.add_argument("--podman", help="endpoint of a Podman service")
    parser.add_argument("--podman-run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    pairs = [("docker-api", args.docker), ("docker-cli", args.docker), ("podman", args.podman)]

    print(f"processors: {os.cpu_count()}")
    print(f"{'backend':12} {'beyond 1 s: median':>19} {'p99 ms':>7} {'alone: p95 ms':>14} {'beside: p95 ms':>15} {'ratio':>6}")
    for name, endpoint in pairs:
        if endpoint is None:
            continue
        sandbox = Sandbox(args, name, endpoint)
        sandbox.hello()
        alone, beside = [], []
        while len(alone) < args.runs:
            alone += [sandbox.hello() for _ in range(10)]
            beside += sandbox.beside(10)
        over = [sandbox.overshoot() for _ in range(args.timeouts)]
        quiet, busy = percentile(alone, 95), percentile(beside, 95)
        print(f"{name:12} {statistics.median(over):19.0f} {percentile(over, 99):7.0f} {quiet:14.0f} {busy:15.0f} {busy / quiet:6.2f}")


main()

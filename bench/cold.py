#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One-shot print(1): dsandbox on each backend against the engines' own programs, alternating in one run."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def once(argv):
    """Milliseconds of one whole process; its output must be right, or the number means nothing."""
    begin = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    took = (time.monotonic() - begin) * 1000
    if done.returncode != 0 or done.stdout != b"1\n":
        sys.exit(f"{' '.join(argv)}: exit status {done.returncode}, {done.stdout!r} {done.stderr!r}")
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--image", default="dsandbox-sandbox:latest")
    parser.add_argument("--program", required=True)
    parser.add_argument("--base-dir", required=True)
    parser.add_argument("--docker", help="endpoint of a Docker Engine")
    parser.add_argument("--podman", help="endpoint of a Podman service")
    parser.add_argument("--podman-run", help="command that is `podman` for the same store, words split at spaces")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    limits = ["--network=none", "--memory=512m", "--memory-swap=512m", "--cpu-period=100000", "--cpu-quota=100000",
              "--pids-limit=128", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
              "--user=65532:65532", "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=100m"]

    def ours(backend, endpoint):
        return [args.program, "--backend", backend, "--host", endpoint, "--base-dir", args.base_dir, "--image",
                args.image, "run", "-c", "print(1)"]

    def theirs(client):
        return [*client, "run", "--rm", *limits, args.image, "python3", "-c", "print(1)"]

    pairs = []
    if args.docker:
        docker_run = theirs(["docker", "--host", args.docker])
        pairs += [("docker-api", ours("docker-api", args.docker), "docker run", docker_run, 0.65),
                  ("docker-cli", ours("docker-cli", args.docker), "docker run", docker_run, 1.1)]
    if args.podman and args.podman_run:
        pairs += [("podman", ours("podman", args.podman), "podman run", theirs(args.podman_run.split()), 0.8)]
    if not pairs:
        parser.error("give --docker, or --podman with --podman-run")

    times = {}
    for turn in range(args.runs + 1):
        for name, mine, other, command, _ in pairs:
            for key, argv in (((name, "ours"), mine), ((name, "theirs"), command)):
                took = once(argv)
                if turn > 0:  # the first turn warms caches
                    times.setdefault(key, []).append(took)
    rows = []
    for name, _, other, _, goal in pairs:
        mine, them = times[name, "ours"], times[name, "theirs"]
        rows.append({"backend": name, "against": other, "runs": args.runs, "ms": round(statistics.median(mine), 1),
                     "against_ms": round(statistics.median(them), 1),
                     "ratio": round(statistics.median(mine) / statistics.median(them), 3), "goal": goal})
    if args.json:
        print(json.dumps({"benchmark": "cold", "load": os.getloadavg()[0], "rows": rows}))
        return
    print(f"{'backend':12} {'median ms':>10}   {'against':12} {'median ms':>10} {'ratio':>7} {'goal':>6}")
    for row in rows:
        print(f"{row['backend']:12} {row['ms']:10.1f}   {row['against']:12} {row['against_ms']:10.1f} "
              f"{row['ratio']:7.3f} {row['goal']:6.2f}")


main()

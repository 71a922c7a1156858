#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Prints the controls that a set-up cannot hold, as dsandbox itself says, comma-separated; nothing if it holds all.

unenforced.py [PREFIX...] dsandbox --backend NAME [--host ADDRESS] run [OPTION...]
"""
import json
import subprocess
import sys


def main():
    allow = []
    # What the engine says is refused first, what is measured inside only when a container may be made at all.
    for _ in range(3):
        options = ["--allow-unenforced=" + ",".join(allow)] if allow else []
        done = subprocess.run([*sys.argv[1:], *options, "--json", "--no-service", "-c", "pass"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, timeout=120)
        try:
            result = json.loads(done.stdout)
        except ValueError:
            sys.exit(f"the first run gives no result, status {done.returncode}")
        if result["status"] == "ok":
            print(",".join(allow))
            return
        more = [c["name"] for c in result["policy"]["controls"] if c["verdict"] == "refused"]
        if result["status"] != "refused" or not more:
            sys.exit(f'the first run does not work: {result["failure"]["message"]}')
        allow += more
    sys.exit(f"refused again and again: {allow}")


if __name__ == "__main__":
    main()

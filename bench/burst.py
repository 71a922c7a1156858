#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Executions in a row over the HTTP API, with numpy and pandas: what rollback points cost. One session of each kind of
`checkpoint`, one burst of each in turn, so that all see the same machine; look at the ratio."""
import argparse
import json
import os
import statistics
import time

from session import Http, Program, add_engine, environment, timed

KINDS = ("always", "idle", "off")
BEGIN = "import pandas as pd\ndf = pd.DataFrame({'a': range(20000)})"
CODE = "df['b'] = df['a'] * %d\ndf['b'].groupby(df['a'] %% 7).sum()"


class Burst(Http):
    def __init__(self, args, env, kind):
        super().__init__(args, env, "burst-" + kind, BEGIN, checkpoint=kind)
        self.executions, self.taken = args.executions, 0

    def all(self):
        for number in range(self.executions):
            self.taken += self.call({"code": CODE % number})["state"]["point"] == "taken"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_engine(parser)
    parser.add_argument("--runs", type=int, default=20, help="bursts of each kind")
    parser.add_argument("--executions", type=int, default=10, help="of one burst")
    parser.add_argument("--rest", type=float, default=0.5, help="seconds between two bursts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    env = environment()
    program = Program(args, env)  # starts the service
    sides = {kind: Burst(args, env, kind) for kind in KINDS}
    times = {kind: [] for kind in KINDS}
    for turn in range(args.runs + 1):
        for kind, side in sides.items():
            time.sleep(args.rest)
            took = timed(side.all)
            if turn > 0:  # the first turn warms caches
                times[kind].append(took)
            else:
                side.taken = 0
    for side in (*sides.values(), program):
        side.end()
    always = statistics.median(times["always"])
    rows = [{"checkpoint": kind, "bursts": args.runs, "executions": args.executions, "median_ms": round(statistics.median(t), 1),
             "min_ms": round(min(t), 1), "ratio": round(statistics.median(t) / always, 2), "taken_at_once": sides[kind].taken}
            for kind, t in times.items()]
    if args.json:
        print(json.dumps({"benchmark": "burst", "backend": args.backend, "load": os.getloadavg()[0], "rows": rows}))
        return
    print(f"{'checkpoint':12} {'median ms':>10} {'min':>8} {'of always':>10} {'taken at once':>14}")
    for row in rows:
        print(f"{row['checkpoint']:12} {row['median_ms']:10.1f} {row['min_ms']:8.1f} {row['ratio']:10.2f} {row['taken_at_once']:14}")


main()

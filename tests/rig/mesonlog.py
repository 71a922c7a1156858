#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What `meson test` says of its tests, from its testlog.json: "PASSED FAILED SKIPPED" on standard output, and what is
wrong on standard error. A test whose output ends with "N passed, N failed, N skipped" counts as that many, every other
one as one.
"""
import json
import re
import sys

KINDS = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}
SHOWN = 40  # lines of a log that a failure shows


def why(output, case):
    """What the output says of a case that failed: unittest's report of it, or the end where it has none."""
    reports = re.findall(rf"^(?:FAIL|ERROR): {re.escape(case)}[ \n].*?(?=^={{70}}$|^-{{70}}\nRan |\Z)", output, re.M | re.S)
    said = [line for line in (reports or [output])[-1].splitlines() if not re.match(r"case \w+ [\d.]+ ", line)]
    return "\n".join(said[-SHOWN:])


def tests(path):
    """(name, kind, seconds, output, counts) of each test."""
    with open(path, encoding="utf-8") as file:
        log = [json.loads(line) for line in file]
    for test in log:
        kind = KINDS.get(test["result"], "failed")
        out = test.get("stdout", "")
        said = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", out, re.M)
        counts = dict(zip(("passed", "failed", "skipped"), map(int, said[-1]))) if said else {kind: 1}
        if kind == "failed" and not counts.get("failed"):
            counts["failed"] = 1  # it ended badly behind its last case
        yield test["name"], kind, test["duration"], out + test.get("stderr", ""), counts


def main(path):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name, kind, _, output, counts in tests(path):
        for key, number in counts.items():
            count[key] += number
        for line in output.splitlines():
            if re.search(r"^ *SKIP|[.]{3} skipped", line):
                print(f"   {line.strip()}", file=sys.stderr)
        if kind != "passed":
            print(f'   {"SKIP" if kind == "skipped" else "FAIL"} {name}', file=sys.stderr)
        if kind == "failed":
            for case in re.findall(r"^case failed \S+ (\S+)$", output, re.M) or [""]:
                print(f"   | {case}\n" + re.sub("^", "   | ", why(output, case.split(".")[-1]), flags=re.M), file=sys.stderr)
    print(count["passed"], count["failed"], count["skipped"])


if __name__ == "__main__":
    main(sys.argv[1])

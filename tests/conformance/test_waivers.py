#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each waiver is of a case that exists and a set-up, has a reason, and ends one day; there are ten at most."""
import datetime
import json
import os
import re
import sys

SUITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conformance")
SETUPS = {"docker-api", "docker-cli", "podman", "podman-rootless", "oci"}


def problems(waivers, cases, today):
    if len(waivers) > 10:
        yield "%d waivers, ten are allowed" % len(waivers)
    seen = set()
    for row in waivers:
        name = "%s on %s" % (row.get("case"), row.get("setup"))
        if set(row) != {"case", "setup", "reason", "expires"}:
            yield name + ": the members are case, setup, reason, expires"
            continue
        if row["case"] not in cases:
            yield name + ": there is no such case"
        if row["setup"] not in SETUPS:
            yield name + ": one set-up by its name, no pattern"
        if len(row["reason"].split()) < 5:
            yield name + ": a reason is a sentence"
        ends = datetime.date.fromisoformat(row["expires"])
        if not today <= ends <= today + datetime.timedelta(days=731):
            yield name + ": expires %s, which is past, or more than two years away" % ends
        if name in seen:
            yield name + ": is given twice"
        seen.add(name)


def main():
    with open(os.path.join(SUITE, "waivers.json"), encoding="utf-8") as file:
        waivers = json.load(file)
    cases = set()
    for name in sorted(os.listdir(os.path.join(SUITE, "cases"))):
        if name.endswith(".py"):
            with open(os.path.join(SUITE, "cases", name), encoding="utf-8") as file:
                cases.update(re.findall(r"^#: case (\S+)", file.read(), re.M))
    found = list(problems(waivers, cases, datetime.date.today()))
    # The test itself: each kind of bad waiver is seen.
    good = {"case": "MT-08", "setup": "podman", "reason": "one two three four five", "expires": "2030-06-01"}
    day = datetime.date(2030, 1, 1)
    assert not list(problems([good], {"MT-08"}, day))
    for change in ({"case": "XX-01"}, {"setup": "*"}, {"reason": ""}, {"expires": "2029-12-31"}, {"expires": "2039-12-31"}, {"more": ""}):
        assert list(problems([{**good, **change}], {"MT-08"}, day)), change
    assert list(problems([good, good], {"MT-08"}, day)) and list(problems([good] * 11, {"MT-08"}, day))
    print("\n".join(found) or "%d waivers" % len(waivers))
    return 1 if found else 0


sys.exit(main())

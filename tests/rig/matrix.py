#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the table of tests/matrix.sh: matrix.py REPORTS, a directory per leg."""

import json
import os
import platform
import sys
import time

MANY = 10  # failures of one row that are listed by their names only
WHY = """- **IP-04, IP-05: crun on cgroup v1** leaves the tmpfs at `/sys/fs/cgroup` open to all: 1 MiB that code may write to, in
  the sandbox's memory, without a control group in it. The measurement inside sees it, and the run is refused unless
  `--allow-unenforced=volume` says otherwise. runc, and cgroup v2, have no such place.
- **FS-10, MT-08: crun 1.8 under rootless Podman** does not put `nosuid` and `nodev` on bind mounts, as Docker does not.
  Set-user-id files are inert all the same (`no_new_privs`), and device nodes cannot be made.
- **gVisor** (`runsc`) has a kernel of its own. It takes the seccomp profile and ignores it, and shows nothing of most
  limits: the run is refused and names each control. Many of its cases fail because its kernel answers differently, with
  another error number for what is impossible just the same; those in the groups DV, SC and US that answer `ok` are calls
  that the profile would have refused, and that end in gVisor's kernel."""
ORDER = ("vm-", "sid-", "trixie-", "bookworm-", "host-")


def read(path, default=""):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return default


def legs(top):
    names = sorted(os.listdir(top))
    return sorted(names, key=lambda name: [name.startswith(prefix) for prefix in ORDER].index(True))


def rows(top, name):
    place = os.path.join(top, name)
    common = {"leg": name, "os": read(f"{place}/os"), "root": read(f"{place}/root"), "runtime": read(f"{place}/runtime")}
    reports = sorted(n for n in os.listdir(place) if n.startswith(("docker", "podman")) and n.endswith(".json"))
    found = False
    for file in reports:
        try:
            with open(f"{place}/{file}", encoding="utf-8") as text:
                report = json.load(text)
        except ValueError:
            continue
        found = True
        yield {**common, "report": report, "allow": read(f"{place}/{file[:-5]}.allow")}
    if not found or os.path.exists(f"{place}/broken"):
        yield {**common, "broken": read(f"{place}/broken", "no report")}


def cells(row):
    if "broken" in row:
        product = "Docker" if "docker" in row["leg"] else "Podman"
        return [product, row["os"], row["root"], "", row["runtime"], "", "did not run", "", "", "", ""]
    report = row["report"]
    engine, count = report["engine"], report["summary"]
    version = f'{engine["product"].capitalize()} {engine["version"].split("+")[0]}'
    return [version, row["os"], row["root"], f'v{engine["cgroup_version"]}', row["runtime"], report["backend"],
            str(count["pass"]), str(count["fail"]), str(count["skipped"]), str(count["waived"]),
            row["allow"].replace(",", ", ") or "none"]


def failures(row):
    if "broken" in row:
        return [f'did not run: {row["broken"]}']
    return [f'{case["id"]} ({case["severity"]}) {case["title"]}: expected `{case["expected"]}`, observed `{case["observed"]}`'
            for case in row["report"]["cases"] if case["verdict"] == "fail"]


def main():
    every = [row for name in legs(sys.argv[1]) for row in rows(sys.argv[1], name)]
    ran = [row for row in every if "report" in row]
    print("# Engines that the conformance suite ran on\n")
    print("Written by `tests/matrix.sh`; do not edit.\n")
    print(f'{time.strftime("%Y-%m-%d", time.gmtime())}, dsandbox {version()}, kernel {platform.release().split("-")[0]} (other where named), '
          f'{ran[0]["report"]["summary"]["cases"]} cases.\n')
    print("*Unenforced* are controls that the attestation refused there, each by name: the run had to allow exactly these\n"
          "with `--allow-unenforced`. Cases that are about such a control are skipped. *Waived* are known differences,\n"
          "`conformance/waivers.json`.\n")
    head = ["engine", "system", "", "cgroup", "runtime", "backend", "passed", "failed", "skipped", "waived", "unenforced"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * 6 + "---:|" * 4 + "---|")
    for row in every:
        print("| " + " | ".join(cells(row)) + " |")
    print("\n## What failed\n")
    shown = {}
    for row in every:
        lines = failures(row)
        if len(lines) > MANY:
            lines = [f'{len(lines)} cases: {", ".join(line.split(" ")[0] for line in lines)}']
        for line in lines:
            shown.setdefault(line, []).append(", ".join(cell for cell in cells(row)[:6] if cell))
    if not shown:
        print("Nothing.")
    for line, where in shown.items():
        print(f"- {line}")
        for one in where:
            print(f"  - {one}")
    print("\n## Why\n\n" + WHY)


def version():
    here = os.path.join(os.path.dirname(__file__), "..", "..", "meson.build")
    for line in read(here).splitlines():
        if "version" in line and "meson_version" not in line:
            return line.split("'")[1]
    return "unknown"


if __name__ == "__main__":
    main()

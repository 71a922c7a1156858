#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ours beside what users would pick, one of each in turn in one run. Start it with run.sh, which brings engines and packages."""
import argparse
import json
import os
import shlex
import subprocess
import sys

import groups
import measure
import report
import ways


class Settings:
    def __init__(self, args):
        self.image, self.base_dir, self.python = args.image, args.base_dir, args.python
        self.program, self.capi = (os.path.join(args.build, part) for part in ("cli/dsandbox", "bench/dsandbox-bench-session"))
        self.docker, self.podman, self.podman_run = args.docker, args.podman, shlex.split(args.podman_run)
        self.oci = args.oci
        there = (["docker-api"] if args.docker else []) + (["podman"] if args.podman else []) + (["oci"] if args.oci else [])
        self.backends = args.backend or there
        self.env = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME") if name in os.environ}
        self.socket = os.path.join(os.environ["XDG_RUNTIME_DIR"], "dsandbox/api.sock")
        self.runs, self.sustained, self.sessions, self.tti = (5, 10, 10, 10) if args.quick else (25, 200, 1000, 100)
        self.at_once, self.bursts = ((1, 5), (10,)) if args.quick else ((1, 2, 5, 10, 20, 50), (20, 100))

    def endpoint(self, backend):
        return {"podman": self.podman, "oci": self.oci}.get(backend, self.docker)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(groups.ALL), help="groups, with commas between: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a few runs of each: whether everything works, not what it takes")
    parser.add_argument("--backend", action="append", help="ours; may be given more than once (default: docker-api, podman, oci)")
    parser.add_argument("--json", metavar="FILE", help="the numbers")
    parser.add_argument("--markdown", metavar="FILE", help="the tables of doc/performance.md")
    parser.add_argument("--pictures", metavar="DIR", help="a picture of each group, SVG and PNG")
    rig = parser.add_argument_group("what run.sh gives")
    for name in ("--build", "--base-dir", "--image"):
        rig.add_argument(name, required=True)
    for name in ("--docker", "--podman", "--podman-run", "--oci"):
        rig.add_argument(name, default="")
    rig.add_argument("--python", default=sys.executable, help="of the bare interpreter")
    args = parser.parse_args()
    args.only = args.only.split(",")
    unknown = [name for name in args.only if name not in groups.ALL]
    if unknown:
        parser.error(f"no group is called {unknown[0]}: {', '.join(groups.ALL)}")
    if not args.docker and not args.podman:
        parser.error("no engine: --docker, or --podman with --podman-run")
    return args


def main():
    args = arguments()
    settings = Settings(args)
    asked = [*(["--quick"] if args.quick else []), *(["--only", ",".join(args.only)] if args.only != list(groups.ALL) else [])]
    result = {"benchmark": "dsandbox.bench/1", "command": " ".join(["sh bench/run.sh", *asked]), "machine": measure.machine(), "groups": {}, "failed": {}}
    with ways.service(settings):
        for name in args.only:
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            try:
                result["groups"][name] = groups.ALL[name](settings)
            except (ways.Wrong, subprocess.SubprocessError, OSError) as error:  # the others are worth something all the same
                result["failed"][name] = f"{type(error).__name__}: {error}"
    print(report.text(result))
    for path, content in ((args.json, json.dumps(result, indent=1)), (args.markdown, report.markdown(result))):
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(content + "\n")
    if args.pictures:
        report.pictures(result, args.pictures)
    for name, failure in result["failed"].items():
        print(f"bench: {name}: {failure}", file=sys.stderr)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

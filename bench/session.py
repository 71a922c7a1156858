#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`x += 1` in a live session: the C API, the HTTP API and the program, beside a warm Jupyter kernel and `docker exec`,
one of each in turn, so that all see the same machine."""
import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time

GOALS = {"C API": 2, "HTTP API": 3, "program": 10}


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def timed(call):
    begin = time.monotonic()
    call()
    return (time.monotonic() - begin) * 1000


class Api:
    """The C API in a process of its own, which measures by itself."""

    def __init__(self, args):
        program = os.path.join(args.build, "bench/dsandbox-bench-session")
        self.process = subprocess.Popen([program, args.backend, args.endpoint, args.image, args.base_dir, args.allow],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("bench: the C API does not open a session")

    def once(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()) / 1000

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


class Http:
    """One kept connection to the service."""

    def __init__(self, args, env, name="bench-http", code="x = 0", **more):
        self.name = name
        self.connection = Unix(os.path.join(env["XDG_RUNTIME_DIR"], "dsandbox/api.sock"))
        create = {"backend": args.backend, "host": args.endpoint, "image": args.image, "base_dir": args.base_dir,
                  "exist_ok": True, **more}
        if args.allow:
            create["allow_unenforced"] = args.allow.split(",")
        self.call({"code": code, "create": create})

    def call(self, body):
        self.connection.request("POST", f"/v1/sessions/{self.name}/execute", json.dumps(body),
                                {"Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if answer.get("status") != "ok":
            sys.exit(f"bench: the service answers {answer}")
        return answer

    def once(self):
        return timed(lambda: self.call({"code": "x += 1"}))

    def end(self):
        self.connection.close()


class Program:
    """A whole process: dsandbox run --session."""

    def __init__(self, args, env):
        self.env = env
        self.argv = [os.path.join(args.build, "cli/dsandbox"), "--backend", args.backend, "--host", args.endpoint,
                     "run", "--session", "bench-cli", "--image", args.image, "--base-dir", args.base_dir,
                     *([f"--allow-unenforced={args.allow}"] if args.allow else []), "-c"]
        self.run("x = 0")

    def run(self, code):
        done = subprocess.run([*self.argv, code], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120)
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(self.argv)}: {done.stderr!r}")

    def once(self):
        return timed(lambda: self.run("x += 1"))

    def end(self):
        pass


class Jupyter:
    """A warm kernel, as Debian has it: python3-ipykernel, python3-jupyter-client."""

    def __init__(self):
        from jupyter_client.manager import start_new_kernel
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.run("x = 0")

    def run(self, code):
        reply = self.client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
        assert reply["content"]["status"] == "ok", reply

    def once(self):
        return timed(lambda: self.run("x += 1"))

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class DockerExec:
    """`docker exec` of an interpreter in a running container. It keeps no variables: this is the floor of that way."""

    def __init__(self, args):
        self.docker = ["docker", "--host", args.endpoint]
        self.id = subprocess.run([*self.docker, "run", "-d", "--rm", "--network=none", args.image, "sleep", "600"],
                                 stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.strip()

    def once(self):
        return timed(lambda: subprocess.run([*self.docker, "exec", self.id, "python3", "-c", "x = 0; x += 1"],
                                            stdin=subprocess.DEVNULL, check=True, timeout=60))

    def end(self):
        subprocess.run([*self.docker, "kill", self.id], stdout=subprocess.DEVNULL, timeout=60)


def add_engine(parser):
    parser.add_argument("--build", required=True, help="build directory")
    parser.add_argument("--backend", default="docker-api")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--image", default="dsandbox-sandbox:latest")
    parser.add_argument("--base-dir", required=True)
    parser.add_argument("--allow", default="", help="controls that this engine cannot enforce")


def environment():
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_engine(parser)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two measurements")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    env = environment()
    program = Program(args, env)  # starts the service
    sides = {"C API": Api(args), "HTTP API": Http(args, env), "program": program}
    try:
        sides["Jupyter kernel"] = Jupyter()
    except ImportError:
        print("bench: no Jupyter (python3-ipykernel, python3-jupyter-client)", file=sys.stderr)
    if args.backend.startswith("docker"):
        sides["docker exec"] = DockerExec(args)

    times = {name: [] for name in sides}
    try:
        for turn in range(args.runs + 1):
            for name, side in sides.items():
                time.sleep(args.pause)
                took = side.once()
                if turn > 0:  # the first turn warms caches
                    times[name].append(took)
    finally:
        for side in sides.values():
            side.end()
    rows = [{"side": name, "runs": args.runs, "median_ms": round(statistics.median(t), 2), "min_ms": round(min(t), 2),
             "max_ms": round(max(t), 2), "goal_ms": GOALS.get(name)} for name, t in times.items()]
    if args.json:
        print(json.dumps({"benchmark": "session", "backend": args.backend, "load": os.getloadavg()[0], "rows": rows}))
        return
    print(f"{'':16} {'median ms':>10} {'min':>8} {'max':>8} {'goal':>6}")
    for row in rows:
        print(f"{row['side']:16} {row['median_ms']:10.2f} {row['min_ms']:8.2f} {row['max_ms']:8.2f} {row['goal_ms'] or '':>6}")


if __name__ == "__main__":
    main()

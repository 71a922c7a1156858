# SPDX-License-Identifier: MIT
"""
Runs in a sandbox: programs under the plain interpreter of the image, each in an empty /sandbox, with the environment that
the code has. Input: JSON list of {"name", "code", "args", "stdin", "way"}; output: JSON list of what they did.
"""
import json
import os
import shutil
import signal
import subprocess
import sys


def empty():
    for name in os.listdir("/sandbox"):
        path = os.path.join("/sandbox", name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def files(program):
    found = {}
    for top, _, names in os.walk("/sandbox"):
        for name in names:
            path = os.path.join(top, name)
            if path != program:
                found[os.path.relpath(path, "/sandbox")] = os.lstat(path).st_size
    return found


def run(job):
    empty()
    program = os.path.join("/sandbox", job["name"])
    argv, data = [sys.executable], job["stdin"].encode()
    if job["way"] == "file":
        with open(program, "wb") as out:
            out.write(bytes.fromhex(job["code"]))
        argv.append(program)
    elif job["way"] == "string":
        argv += ["-c", bytes.fromhex(job["code"]).decode()]
    else:
        argv.append("-")
        data = bytes.fromhex(job["code"])
    done = subprocess.run(argv + job["args"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/sandbox", timeout=60)
    return {"status": done.returncode, "stdout": done.stdout.hex(), "stderr": done.stderr.hex(), "files": files(program)}


signal.signal(signal.SIGURG, signal.SIG_DFL)
answers = [run(job) for job in json.load(sys.stdin)]
empty()
print(json.dumps(answers))

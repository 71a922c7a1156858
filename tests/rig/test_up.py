#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`rig.sh up` says which engines did not come up, with a Docker that only pretends. No engine; root, as rig.sh needs it."""
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LIMIT = 300

# In place of `unshare … dockerd --config-file FILE`: what answers a ping on its socket.
DAEMON = """#!{python}
import http.server, json, os, socketserver, sys
config = json.load(open(sys.argv[-1]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")
    def address_string(self):
        return "-"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass
with open(config["pidfile"], "w") as out:
    out.write(str(os.getpid()))
Server(config["hosts"][0][len("unix://"):], Handler).serve_forever()
"""


def recipe():
    with open(os.path.join(TOP, "images/from-packages.sh"), "rb") as script:
        return hashlib.sha256(script.read() + b"stable\n").hexdigest()[:32]


@unittest.skipUnless(os.geteuid() == 0, "rig.sh needs root")
class Up(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = tempfile.mkdtemp(prefix="dsb-rig-test.", dir="/tmp")
        for name in os.listdir("/usr/bin"):  # all but engines
            if name not in ("podman", "conmon", "docker", "dockerd", "containerd", "runc", "crun", "unshare", "ip", "iptables"):
                os.symlink(os.path.join("/usr/bin", name), os.path.join(cls.tools, name))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tools)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="dsb-rig-test.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin)
        self.addCleanup(self.rig, "down", "--purge")

    def rig(self, *args, **more):
        env = {"PATH": f"{self.bin}:{self.tools}", "DSB_RIG_DIR": os.path.join(self.dir, "rig"), "LANG": "C.UTF-8", **more}
        process = subprocess.Popen(["sh", os.path.join(HERE, "rig.sh"), *args], env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out.decode(), err.decode().splitlines()

    def program(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        os.chmod(path, stat.S_IRWXU)

    def have_docker(self):
        for name in ("dockerd", "containerd", "runc", "ip", "iptables"):
            self.program(name, "#!/bin/sh\nexit 1\n")
        self.program("docker", f'#!/bin/sh\ncase "$*" in *"image inspect"*) echo {recipe()} ;; esac\n')
        self.program("unshare", DAEMON.format(python=sys.executable))

    def test_one_of_two(self):
        self.have_docker()
        status, out, err = self.rig("up", DSB_RIG_ONLY="docker podman")
        self.assertEqual(status, 3, err)
        self.assertIn("DSB_RIG_DOCKER_HOST=", out)
        self.assertEqual(err[-1], "rig: podman did not come up: 'podman' is not installed (tests/rig/install.sh engines)")

    def test_nobody_was_named(self):
        """Then what can run here is what was asked for; it is said all the same."""
        self.have_docker()
        status, out, err = self.rig("up")
        self.assertEqual(status, 0, err)
        self.assertIn("DSB_RIG_DOCKER_HOST=", out)
        self.assertEqual([line.split(": ")[1] for line in err[-2:]], ["podman did not come up", "rootless did not come up"])

    def test_all_of_them(self):
        self.have_docker()
        status, _, err = self.rig("up", DSB_RIG_ONLY="docker")
        self.assertEqual(status, 0, err)
        self.assertNotIn("did not come up", "".join(err))

    def test_one_that_must_run(self):
        self.have_docker()
        status, _, err = self.rig("up", DSB_RIG_MUST_RUN="podman")
        self.assertEqual((status, err[-1]), (1, "rig: 'podman' must run and does not"), err)
        self.assertIn("rig: podman did not come up: 'podman' is not installed (tests/rig/install.sh engines)", err)

    def test_none(self):
        status, _, err = self.rig("up", DSB_RIG_ONLY="docker podman")
        self.assertEqual((status, err[-1]), (1, "rig: no engine runs"), err)
        self.assertRegex(err[-3], "^rig: docker did not come up: '[a-z]+' is not installed")
        self.assertRegex(err[-2], "^rig: podman did not come up: 'podman' is not installed")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What is advised can be followed: ids that nobody has, the engine that has the image, one service with and without a
variable. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import subprocess
import unittest

import cli_harness
from cli_harness import BACKEND, ENDPOINT, EngineCase, dsandbox

UID = 64123  # nobody's
SOCKETS = {"docker-api": os.environ.get("DSB_RIG_DOCKER_HOST", ""), "podman": os.environ.get("DSB_RIG_PODMAN_SOCKET", "")}


def others_may_run_it():
    argv = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", cli_harness.PROGRAM, "version"]
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode == 0


@unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "what the system says of ids is replaced, for which root is needed")
class Ids(EngineCase):
    def setUp(self):
        super().setUp()
        if not others_may_run_it():
            self.skipTest("other users cannot read this build")

    def findings(self, subuid, subgid, *options, **more):
        """Of a user without ids, on a machine with these files; doctor never says that this is fine."""
        files = {"/etc/subuid": cli_harness.WORK.file(subuid), "/etc/subgid": cli_harness.WORK.file(subgid)}
        bind = "".join(f"mount --bind '{ours}' {place} && " for place, ours in files.items())
        argv = ["unshare", "-m", "sh", "-ec", f'{bind}exec setpriv --reuid {UID} --regid {UID} --groups {os.getgid()} "$@"', "sh",
                cli_harness.PROGRAM, "--no-service", "--json", "doctor", "--base-dir", "/tmp/dsb-remedies", *options]
        nowhere = {"DOCKER_HOST": "unix:///nonexistent.sock", "CONTAINER_HOST": "unix:///nonexistent.sock"}
        env = cli_harness.environment(HOME="/tmp", XDG_RUNTIME_DIR=None, **(more or nowhere))
        done = subprocess.run(argv, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 125, done)
        shutil.rmtree(f"/tmp/.dsandbox-{UID}", ignore_errors=True)
        return {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}

    def test_a_range_that_nobody_has(self):
        for subuid, subgid, words in (
                ("", "", "--add-subuids 100000-165535 --add-subgids 100000-165535"),
                ("first:100000:65536\n", "first:100000:65536\n", "--add-subuids 165536-231071 --add-subgids 165536-231071"),
                ("first:100000:65536\n", "second:165536:65536\n", "--add-subuids 231072-296607 --add-subgids 231072-296607")):
            with self.subTest(subuid + subgid):
                self.assertIn(words, self.findings(subuid, subgid)["subordinate ids"]["remedy"])

    def test_what_a_rootless_engine_lacks(self):
        """The engine answers and has the image, and yet nothing could run."""
        build = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
        found = self.findings("", "", "--plugin", os.path.join(build, "tests/plugins/libdsandbox-mutant.so"), "--host", ENDPOINT, DSB_TEST_POOR="1",
                              DSB_TEST_INNER=os.path.join(build, f"backends/libdsandbox-{BACKEND}.so"))
        self.assertTrue(found["engine"]["good"] and found["image"]["good"], found)
        for name in ("subordinate ids", "cgroups"):
            self.assertEqual((found[name]["good"], found[name]["needed"]), (False, True), found[name])
        self.assertIn("cannot limit memory", found["cgroups"]["found"])


@unittest.skipUnless(all(SOCKETS.values()), "one engine of the rig is not there")
@unittest.skipIf(cli_harness.AS, "the user may use neither of the two")
class Images(EngineCase):
    def test_the_other_engine_has_it(self):
        """The daemon's image under a name that Podman does not know."""
        name = "dsandbox-one-engine:1"
        docker = ["docker", "-H", SOCKETS["docker-api"]]
        subprocess.run([*docker, "tag", os.environ.get("DSB_TEST_IMAGE", "dsandbox-sandbox:latest"), name], check=True, timeout=60)
        self.addCleanup(subprocess.run, [*docker, "rmi", "--no-prune", name], stdout=subprocess.DEVNULL, timeout=60, check=False)
        env = {"DOCKER_HOST": SOCKETS["docker-api"], "CONTAINER_HOST": SOCKETS["podman"]}
        for verb in (("run", "-c", "1"), ("doctor",)):
            done = dsandbox("--backend", "podman", "--no-service", "--base-dir", cli_harness.WORK.base, "--image", name, *verb, env=env)
            self.assertEqual(done.status, 125, done)
            self.assertIn("docker (--backend docker-api) has it", done.stdout + done.stderr, done)
        here = dsandbox("--backend", "docker-api", "--no-service", "--base-dir", cli_harness.WORK.base, "--image", name, "run", "-c", "print(1)", env=env)
        self.assertEqual((here.status, here.stdout), (0, "1\n"), here)


class Names(EngineCase):
    def test_ids_of_images(self):
        """The same image has the same id on each engine, and both ways to write it are one image."""
        def identity(*more):
            done = dsandbox("--backend", BACKEND, "--no-service", "--base-dir", cli_harness.WORK.base, "run", "--json", "-c", "1",
                            *self.allowed(), *more)
            self.assertIn('"status":"ok"', done.stdout.replace(" ", ""), done)
            return json.loads(done.stdout)["image"]["id"]
        first = identity()
        self.assertRegex(first, r"^sha256:[0-9a-f]{64}$")
        self.assertEqual({identity("--image", first), identity("--image", first.removeprefix("sha256:"))}, {first})

    def allowed(self):
        return ("--allow-unenforced=" + ",".join(self.allow),) if self.allow else ()

    @unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "/run/user is root's to fill")
    def test_one_runtime_directory(self):
        """With the variable and without it, where the login has its directory."""
        if not others_may_run_it():
            self.skipTest("other users cannot read this build")
        place = f"/run/user/{UID}"
        os.makedirs(place, 0o700)
        self.addCleanup(shutil.rmtree, place, True)
        os.chown(place, UID, UID)
        seen = []
        for variable in (place, None, "/nonexistent"):
            argv = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--groups", str(os.getgid()), cli_harness.PROGRAM, "backend", "ls", "--no-service"]
            env = cli_harness.environment(HOME="/tmp", XDG_STATE_HOME=place, XDG_RUNTIME_DIR=variable)
            done = subprocess.run(argv, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done)
            seen.append(os.path.exists(f"/tmp/.dsandbox-{UID}"))
        self.assertEqual(seen, [False] * 3, ENDPOINT)


if __name__ == "__main__":
    cli_harness.main([Ids, Images, Names])

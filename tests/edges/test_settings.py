#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What a session had holds until it is changed by name, also when it comes back. Environment and last line as in
tests/cli/cli_harness.py.
"""
import json
import os

import cli_harness
from cli_harness import BACKEND, wait_until
from session_harness import SessionCase, dsb, end_service


class Revived(SessionCase):
    SETTINGS = ("--memory", "64MiB", "--pids", "16", "--label", "team=red")

    def begin(self, *more):
        options = [*self.settings(), *self.SETTINGS, *more]
        self.assertEqual(dsb("session", "new", self.s, *options).status, 0)
        self.assertEqual(dsb("exec", self.s, "-c", "open('a', 'w').write('kept')").status, 0)
        self.gone()

    def gone(self):
        """Its service ended, and with it the session; the next one knows it by its record."""
        end_service()

    def facts(self):
        """What there is of the session now, {} when it has ended."""
        rows = json.loads(dsb("session", "ls", "--json").stdout)["sessions"]
        return next((row for row in rows if row["id"] == self.s), {})

    def asked(self, result):
        return {c["name"]: c["asked"] for c in result["policy"]["controls"]}

    def back(self, *options, verb="exec", said=()):
        """Run in it; what is said on standard error, but for the loss, is `said`."""
        who = ["exec", self.s] if verb == "exec" else ["run", "-s", self.s]
        done = dsb(*who, "--json", "-c", "print(open('a').read())", *options)
        self.assertEqual(done.status, 0, done)
        result = json.loads(done.stdout)
        self.assertEqual(result["stdout"], "kept\n")
        self.assertEqual(sorted(done.stderr.splitlines()), sorted(f"dsandbox: session {self.s}: {line}" for line in said), done)
        self.assertEqual(result["backend"], BACKEND)
        return self.asked(result)

    def test_any_option_leaves_the_others(self):
        """One that says the same, one of another thing, none at all; with both verbs."""
        self.begin()
        for verb in ("exec", "run"):
            for options in ((), ("--base-dir", cli_harness.WORK.base), ("--memory", "64MiB"), ("--allow-unenforced=" + ",".join(self.allow),) if self.allow else ()):
                asked = self.back(*options, verb=verb)
                self.assertEqual((asked["memory"][:5], asked["pids"]), ("64MiB", "16"), (verb, options))
                self.assertEqual(self.facts()["labels"], {"team": "red"})
                self.gone()

    def test_what_is_named_changes_and_stays_changed(self):
        self.begin()
        asked = self.back("--memory", "128MiB", "--tmp-size", "10MiB", said=("memory is 128MiB, was 64MiB", "tmp_size is 10MiB, was 100MiB"))
        self.assertEqual((asked["memory"][:6], asked["pids"]), ("128MiB", "16"))
        self.assertEqual(sorted(self.facts()["changed"]), ["memory is 128MiB, was 64MiB", "tmp_size is 10MiB, was 100MiB"])
        self.gone()
        asked = self.back()
        self.assertEqual((asked["memory"][:6], asked["pids"]), ("128MiB", "16"))
        self.assertEqual(self.facts()["changed"], [])

    def test_after_its_idle_time(self):
        self.begin("--idle-timeout", "1s")
        self.back()
        wait_until(lambda: not self.facts(), 60)
        asked = self.back("--base-dir", cli_harness.WORK.base)
        self.assertEqual((asked["memory"][:5], asked["pids"]), ("64MiB", "16"))
        wait_until(lambda: not self.facts(), 60)
        self.assertEqual(self.back("--memory", "128MiB", said=("memory is 128MiB, was 64MiB",))["pids"], "16")

    def test_policy_files_are_layers(self):
        first = cli_harness.WORK.file(json.dumps({"disk_inodes": 500, "nofile": 256, "locked": ["nofile"]}))
        looser = cli_harness.WORK.file(json.dumps({"nofile": 512}))
        second = cli_harness.WORK.file(json.dumps({"pids": 24, "nofile": 128}))
        self.begin("--policy", first)
        done = dsb("exec", self.s, "--policy", looser, "-c", "1")
        self.assertEqual(done.status, 126, done)
        self.assertRegex(done.stderr, "nofile.*locked")
        asked = self.back("--policy", second, said=("nofile is 128, was 256", "pids is 24, was 16"))
        self.assertEqual((asked["memory"][:5], asked["pids"]), ("64MiB", "24"))
        self.gone()
        for _ in range(3):
            self.back("--policy", second)
            self.gone()

    def test_policy_files_named_again_and_again(self):
        """More often than there can be layers."""
        first, second = (cli_harness.WORK.file(json.dumps({"pids": pids})) for pids in (24, 32))
        self.begin()
        for turn in range(10):
            for path, pids in ((first, "24"), (second, "32")):
                asked = self.back("--policy", path, said=(f"pids is {pids}, was {'16' if turn == 0 and pids == '24' else 56 - int(pids)}",))
                self.assertEqual((asked["memory"][:5], asked["pids"]), ("64MiB", pids))
                self.gone()

    def test_a_live_one_is_not_changed(self):
        options = [*self.settings(), "--memory", "64MiB"]
        self.assertEqual(dsb("session", "new", self.s, *options).status, 0)
        done = dsb("exec", self.s, "--memory", "128MiB", "-c", "1")
        self.assertEqual(done.status, 125, done)
        self.assertIn("memory is 64MiB, not 128MiB", done.stderr)
        self.assertEqual(dsb("exec", self.s, "--memory", "64MiB", "-c", "1").status, 0)

    def test_exist_ok(self):
        self.begin()
        done = dsb("session", "new", self.s, "--exist-ok", "--pids", "24")
        self.assertEqual((done.status, done.stderr), (0, f"dsandbox: session {self.s}: pids is 24, was 16\n"), done)
        self.assertEqual(self.asked({"policy": self.facts()["policy"]})["memory"][:5], "64MiB")


class Retagged(SessionCase):
    NAME = "localhost/dsb-retagged"

    def engine(self, method, path, body=None):
        connection = cli_harness.UnixConnection(cli_harness.ENDPOINT[len("unix://"):])
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.assertIn(answer.status, (200, 201, 204), text)
        return text

    def test_a_name_that_means_another_image_is_said(self):
        image = f"{self.NAME}:1"
        self.addCleanup(self.engine, "DELETE", f"/images/{image}?force=true")
        identity = json.loads(dsb("run", "--json", "-c", "1", *self.settings()).stdout)["image"]["id"]
        self.engine("POST", f"/images/{identity}/tag?repo={self.NAME}&tag=1")
        self.assertEqual(dsb("session", "new", self.s, "--image", image, *self.settings()).status, 0)
        for _ in range(2):
            made = json.loads(self.engine("POST", "/containers/create", {"Image": image, "Cmd": ["true"]}))["Id"]
            self.engine("POST", f"/commit?container={made}&repo={self.NAME}&tag=1&comment={made[:8]}", {"Labels": {}})
            self.engine("DELETE", f"/containers/{made}?force=true")
            end_service()
            done = dsb("exec", self.s, "-c", "print(1)")
            self.assertEqual((done.status, done.stdout), (0, "1\n"), done)
            self.assertIn(f"dsandbox: session {self.s}: the image is not the one of before", done.stderr)
        end_service()
        self.assertNotIn("the image", dsb("exec", self.s, "-c", "print(1)").stderr)


class Unknown(SessionCase):
    def test_exec_makes_none(self):
        for options in ((), self.settings(), ("--memory", "64MiB")):
            done = dsb("exec", "typo", "-c", "1", *options)
            self.assertEqual((done.status, done.stdout), (125, ""), done)
            self.assertIn("there is no session 'typo'", done.stderr)
            self.assertIn("dsandbox run --session", done.stderr)
            done = dsb("exec", "typo", "--json", "-c", "1", *options)
            self.assert_failure(done, "not_found", "no session 'typo'")
        self.assertEqual(json.loads(dsb("session", "ls", "--json").stdout)["sessions"], [])
        self.assertFalse(os.path.exists(os.path.join(cli_harness.WORK.base, "typo")))
        self.assertEqual(dsb("run", "-s", self.s, "-c", "x = 1", *self.settings()).status, 0)
        self.assertEqual(dsb("exec", self.s, "-c", "print(x)").stdout, "1\n")


if __name__ == "__main__":
    cli_harness.main([Revived, Retagged, Unknown])

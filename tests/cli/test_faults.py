#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Backends that lie and backends that fail, around a real engine: what is not in force is refused before any code runs,
and a failed call leaks nothing and is never called a success. Environment and last line as in cli_harness.py; also
DSB_TEST_PLUGINS, where tests/plugins were built.
"""
import os
import sys

import cli_harness
from cli_harness import BACKEND, SETUP, EngineCase, dsandbox

TOP = os.path.dirname(os.path.dirname(os.path.abspath(cli_harness.PROGRAM)))
PLUGINS = os.environ.get("DSB_TEST_PLUGINS", os.path.join(TOP, "tests/plugins"))
INNER = os.path.join(TOP, f"backends/libdsandbox-{BACKEND}.so")

# Facts that pid 1 measures. The rest of the controls are the core's own, or (runtime) only the engine can tell.
MEASURED = ["volume", "tmp", "shm", "memory", "swap", "cpu", "pids", "nofile", "core", "fsize", "network", "user",
            "rootfs", "no_new_privs", "seccomp"]
NEEDS_PROGRAM = ["capabilities", "namespaces", "devices"]  # no spec can say them: only docker-cli's arguments
CLAIMED = ["volume", "memory", "swap", "cpu", "pids", "network", "user", "rootfs", "capabilities", "no_new_privs",
           "namespaces", "devices"]
# A rootless engine cannot be made to break these: it has no limits here, and keep-id excludes user 0.
ROOTLESS_CANNOT = {"memory", "swap", "cpu", "pids", "user"}
# A rootless engine makes networks with this device, which every udev gives to everybody and a bare machine does not.
if os.path.exists("/dev/net/tun") and os.stat("/dev/net/tun").st_mode & 0o006 != 0o006:
    ROOTLESS_CANNOT.add("network")
# Nor this backend: it has no network to give, and writes to no image.
OCI_CANNOT_WEAKEN = {"network", "rootfs"}


class Wrapped(EngineCase):
    def wrapped(self, plugin, variables, *args):
        options = ["--plugin", os.path.join(PLUGINS, f"libdsandbox-{plugin}.so"), "run", "--json", "--no-service", "--base-dir",
                   cli_harness.WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        return dsandbox(*options, *args, env={"DSB_TEST_INNER": INNER, **variables})


class Liar(Wrapped):
    """Each control, one at a time."""

    def refused(self, variables, control):
        done = self.wrapped("liar", variables, "--session", f"liar-{control}", "-c", "open('/sandbox/ran', 'w')")
        result = self.assert_failure(done, "refused", control, status=126)
        row = next(c for c in result["policy"]["controls"] if c["name"] == control)
        self.assertEqual(row["verdict"], "refused", done)
        self.assertFalse(os.path.exists(os.path.join(cli_harness.WORK.base, f"liar-{control}", "ran")), "the code has run")
        self.assert_clean()
        return row

    def test_honest(self):
        done = self.wrapped("liar", {}, "-c", "print(1)")
        self.assertEqual((done.status, self.result(done)["stdout"]), (0, "1\n"), done)

    def controls(self, names):
        return [n for n in names if n not in (self.allow or []) and not (SETUP == "podman-rootless" and n in ROOTLESS_CANNOT)]

    def test_lies(self):
        """Built weaker, and the engine's report falsified: only the measurement inside can tell."""
        for control in self.controls(MEASURED + (NEEDS_PROGRAM if BACKEND == "docker-cli" else [])):
            with self.subTest(control):
                if BACKEND == "oci" and control in OCI_CANNOT_WEAKEN:
                    done = self.wrapped("liar", {"DSB_TEST_LIE": control}, "-c", "pass")
                    self.assert_failure(done, "refused", "backend oci with runc: ", status=126)
                    continue
                row = self.refused({"DSB_TEST_LIE": control}, control)
                self.assertEqual(row["source"], "inside")

    def test_hides(self):
        """Built right, but the backend does not know: refused before the start."""
        for control in self.controls(CLAIMED):
            with self.subTest(control):
                self.refused({"DSB_TEST_HIDE": control}, control)

    def test_confesses(self):
        """The engine's report is weaker than the policy: refused before the start."""
        for control in self.controls(CLAIMED):
            with self.subTest(control):
                row = self.refused({"DSB_TEST_CONFESS": control}, control)
                self.assertEqual(row["source"], "engine")


class Fault(Wrapped):
    """The n-th call of an operation fails."""

    def fails(self, op, n, how):
        done = self.wrapped("fault", {"DSB_TEST_FAULT": f"{op}:{n}:{how}"}, "-c", "print('done')")
        result = self.result(done)
        self.assert_clean()
        return done, result

    def test_operations(self):
        for op in ("open", "describe", "prepare", "create", "inspect", "start"):
            for how in ("error", "breach"):
                with self.subTest(op=op, how=how):
                    done, result = self.fails(op, 1, how)
                    self.assertEqual((done.status, result["status"]), (125, "error"), done)
                    self.assertEqual(result["stdout"], "")
                    self.assertRegex(result["failure"]["message"], op)

    def test_done_but_reported_as_failed(self):
        """What `create` and `start` have made although they failed is removed all the same."""
        for op in ("create", "start"):
            with self.subTest(op=op):
                done, result = self.fails(op, 1, "late")
                self.assertEqual((done.status, result["status"]), (125, "error"), done)

    def test_removal_fails(self):
        """Of what could not be made: its own reason stands, and that something may be left is said."""
        for how in ("error", "breach"):
            with self.subTest(how=how):
                done = self.wrapped("fault", {"DSB_TEST_FAULT": f"destroy:0:{how}"}, "--runtime", "nope", "-c", "print('done')")
                self.assertEqual((done.status, self.result(done)["status"]), (126, "refused"), done)
                self.assertRegex(self.result(done)["failure"]["message"], 'runtime.*nope.*; its container may still be there: .*dsandbox gc')
                self.assertEqual(dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base).status, 0)
                self.assert_clean()

    def test_stream(self):
        """Every read and write in turn: an honest failure or, once the call is never reached, the whole answer."""
        for op in ("read", "write"):
            for how in ("error", "breach"):
                with self.subTest(op=op, how=how):
                    for n in range(1, 60):
                        done, result = self.fails(op, n, how)
                        if result["status"] == "ok":
                            self.assertEqual(result["stdout"], "done\n", done)
                            break
                        self.assertEqual(done.status, 125, done)
                        self.assertIn(result["status"], ("error", "lost"), done)
                        self.assertIsNotNone(result["failure"], done)
                    else:
                        self.fail("60 faults in a row")
                    self.assertGreater(n, 1, "the first call was not made to fail")


if __name__ == "__main__":
    cli_harness.main([Liar, Fault])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A program that may have too few descriptors, processes or too little memory says so, and nothing else, or does its work.
Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import pwd
import resource
import shutil
import subprocess
import tempfile
import unittest

import cli_harness
from cli_harness import BACKEND, ENDPOINT
from session_harness import SessionCase, command, dsb, end_service, service_pid

ROOTLESS = "limits of the user bind the program, and not the engine of root's"
REASONS = {
    resource.RLIMIT_NOFILE: ("too many open files", "error 24"),
    resource.RLIMIT_NPROC: ("resource temporarily unavailable", "newosproc", "may not fork", "pthread_create failed"),
    resource.RLIMIT_AS: ("address space", "cannot allocate memory", "failed to map segment", "out of memory"),
    resource.RLIMIT_FSIZE: ("file too large",),
}
OF_A_CLIENT = ("sessions", "vars", "exec", "cp", "history", "interrupt")
CODE = "print(6 * 7)\nopen('made', 'w').write('x')"


# For a set-up whose programs begin with others, which the limit is none of: that is set by the last of these.
OPTIONS = {resource.RLIMIT_NOFILE: "nofile", resource.RLIMIT_AS: "as", resource.RLIMIT_FSIZE: "fsize", resource.RLIMIT_CPU: "cpu"}


def with_limit(argv, kind, value, soft=False):
    """The command, and what its process is to do first."""
    if not cli_harness.AS:
        hard = resource.getrlimit(kind)[1] if soft else value
        return argv, (lambda: resource.setrlimit(kind, (value, hard))) if soft else limited(kind, value)
    at = argv.index(cli_harness.PROGRAM)
    return [*argv[:at], "prlimit", "--core=0", f"--{OPTIONS[kind]}={value}:{'' if soft else value}", *argv[at:]], None


def limited(kind, value, uid=0):
    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if uid:
            os.setgroups([os.getgid()])  # the engine's socket may be root's group's
            os.setgid(uid)
            os.setuid(uid)
        resource.setrlimit(kind, (value, value))
    return limit


class Short(SessionCase):
    base = None

    def setUp(self):
        super().setUp()
        self.base = os.path.join(cli_harness.WORK.path, "short")
        if not os.path.isdir(self.base):
            cli_harness.WORK.dir("short", 0o700)
        # What services left that other tests ended in the middle of something is not looked for here.
        done = cli_harness.dsandbox("--backend", BACKEND, "--no-service", "--base-dir", self.base, "-v", "gc")
        self.assertEqual(done.status, 0, done)
        if done.stdout != "removed 0\n":
            print(done)

    def run_limited(self, kind, value, *args, uid=0, env=None, soft=False):
        # The other engine's address leads nowhere: none is started for a look, which would outlive the test.
        nowhere = {name: "unix:///nonexistent.sock" for name in ("DOCKER_HOST", "CONTAINER_HOST")}
        argv, variables = command(args, {**nowhere, **cli_harness.engine(), **(env or {})})
        argv, first = (argv, limited(kind, value, uid)) if uid else with_limit(argv, kind, value, soft)
        try:
            done = subprocess.run(argv, env=variables, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                  timeout=120, preexec_fn=first)
        except subprocess.SubprocessError as error:  # the limit did not let the program begin
            self.assertIn("preexec_fn", str(error))
            return None
        return cli_harness.Done(args, done.returncode, done.stdout, done.stderr, 0)

    def verbs(self, backend=BACKEND):
        engine = ("--backend", backend, "--no-service")
        ours = (*engine, "--base-dir", self.base)
        run = ("run", *(["--allow-unenforced=" + ",".join(self.allow)] if self.allow else []), "-c", CODE)
        return {"run": (*ours, *run), "json": (*ours, "--json", *run), "doctor": (*ours, "doctor"),
                "ls": (*engine, "backend", "ls"), "show": (*engine, "backend", "show", backend), "gc": (*ours, "gc"),
                "auto": ("--no-service", "--base-dir", self.base, *run), "policy": ("policy", "show"),
                "sessions": ("session", "ls"), "vars": ("session", "vars", self.s), "history": ("session", "history", self.s),
                "interrupt": ("session", "interrupt", self.s), "exec": ("exec", self.s, "-c", "print(6 * 7)"),
                "cp": ("cp", self.s + ":kept", os.path.join(cli_harness.WORK.path, "copy"))}

    def containers(self):
        """What was answered is removed a little later."""
        def left():
            return cli_harness.dsandbox("--backend", BACKEND, "--no-service", "--base-dir", self.base, "-v", "gc", "--dry-run")
        if not cli_harness.wait_until(lambda: left().stdout == "would remove 0\n", 20):
            self.fail(f"left behind: {left()}")

    def judge(self, name, kind, value, done):
        """It did its work, or names the reason and no other one."""
        text = (done.stdout + done.stderr).lower()
        self.assertGreaterEqual(done.status, 0, f"{name} with {value}: a crash: {done}")
        self.assertNotIn("Traceback", done.stderr, done)
        for wrong in ("engine answers at", "install docker", "disk_limit", "policy's disk of", "broke the contract", "not json",
                      "permission denied", "are taken", "no sessions", "belongs to", "not the protocol", "please report"):
            if wrong == "engine answers at" and name in ("ls", "doctor", "auto"):
                continue  # of engines that are not there
            self.assertNotIn(wrong, text, f"{name} with {value}: {done}")
        if done.status == 0 or (name == "doctor" and self.allow and "engine cannot limit" in text):  # which is its answer here
            return True
        self.assertTrue(any(word in text for word in REASONS[kind]), f"{name} with {value}: no reason in {done}")
        self.assertIn(done.status, (125, 127), f"{name} with {value}: {done}")
        if name == "json" and done.status == 125:
            failure = json.loads(done.stdout)["failure"]
            self.assertEqual(failure["code"], "failed", done)
        return False

    def sweep(self, kind, values, names, uid=0, env=None, must_fail=True, backend=BACKEND):
        verbs = self.verbs(backend)
        for name in names:
            worked = failed = 0
            for value in values:
                with self.subTest(name, limit=value):
                    done = self.run_limited(kind, value, *verbs[name], uid=uid, env=env)
                    if done is None:
                        failed += 1
                    elif self.judge(name, kind, value, done):
                        worked += 1
                    else:
                        failed += 1
            with self.subTest(name):
                self.assertTrue(worked, f"{name} never had enough")
                self.assertTrue(failed or not must_fail, f"{name} always had enough: try less")
        left = [found for found in os.listdir(self.base) if found != ".locks"]
        self.assertEqual(left, [], "left behind")
        self.containers()

    def test_descriptors(self):
        self.sweep(resource.RLIMIT_NOFILE, [*range(4, 25), 64], ("json",))
        self.sweep(resource.RLIMIT_NOFILE, [4, 5, 6, 7, 8, 64], ("doctor", "gc", "run", "auto"))
        self.sweep(resource.RLIMIT_NOFILE, [4, 5, 6, 64], ("ls", "show"), must_fail=False)  # what they found out is their answer

    def test_a_client(self):
        """The service was there before and has enough; nothing of the session is lost."""
        self.run_("import os\nopen('kept', 'w').write('x' * 100000)\nvalue = 41")
        self.sweep(resource.RLIMIT_NOFILE, [3, 4, 5, 6, 64], OF_A_CLIENT)
        self.sweep(resource.RLIMIT_AS, [8 << 20, 20 << 20, 64 << 20, 512 << 20], OF_A_CLIENT)
        self.sweep(resource.RLIMIT_FSIZE, [0, 1, 4096, 1 << 20], OF_A_CLIENT, must_fail=False)
        self.assertEqual(self.run_("print(value + 1)")["stdout"], "42\n")

    def test_what_a_service_inherits(self):
        """Limits of the one who starts it do not bind those who come later: they are raised, or it does not start."""
        start = ("run", "-s", self.s, *self.settings(), "-c", CODE)

        for kind, value in ((resource.RLIMIT_NOFILE, 20), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CPU, 30)):
            end_service()
            done = self.run_limited(kind, value, *start, soft=True)
            self.assertEqual(done.status, 0, done)
            with open(f"/proc/{service_pid()}/limits", encoding="ascii") as limits:
                rows = {line[:26].strip(): line[26:].split() for line in limits}
            for name in ("Max cpu time", "Max file size"):
                self.assertEqual(rows[name][0], rows[name][1])
            self.assertGreaterEqual(int(rows["Max open files"][0]), min(8192, int(rows["Max open files"][1])))
        end_service()
        for kind, value, words in ((resource.RLIMIT_NOFILE, 40, "too many open files: a service needs 64 and may have 40 here"),
                                   (resource.RLIMIT_FSIZE, 4096, "file too large: a service needs"),
                                   (resource.RLIMIT_CPU, 5, "processor time: a service needs 600 and may have 5")):
            done = self.run_limited(kind, value, *start)
            self.assertEqual(done.status, 125, done)
            self.assertIn(words, done.stderr)
        self.assertEqual(dsb(*start).status, 0)

    def test_address_space(self):
        mib = 1 << 20
        self.sweep(resource.RLIMIT_AS, [8 * mib, 23 * mib, 24 * mib, 40 * mib, 63 * mib, 64 * mib, 512 * mib],
                   ("json", "doctor", "gc", "policy"))
        self.sweep(resource.RLIMIT_AS, [8 * mib, 24 * mib, 512 * mib], ("run", "auto"))
        self.sweep(resource.RLIMIT_AS, [8 * mib, 24 * mib, 512 * mib], ("ls", "show"), must_fail=False)

    def test_size_of_files(self):
        self.sweep(resource.RLIMIT_FSIZE, [0, 1, 100, 4096, 1 << 20], ("json", "doctor", "gc", "ls"), must_fail=False)
        self.sweep(resource.RLIMIT_FSIZE, [0, 4096, 1 << 20], ("run", "auto", "show", "policy"), must_fail=False)

    @unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "the number of processes does not bind root, and needs another user here")
    def test_processes(self):
        """A user who may use the engine's socket, in a group of ours, and may have few processes."""
        uid = next(uid for uid in range(64000, 64999) if not any(uid == user.pw_uid for user in pwd.getpwall()))
        socket = ENDPOINT.removeprefix("unix://")
        home = tempfile.mkdtemp(prefix="dsb-short.", dir="/tmp")
        self.addCleanup(shutil.rmtree, home, True)
        os.chown(home, uid, uid)
        os.mkdir(os.path.join(home, "base"), 0o700)
        os.chown(os.path.join(home, "base"), uid, uid)
        allowed = subprocess.run(["test", "-w", socket], preexec_fn=limited(resource.RLIMIT_CORE, 0, uid), check=False).returncode
        if allowed != 0:
            self.skipTest("only root may use this engine")
        readable = subprocess.run(["test", "-x", cli_harness.PROGRAM], preexec_fn=limited(resource.RLIMIT_CORE, 0, uid), check=False).returncode
        if readable != 0:
            self.skipTest("other users cannot read this build")
        self.base = os.path.join(home, "base")
        env = {"HOME": home, "XDG_RUNTIME_DIR": home, "XDG_STATE_HOME": home}
        self.sweep(resource.RLIMIT_NPROC, [1, 2, 400], ("json", "doctor", "gc"), uid=uid, env=env, must_fail=False)
        if BACKEND == "docker-api":  # its sibling has a child for each call
            self.sweep(resource.RLIMIT_NPROC, [1, 2, 4, 6, 400], ("json", "gc"), uid=uid, env=env, backend="docker-cli")

    @unittest.skipIf(os.getuid() != 0 or cli_harness.AS, "the number of processes does not bind root, and needs another user here")
    def test_threads_of_a_service(self):
        """It begins, or says what it is short of; it never aborts."""
        uid = next(uid for uid in range(64000, 64999) if not any(uid == user.pw_uid for user in pwd.getpwall()))
        serve = os.path.join(os.path.dirname(os.path.dirname(cli_harness.PROGRAM)), "service/dsandbox-serve")
        if subprocess.run(["test", "-x", serve], preexec_fn=limited(resource.RLIMIT_CORE, 0, uid), check=False).returncode != 0:
            self.skipTest("other users cannot read this build")
        home = tempfile.mkdtemp(prefix="dsb-short.", dir="/tmp")
        self.addCleanup(shutil.rmtree, home, True)
        os.chown(home, uid, uid)
        begun = refused = 0
        for value in (1, 2, 3, 4, 5, 6, 7, 8, 400):
            with self.subTest(processes=value):
                path = os.path.join(home, "api.sock")
                process = subprocess.Popen([serve, "--socket", path, "--idle", "1s"], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                           env={"HOME": home, "XDG_RUNTIME_DIR": home, "XDG_STATE_HOME": home},
                                           preexec_fn=limited(resource.RLIMIT_NPROC, value, uid))
                _, err = process.communicate(timeout=120)
                self.assertIn(process.returncode, (0, 125), err)
                if process.returncode == 0:
                    begun += 1
                else:
                    refused += 1
                    self.assertIn("too few processes: a service needs", err)
        self.assertTrue(begun and refused, (begun, refused))


if __name__ == "__main__":
    cli_harness.main([Short])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
`dsandbox conformance` and a backend that crashes, exits, hangs or leaves its containers: the other cases are asked, one
signal is enough, nothing is left, and no later run fails for it. Each way to fail in each operation needs no engine:
tests/conformance/test_contract.py. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import signal
import subprocess
import urllib.parse

import cli_harness
from speed import scaled, set_seconds
from cli_harness import BACKEND, ENDPOINT, Done, UnixConnection, containers, engine_get, wait_until

ONCE = "the suite is asked what it makes of a plugin around any backend"
BUILD = os.path.dirname(os.path.dirname(cli_harness.PROGRAM))
FAULT = os.path.join(BUILD, "tests/plugins/libdsandbox-fault.so")
INNER = os.path.join(BUILD, "backends", BACKEND, f"libdsandbox-{BACKEND}.so")
CASES = os.path.join(cli_harness.TOP, "conformance/cases")
WAYS = {"crash": "crashed in create: signal 11", "success": "ended in create with exit status", "hang": "did not answer in time in create"}
ENGINE_TIMEOUT = set_seconds(2)
LIMIT = 120  # seconds, of a suite that waits for a few deadlines
WAITING = '''
#: case AA-01 low waits for the host
#: expect went on
#: own
def aa_01():
    open("/sandbox/began", "w").close()
    while not os.path.exists("/sandbox/go"):
        time.sleep(0.05)
    return "went on"
'''
PLAIN = '''
#: case %s-01 low a case
#: expect good
def case():
    return "good"
'''


def engine_call(method, path, body=None):
    connection = UnixConnection(ENDPOINT[len("unix://"):])
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def of_contracts():
    """Ids of all containers of contract suites."""
    filters = urllib.parse.quote(json.dumps({"label": ["dsandbox.owner"]}))
    rows = engine_get("/containers/json?all=1&filters=" + filters) or []
    return [row["Id"] for row in rows if row["Labels"]["dsandbox.owner"].startswith("dsandbox-contract-") and cli_harness.is_known(row)]


class ConformancePlugins(cli_harness.EngineCase):
    def setUp(self):
        super().setUp()
        self.base = cli_harness.WORK.dir(f"base-{self.id()}", 0o700)
        self.cases = self.make_cases()
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        for name in of_contracts():
            engine_call("DELETE", f"/containers/{name}?force=1")
        self.assertTrue(wait_until(lambda: not containers(), 20), containers())
        self.assertEqual([name for name in os.listdir(self.base) if name != ".locks"], [])
        self.assertEqual(self.processes(), [])

    def processes(self):
        return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if self.base.encode() in cli_harness.read(f"/proc/{pid}/cmdline")]

    def begin(self, fault, *args, engine_timeout=ENGINE_TIMEOUT):
        env = {"DSB_TEST_INNER": INNER, "DSB_TEST_FAULT": fault, "LC_ALL": "C.UTF-8"}
        options = ["--plugin", FAULT, "--base-dir", self.base, "--engine-timeout", str(engine_timeout), "--setup", "here"]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        process = cli_harness.start("conformance", *options, *args, env=env, start_new_session=True)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def finish(self, process, limit=LIMIT):
        try:
            out, err = process.communicate(timeout=scaled(limit))
        except subprocess.TimeoutExpired:
            self.fail(f"it still runs after {limit} s: {process.args}")
        return Done(process.args, process.returncode, out, err, 0)

    def fault_file(self, text):
        file = cli_harness.WORK.file(text)
        os.chmod(file, 0o666)
        return file

    def make_cases(self):
        """Ours: AA-01 waits in its sandbox for a file; BB and CC follow."""
        folder = cli_harness.WORK.dir(f"cases-{self.id()}")
        shutil.copy(os.path.join(CASES, "common.py"), folder)
        for name, text in (("aa", WAITING), ("bb", PLAIN % "BB"), ("cc", PLAIN % "CC")):
            with open(os.path.join(folder, name + ".py"), "w", encoding="ascii") as file:
                file.write(text)
        return folder

    def in_the_middle(self, how, *args, known=()):
        """Begins a suite whose backend fails, once, in the sandbox of BB."""
        fault = self.fault_file("")
        process = self.begin(fault, "--cases", self.cases, *args)

        def session():
            return [name for name in os.listdir(self.base)
                    if os.path.exists(os.path.join(self.base, name, "began")) and name not in known]
        self.assertTrue(wait_until(session, 60), "AA-01 does not begin")
        process.session, process.fault = session()[0], fault
        with open(fault, "w", encoding="ascii") as file:
            file.write(f"create:once:{how}")
        with open(os.path.join(self.base, process.session, "go"), "w", encoding="ascii"):
            return process

    def test_the_others_run(self):
        """And AA-01 is said while BB's sandbox is made."""
        started = {}
        for how in ("hang", "crash", "success"):
            started[how] = self.in_the_middle(how, known=[process.session for process in started.values()])
            self.assertTrue(wait_until(lambda how=how: not cli_harness.read(started[how].fault), 30), "it does not come to the fault")
            if how == "hang":
                self.assertEqual(started[how].stdout.readline().split()[:2], [b"AA-01", b"pass"])
                self.assertIsNone(started[how].poll())
        for how, process in started.items():
            with self.subTest(how):
                done = self.finish(process)
                self.assertEqual(done.status, 1, done)
                expected = [["AA-01", "pass"], ["BB-01", "fail"], ["CC-01", "pass"], ["here:", "2"]]
                self.assertEqual([line.split()[:2] for line in done.stdout.splitlines() if line[0] != " "],
                                 expected[1:] if how == "hang" else expected, done)
                self.assertIn("observed: no answer: lost: the backend fault " + WAYS[how], done.stdout)

    def test_signal(self):
        process = self.begin("")
        self.assertIn(b"pass", process.stdout.readline())
        os.killpg(process.pid, signal.SIGINT)
        done = self.finish(process, 60)
        self.assertEqual(done.status, 130, done)
        self.assertRegex(done.stdout.splitlines()[-1], r"^here: \d+ passed, 0 failed, \d+ skipped, \d+ waived$")

    def test_kill(self):
        process = self.in_the_middle("hang", "--engine-timeout", "600")
        self.assertTrue(wait_until(lambda: not cli_harness.read(process.fault), 30), "it does not come to the fault")
        process.kill()
        process.communicate(timeout=scaled(30))
        self.assertTrue(wait_until(lambda: not self.processes(), 10), self.processes())
        again = self.finish(self.begin("", "--case", "FS-01,FS-02"))
        self.assertIn("here: 2 passed, 0 failed", again.stdout)
        for name in os.listdir(self.base):  # of one that nobody could tell to clean up
            if name.startswith("dsbx-"):
                shutil.rmtree(os.path.join(self.base, name))

    def test_what_a_plugin_left(self):
        """Its containers are no other case's fault, in this suite and in later ones."""
        done = self.finish(self.begin("destroy:0:error", "--contract", "--case", "PI-03,PI-05"))
        self.assertIn("destroy: injected fault in destroy", done.stdout, done)
        self.assertIn("reason: what it left could not be removed", done.stdout, done)
        self.assertIn("here: 1 passed, 1 failed", done.stdout, done)
        self.assertEqual(len(of_contracts()), 1)
        done = self.finish(self.begin("", "--contract", "--case", "PI-03,PI-04,PI-05,PI-06,PI-07,PI-08,PI-09"))
        self.assertIn("here: 7 passed, 0 failed", done.stdout, done)

    def test_what_is_of_no_suite_any_more(self):
        """Removed by the next one; what may still be another's stays."""
        old, new = (self.forgotten(deadline) for deadline in ("1000", "4102444800"))
        done = self.finish(self.begin("", "--contract", "--case", "PI-01"))
        self.assertIn("here: 1 passed, 0 failed", done.stdout, done)
        self.assertEqual(of_contracts(), [new])
        self.assertNotEqual(old, new)

    def forgotten(self, deadline):
        body = {"Image": os.environ.get("DSB_TEST_IMAGE", "dsandbox-sandbox:latest"), "Cmd": ["/bin/true"],
                "Labels": {"dsandbox.owner": "dsandbox-contract-1-1-PI-03", "dsandbox.session": "s1", "dsandbox.deadline": deadline}}
        status, answer = engine_call("POST", "/containers/create", body)
        self.assertEqual(status, 201, answer)
        return json.loads(answer)["Id"]

    def test_contract_after_a_crash(self):
        """Its containers are removed by the suite itself."""
        for operation, name, case in (("start", "start", "PI-07"), ("destroy", "destroy", "PI-03"), ("read", "stream.read", "PI-07")):
            done = self.finish(self.begin(self.fault_file(f"{operation}:once:crash"), "--contract", "--case", case))
            self.assertIn(f"no answer: the backend fault crashed in {name}: signal 11", done.stdout, done)
            self.assertNotIn("could not be removed", done.stdout, done)
            self.assertEqual(of_contracts(), [])


if __name__ == "__main__":
    cli_harness.main([ConformancePlugins])

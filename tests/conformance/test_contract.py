#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
`dsandbox conformance`, above all its contract suite, and plugins that crash, exit, hang or change what is the whole
process's, in each operation: what did it is named, the other cases run, and the totals are there. No engine: argv[1] is the
program, argv[2] the plugin that fails (tests/plugins/fault.c), argv[3] the one around which it is, which runs nothing.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
import runner  # noqa: E402
from speed import scaled  # noqa: E402

PROGRAM, FAULT, INNER = sys.argv[1:4]
del sys.argv[1:4]
CASES = [f"PI-{number:02}" for number in range(1, 15)]
# What the plugin does, and what is said of it.
ENDS = {"crash": "crashed in {}: signal 11", "abort": "crashed in {}: signal 6", "success": "ended in {} with exit status 0",
        "exit": "ended in {} with exit status 3"}
HANGS = {"hang": "did not answer in time in {}", "quiet": "did not answer in time in {}"}
CHANGES = {"shut": "(closed descriptor 0|made descriptor 0 another file)", "umask": "changed the umask from 0022 to 0000", "chdir": "changed the working directory",
           "block": "changed the signal mask: User defined signal 1", "ignore": "changed what the process does on a signal: Broken pipe",
           "locale": "changed the locale"}
# The operation as the fault plugin calls it, as it is named, and a case that calls it.
OPERATIONS = [("open", "open", "PI-01"), ("describe", "describe", "PI-01"), ("prepare", "prepare", "PI-02"),
              ("create", "create", "PI-03"), ("list", "list", "PI-03"), ("destroy", "destroy", "PI-03"), ("inspect", "inspect", "PI-06"),
              ("start", "start", "PI-07"), ("read", "stream.read", "PI-07"), ("closing", "stream.close", "PI-07"), ("close", "close", "PI-01")]
NEED_ALL = ("open", "close", "load")  # without these no case can be asked
ENGINE_TIMEOUT = 1
LIMIT = 180  # seconds, of one suite; an operation has 13 of them


class Suite:
    """One run of the program."""

    def __init__(self, fault, *args, base=None, **how):
        self.fault, self.base = fault, base
        # A crash is one, not a report and an exit; leaks are looked for where nothing is broken, since that takes its time.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_abort=0" + (":detect_leaks=0" if fault else "")
        env = {**os.environ, "DSB_TEST_INNER": INNER, "DSB_TEST_FAULT": fault, "LC_ALL": "C.UTF-8", "ASAN_OPTIONS": sanitizer}
        argv = [PROGRAM, "--plugin", FAULT, "--engine-timeout", str(ENGINE_TIMEOUT), "--setup", "here",
                *(["--base-dir", base] if base is not None else []), *args]
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True, umask=0o022, **how)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait(self):
        out, err = self.process.communicate(timeout=LIMIT)
        self.out, self.err = out.decode("utf-8"), err.decode("utf-8")
        self.status = self.process.returncode
        self.lines = self.out.splitlines()
        self.verdicts, self.said, last = {}, {}, None
        for line in self.lines:
            row = re.match(r"(PI-\d\d) +(\w+) ", line)
            if row:
                last = row[1]
                self.verdicts[last] = row[2]
            elif line.startswith("         observed: ") and last:
                self.said[last] = line.split(": ", 1)[1]
        return self

    def __str__(self):
        return f"{self.fault}: exit status {self.process.returncode}\n{self.out}\n{self.err}"


class Case(unittest.TestCase):
    maxDiff = None
    options = ()

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="dsb-contract.")
        self.addCleanup(shutil.rmtree, self.dir)

    def begin(self, fault, *args, base=None, **how):
        suite = Suite(fault, *self.options, *args, base=tempfile.mkdtemp(dir=self.dir) if base is None else base, **how)
        self.addCleanup(suite.end)
        return suite

    def until_it_hangs(self, *args):
        fault = os.path.join(self.dir, "fault")
        with open(fault, "w", encoding="ascii") as file:
            file.write("create:1:hang")
        suite = self.begin(fault, "--engine-timeout", "600", *args)
        end = time.monotonic() + scaled(30)
        while os.path.getsize(fault) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(os.path.getsize(fault), 0, "it does not come to the fault")
        os.unlink(fault)
        return suite

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found += [pid] if self.dir.encode() in file.read() else []
            except OSError:
                pass
        return found


class ContractCase(Case):
    options = ("--contract",)

    def totals(self, suite):
        """The last line, whatever happened, and nothing left in the directory."""
        counts = re.fullmatch(r"here: (\d+) passed, (\d+) failed, (\d+) skipped, 0 waived", suite.lines[-1])
        self.assertTrue(counts, suite)
        self.assertEqual([int(n) for n in counts.groups()],
                         [list(suite.verdicts.values()).count(verdict) for verdict in ("pass", "fail", "skipped")], suite)
        self.assertEqual(os.listdir(suite.base), [], suite)

    def failed_in(self, suite, words, case):
        self.assertEqual(suite.status, 1, suite)
        self.assertEqual(list(suite.verdicts), CASES, suite)
        self.assertEqual(suite.verdicts[case], "fail", suite)
        self.assertIn("no answer: the backend fault " + words, suite.said[case], suite)
        self.totals(suite)


class Contract(ContractCase):
    def test_baseline(self):
        suite = self.begin("").wait()
        self.assertEqual((suite.status, set(suite.verdicts.values())), (0, {"pass"}), suite)
        self.totals(suite)

    def test_ends(self):
        for how, words in ENDS.items():
            suites = [(self.begin(f"{operation}:0:{how}"), operation, name, case) for operation, name, case in OPERATIONS]
            for suite, operation, name, case in suites:
                with self.subTest(operation, how=how):
                    self.failed_in(suite.wait(), words.format(name), case)
                    others = [c for c, verdict in suite.verdicts.items() if verdict == "pass"]
                    self.assertEqual(others == [], operation in NEED_ALL, suite)

    def test_some_cases(self):
        suite = self.begin("", "--case", "pi-03,PI-08").wait()
        self.assertEqual((suite.status, suite.verdicts), (0, {"PI-03": "pass", "PI-08": "pass"}), suite)

    def test_load(self):
        for how, words in ENDS.items():
            with self.subTest(how):
                suite = self.begin(f"load:0:{how}").wait()
                self.assertEqual((suite.status, list(suite.verdicts), set(suite.verdicts.values())), (1, CASES, {"fail"}), suite)
                self.assertRegex(suite.said["PI-01"], "^no answer: the backend .*" + words.format("load")
                                 .replace("exit status 0", "exit status (0|125)").replace("exit status 3", "exit status (3|125)"))
                self.totals(suite)

    def test_changes(self):
        """Said once, with the operation; nothing else of the suite suffers. Behind each operation it is one comparison: every
        operation makes two of the changes, in turn."""
        for number, (how, words) in enumerate(CHANGES.items()):
            suites = [(self.begin(f"{operation}:0:{how}"), name) for at, (operation, name, _) in enumerate(OPERATIONS)
                      if (at - number) % (len(CHANGES) // 2) == 0]
            for suite, name in suites:
                with self.subTest(name, how=how):
                    suite.wait()
                    self.assertEqual([case for case, verdict in suite.verdicts.items() if verdict == "fail"], ["PI-13"], suite)
                    self.assertRegex(suite.said["PI-13"], f"^{name}: it {words}$", suite)
                    self.assertEqual(suite.status, 1)
                    self.totals(suite)

    def test_rude(self):
        """What a plugin says is bounded and harmless, and never on standard output."""
        suite = self.begin("create:0:rude").wait()
        self.assertEqual((suite.status, list(suite.verdicts)), (1, CASES), suite)
        self.assertTrue(suite.said["PI-03"].startswith(r"create: \x1b[2J\xc3\nPI-01    pass\rxxxxx"), suite.said["PI-03"])
        self.assertLess(max(map(len, suite.lines)), 4100)
        self.assertNotIn("forged", suite.out)
        self.assertIn("  | {\"forged\": true}\n  | \\x1b[2J\\xff\n", suite.err)
        self.assertNotRegex(suite.out + suite.err, "[\x00-\x09\x0b-\x1f]")
        result = json.loads(self.begin("create:0:rude", "--json").wait().out)
        self.assertTrue(result["cases"][2]["observed"].startswith(r"create: \x1b[2J"))

    def test_json(self):
        """One object on each path."""
        for fault in ("open:0:success", "create:0:success", "close:0:crash", "load:0:success"):
            with self.subTest(fault):
                suite = self.begin(fault, "--json").wait()
                report = json.loads(suite.out)
                self.assertEqual((suite.status, report["schema"], report["interrupted"]), (1, "dsandbox.conformance/1", False), suite)
                self.assertEqual([case["id"] for case in report["cases"]], CASES)
                self.assertGreater(report["summary"]["fail"], 0)

    def test_lines_come_at_once(self):
        """Before the next case is over."""
        suite = self.begin("inspect:0:hang")
        lines = [suite.process.stdout.readline().decode() for _ in range(5)]
        self.assertEqual([line.split()[0] for line in lines], CASES[:5])
        self.assertIsNone(suite.process.poll())
        suite.process.kill()

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                suite = self.until_it_hangs()
                os.killpg(suite.process.pid, number)
                suite.wait()
                self.assertEqual(suite.status, 128 + number, suite)
                self.assertEqual(list(suite.verdicts), CASES[:3], suite)
                self.assertEqual(self.processes(), [])
                self.totals(suite)
        suite = self.until_it_hangs("--json")
        suite.process.send_signal(signal.SIGINT)
        report = json.loads(suite.wait().out)
        self.assertEqual((suite.status, report["interrupted"], len(report["cases"])), (130, True, 3))

    def test_kill(self):
        """No process goes on without the program, and what it left keeps no later suite from anything."""
        suite = self.until_it_hangs()
        suite.process.kill()
        suite.process.communicate(timeout=30)
        end = time.monotonic() + scaled(10)
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.processes(), [])
        (base,) = (name for name in os.listdir(self.dir))
        again = self.begin("", base=os.path.join(self.dir, base)).wait()
        self.assertEqual((again.status, set(again.verdicts.values())), (0, {"pass"}), again)

    def test_relative_directory(self):
        for base in ("base", "./other", "new/base"):
            with self.subTest(base):
                suite = self.begin("", base=base, cwd=self.dir).wait()
                self.assertEqual((suite.status, set(suite.verdicts.values())), (0, {"pass"}), suite)
                self.assertEqual(os.listdir(os.path.join(self.dir, base)), [])
        suite = self.begin("", base="", cwd=self.dir)
        out, err = suite.process.communicate(timeout=LIMIT)
        self.assertEqual((suite.process.returncode, out), (2, b""))
        self.assertIn(b"--base-dir: is empty", err)


class ContractWaits(ContractCase):
    long = "what does not come back is given 20 seconds"

    def test_hangs(self):
        """All at once, since each waits for its deadline."""
        in_a_file = os.path.join(self.dir, "fault") # which is empty afterwards: what hung in one case is tried in the next
        with open(in_a_file, "w", encoding="ascii") as file:
            file.write("create:1:hang")
        once = self.begin(in_a_file)
        suites = [(self.begin(f"{operation}:0:{how}"), operation, name, case, how) for how in HANGS
                  for operation, name, case in OPERATIONS if how == "hang" or operation in ("create", "read")]
        for suite, operation, name, case, how in suites:
            with self.subTest(operation, how=how):
                self.failed_in(suite.wait(), HANGS[how].format(name), case)
                if operation not in NEED_ALL:
                    self.assertIn("pass", suite.verdicts.values(), suite)
                if operation == "destroy":
                    again = "destroy: it did not come back in PI-03 and PI-04, and is not called again"
                    self.assertGreater(list(suite.said.values()).count(again), 5, suite)
        self.failed_in(once.wait(), HANGS["hang"].format("create"), "PI-03")
        self.assertEqual([case for case, verdict in once.verdicts.items() if verdict == "fail"], ["PI-03"], once)

    def test_claims(self):
        """An engine that is said to remove what has ended, and does not; one that need not is asked to destroy."""
        suite = self.begin("describe:0:claims", "--case", "PI-14").wait()
        self.assertEqual((suite.status, suite.verdicts), (1, {"PI-14": "fail"}), suite)
        self.assertRegex(suite.said["PI-14"], "^leaked containers: after its own end, and describe says that the engine removes "
                         "what has ended, there is still ")


class SandboxesCase(Case):
    """The other cases: nothing is asked where no sandbox is made."""
    options = ("--case", "FS-01,LM-01")
    operations = [row for row in OPERATIONS if row[0] in ("open", "create", "inspect", "start", "read", "describe", "prepare", "close")]

    def lost(self, suite, words):
        report = json.loads(suite.out)
        rows = report["cases"]
        self.assertEqual([row["id"] for row in rows], ["FS-01", "LM-01"], suite)
        for row in rows:
            self.assertIn("no answer: lost: the backend fault " + words, row["observed"], suite)
            self.assertEqual(row["verdict"], "fail")
        self.assertEqual((suite.status, report["interrupted"], report["summary"]["fail"]), (1, False, 2), suite)
        self.assertIn("no sandbox starts here: no answer: lost: the backend fault " + words, suite.err)
        self.assertEqual([name for name in os.listdir(suite.base) if name.startswith("dsbx-")], [])


class Sandboxes(SandboxesCase):
    def test_ends(self):
        for how, words in ENDS.items():
            suites = [(self.begin(f"{operation}:0:{how}", "--json"), name) for operation, name, _ in self.operations]
            for suite, name in suites:
                with self.subTest(name, how=how):
                    suite.wait()
                    self.lost(suite, words.format(name).replace("exit status 0", "exit status 125").replace("exit status 3", "exit status 125"))

    def test_text(self):
        suite = self.begin("create:0:rude").wait()
        self.assertRegex(suite.lines[-1], "^here: 0 passed, 2 failed, 0 skipped, 0 waived$")
        self.assertNotIn("forged", suite.out)
        self.assertIn("observed: no answer: error: ", suite.out)
        self.assertNotRegex(suite.out + suite.err, "[\x00-\x09\x0b-\x1f]")
        self.assertEqual([line for line in suite.lines if line.startswith("PI-01")], [])
        self.assertLess(len(suite.out), 10000)


class SandboxesWait(SandboxesCase):
    long = ContractWaits.long

    def test_hangs(self):
        suites = [(self.begin(f"{operation}:0:{how}", "--json"), words.format(name)) for how, words in HANGS.items()
                  for operation, name, _ in self.operations if how == "hang" or operation in ("create", "read")]
        for suite, words in suites:
            with self.subTest(words, fault=suite.fault):
                suite.wait()
                self.lost(suite, words)

    def test_signals(self):
        """In an operation it has some seconds to come back; all at once, since each waits for them."""
        suites = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            suites.append((self.until_it_hangs("--json"), number))
            os.killpg(suites[-1][0].process.pid, number)
        for suite, number in suites:
            report = json.loads(suite.wait().out)
            self.assertEqual((suite.status, report["interrupted"], report["cases"]), (128 + number, True, []), suite)
        self.assertEqual(self.processes(), [])
        suite = self.until_it_hangs()
        suite.process.send_signal(signal.SIGINT)
        self.assertEqual((suite.wait().status, suite.lines), (130, ["here: 0 passed, 0 failed, 0 skipped, 0 waived"]), suite)


if __name__ == "__main__":
    runner.main()

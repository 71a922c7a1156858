# SPDX-License-Identifier: MIT
"""Options, operands and the words of the command line: what is wrong with them is said, without an engine."""
import os
import re
import signal
import subprocess

import schema
from cli_harness import HARD_LIMIT, WORK, Case, command, dsandbox, environment, read
from program_help import OWN_PROGRAMS, verbs

BIG = "99999999999999999999999"
BAD_SIZES = ["", "abc", "-1", "1x", "nan", "inf", "unlimited", "1.5.2", "1 2", "0x10", "1e400", BIG, BIG + "GiB", "512MiBx"]
BAD_VALUES = {
    "--memory": BAD_SIZES + ["0", "1"],
    "--swap": BAD_SIZES,
    "--tmp-size": BAD_SIZES,
    "--disk": BAD_SIZES + ["0"],
    "--output-limit": BAD_SIZES,
    "--cpus": ["", "abc", "-1", "0", "nan", "inf", "1x", "1e400", BIG, "0.0000001"],
    "--pids": ["", "abc", "-1", "0", "1.5", "nan", "unlimited", BIG],
    "--timeout": ["", "abc", "-1", "0", "nan", "inf", "1x", BIG],
    "--network": ["", "host", "bridge", "NONE", "none,full", "container:x"],
    "--user": ["", "root", "-1", "x", "1000:", ":1000", "1000:1000:1000", BIG, "4294967295", "4294967296"],
    "--runtime": ["", "a b", "../runc", "--debug", "/bin/sh", "x" * 65],
    "--env": ["", "NAME", "=value", "A B=1"],
    "--session": ["", ".", "..", "a/b", "../x", "/x", "-x", ".x", "a b", "a" * 65, "a\nb", "ä"],
    "--base-dir": [""],
    "--image": ["", "-x", "a b", "a\nb"],
    "--allow-unenforced": ["", "nonsense", "memory,nonsense", ",", "memory,,cpu", "all"],
    "--plugin": ["", "relative.so", "./x.so"],
    "--backend": ["", "nonesuch", "../docker-api", "/x", "a b", "docker api", "x" * 65],
}
NAMES_ITSELF = {"--backend", "--plugin", "--session", "--base-dir"}  # the message may describe the thing, not the option


class BadOptions(Case):
    """Every bad value of an option: a clear message that names it, exit status 125, one JSON object."""


def _add_bad_value(option, value, number):
    def test(self):
        # "--opt=value" so that a value may start with a dash
        done = dsandbox("run", "--json", f"{option}={value}", "-c", "pass")
        result = self.assert_failure(done, None)
        self.assertIn(result["failure"]["code"], ("invalid", "not_found", "plugin"), done)
        if option not in NAMES_ITSELF:
            self.assertRegex(result["failure"]["message"], re.escape(option.lstrip("-")) + "|" + re.escape(option[2:].replace("-", "_")), done)
        self.assertEqual(done.err.count(b"Traceback"), 0)

    def text(self):
        done = dsandbox("run", f"{option}={value}", "-c", "pass")
        self.assertEqual(done.status, 125, done)
        self.assertEqual(done.stdout, "", done)
        self.assertTrue(done.stderr.startswith("dsandbox: "), done)

    name = option.lstrip("-").replace("-", "_")
    setattr(BadOptions, f"test_{name}_{number:02}", test)
    if number == 1:
        setattr(BadOptions, f"test_{name}_as_text", text)


for _option, _values in BAD_VALUES.items():
    for _number, _value in enumerate(_values):
        _add_bad_value(_option, _value, _number)


class Usage(Case):
    def usage_error(self, *args, words=()):
        done = dsandbox(*args)
        self.assertEqual(done.status, 125, done)
        self.assertEqual(done.stdout, "", done)
        self.assertTrue(done.stderr.startswith("dsandbox: "), done)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_unknown_option(self):
        self.usage_error("run", "--frobnicate", "-c", "pass", words=["frobnicate"])

    def test_unknown_option_json(self):
        self.assert_failure(dsandbox("run", "--json", "--frobnicate", "-c", "pass"), "invalid", "frobnicate")

    def test_unknown_verb(self):
        self.usage_error("frobnicate", words=["frobnicate"])

    def test_unknown_sub_verb(self):
        for verb in ("backend", "policy", "image"):
            self.usage_error(verb, "frobnicate", words=["frobnicate"])

    def test_missing_value(self):
        for option in (*BAD_VALUES, "-c", "--policy", "--stdin"):
            with self.subTest(option):
                self.usage_error("run", option, words=[option.lstrip("-")])

    def test_file_and_code(self):
        self.usage_error("run", "-c", "pass", "file.py", words=["-c"])

    def test_two_files(self):
        self.usage_error("run", "a.py", "b.py", words=["b.py"])

    def test_no_null_byte_or_newline_tricks_in_session(self):
        self.assert_failure(dsandbox("run", "--json", "-c", "pass", "--session", "x\x7f"), "invalid")

    def test_version(self):
        for args in (["version"], ["--version"]):
            done = dsandbox(*args)
            self.assertEqual(done.status, 0, done)
            self.assertRegex(done.stdout, r"^dsandbox \d+\.\d+\.\d+")

    def test_output_is_full_or_closed(self):
        """What cannot be printed is no success, on every path; and the reason is said."""
        for args in (["--help"], ["version"], ["--version", "--json"], ["policy", "show"], ["policy", "show", "--json"],
                     ["backend", "ls"], ["doctor", "--json"], ["session", "ls"], ["session", "ls", "--json"],
                     ["run", "--json", "--memory=x", "-c", "1"], ["run", "--json", "--frobnicate"]):
            for where, reason in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
                with self.subTest(args=args, where=where):
                    argv, env = command(args, environment())
                    done = subprocess.run(["sh", "-c", f'"$@" {where}', "sh", *argv], env=env, cwd="/", timeout=HARD_LIMIT,
                                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
                    self.assertEqual(done.returncode, 125, done)
                    self.assertIn("dsandbox: cannot write the output: " + reason, done.stderr.decode())

    def test_nobody_reads(self):
        """As other programs in a pipe: the end that SIGPIPE makes, without a word."""
        reader, writer = os.pipe()
        os.close(reader)
        argv, env = command(["--help"], environment())
        done = subprocess.run(argv, env=env, cwd="/", timeout=HARD_LIMIT, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (128 + signal.SIGPIPE, b""))

    def test_json_is_an_object(self):
        for args in (["version", "--json"], ["--version", "-o", "json"], ["--json", "-V"]):
            with self.subTest(args):
                done = dsandbox(*args)
                self.assertEqual((done.status, done.stderr), (0, ""), done)
                self.assertRegex(schema.loads(done.stdout)["version"], r"^\d+\.\d+\.\d+")
        self.assertIn("Usage: dsandbox", schema.loads(dsandbox("--help", "--json").stdout)["help"])
        for args in (["version", "more", "--json"], ["version", "more", "-o", "json"], ["run", "-o", "json", "--frobnicate"],
                     ["-ojson", "--frobnicate"], ["--output", "json", "run", "--frobnicate"], ["frobnicate", "--json"],
                     ["-o", "json", "run", "--base-dir=", "-c", "1"], ["--json", "-o", "xml", "version"],
                     ["session", "--json"], ["session", "show", "--json"], ["exec", "--json"], ["image", "--json"],
                     ["cp", "--json"], ["repl", "--json"], ["backend", "--json"], ["policy", "--json"], ["gc", "x", "--json"]):
            with self.subTest(args):
                self.assert_failure(dsandbox(*args), "invalid")

    def test_options_before_the_verb(self):
        before = dsandbox("--json", "--memory=nonsense", "run", "-c", "pass")
        self.assert_failure(before, "invalid", "memory", "nonsense")

    def test_double_dash_ends_options(self):
        # what follows -- belongs to the program in the sandbox; the failure here is the missing engine alone
        done = dsandbox("--backend=docker-api", "run", "--json", "-c", "pass", "--", "--memory=nonsense", "--frobnicate")
        self.assert_failure(done, "unavailable")

    def test_option_given_twice_takes_the_last(self):
        done = dsandbox("policy", "show", "--memory=1GiB", "--memory=256MiB")
        self.assertEqual(done.status, 0, done)
        self.assertIn("256MiB", done.stdout)

    def test_closed_output(self):
        read, write = os.pipe()
        os.close(read)
        argv, env = command(["policy", "show"], environment())
        process = subprocess.run(argv, env=env, stdout=write, stderr=subprocess.PIPE, timeout=HARD_LIMIT, cwd="/")
        os.close(write)
        self.assertNotIn(process.returncode, (-signal.SIGSEGV, -signal.SIGABRT), process.stderr)

    def test_no_standard_descriptors(self):
        argv, env = command(["version"], environment())
        process = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv], env=env, timeout=HARD_LIMIT, cwd="/")
        self.assertGreaterEqual(process.returncode, 0)
        self.assertNotIn(process.returncode, (139, 134))


class Operands(Case):
    """No operand is ignored, and nothing to run is an error unless it was meant."""
    # verb: operands that are too few, and too many
    VERBS = {
        "run": ([], ["a.py", "b.py"]), "exec": ([], ["s", "a.py", "b.py"]), "repl": (None, ["x"]), "cp": (["a"], ["a", "s:b", "c"]),
        "version": (None, ["x"]), "doctor": (None, ["x"]), "gc": (None, ["x"]),
        "session": ([], ["nonsense"]), "session new": (None, ["s", "t"]), "session ls": (None, ["x"]),
        "session show": ([], ["s", "t"]), "session vars": ([], ["s", "t"]), "session files": ([], ["s", "d", "e"]),
        "session history": ([], ["s", "t"]), "session interrupt": ([], ["s", "t"]), "session reset": ([], ["s", "t"]),
        "session save": ([], ["s", "t"]), "session restore": ([], ["s", "t"]),
        "session branch": (["s"], ["s", "t", "u"]), "session export": ([], ["s", "f", "g"]),
        "session import": ([], ["s", "f", "g"]), "session rm": ([], ["s", "--all"]),
        "backend": ([], ["nonsense"]), "backend ls": (None, ["x"]), "backend show": ([], ["podman", "x"]),
        "policy": ([], ["nonsense"]), "policy show": (None, ["x"]), "policy check": ([], ["a.json", "b.json"]),
        "image": ([], ["nonsense"]), "image build": (None, ["x"]), "serve": (None, ["x"]),
        "pool": ([], ["nonsense"]), "pool ls": (None, ["x"]), "mcp": (None, ["x"]), "conformance": (None, ["x"]),
    }

    def test_all_verbs_are_here(self):
        groups = {verb.split()[0] for verb in self.VERBS if " " in verb}
        self.assertEqual(set(self.VERBS) - groups, {*verbs(), *OWN_PROGRAMS})

    def assert_invalid(self, *args):
        done = dsandbox(*args, limit=60)
        self.assertEqual((done.status, done.stdout), (2 if args[0] == "conformance" else 125, ""), done)
        self.assertIn("dsandbox", done.stderr, done)

    def test_too_few_and_too_many(self):
        for verb, (few, many) in self.VERBS.items():
            for operands in (few, many):
                if operands is not None:
                    with self.subTest(verb=verb, operands=operands):
                        self.assert_invalid(*verb.split(), *operands)

    def test_after_two_dashes(self):
        """Arguments of the code for verbs that run code, else operands that are no options."""
        for verb in self.VERBS:
            operands = {"run": ["a.py"], "exec": ["s", "--", "a.py"], "session rm": ["-no-id"]}.get(verb, self.VERBS[verb][1])
            with self.subTest(verb=verb):
                self.assert_invalid(*verb.split(), *([] if verb == "exec" else ["--"]), *operands)
        self.assertEqual(dsandbox("policy", "show", "--").status, 0)
        self.assertEqual(dsandbox("policy", "--", "show").status, 0)
        for args, words in ((["--", "run", "a.py"], "no verb before -- run"), (["run", "--", ""], "has no program"),
                            (["run", "--cwd", "", "--", "ls"], "working directory"), (["run", "--cwd", "/", "-c", "1"], "--cwd is for a command"),
                            (["exec", "s", "--cwd", "/", "a.py", "--", "b"], "--cwd is for a command")):
            done = dsandbox(*args)
            self.assertEqual((done.status, done.stdout), (125, ""), done)
            self.assertIn(words, done.stderr)

    def test_nothing_on_standard_input(self):
        for args in ([], ["run"], ["run", "--"], ["run", "--session", "s"], ["exec", "s"], ["--json"]):
            with self.subTest(args):
                done = dsandbox(*args)
                self.assertEqual(done.status, 125, done)
                self.assertIn("there is no code: nothing on standard input", done.stderr)
        # meant: it goes on to the engine, which is not there
        for args in (["run", "-"], ["run", "-c", ""], ["run", WORK.file(b"")]):
            with self.subTest(args):
                self.assert_failure(dsandbox("--backend=docker-api", *args, "--json"), "unavailable")


CASES = (BadOptions, Usage, Operands)

# SPDX-License-Identifier: MIT
"""What each verb takes: its help, options that are another verb's, words that were meant, and the completion of shells."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

from cli_harness import PROGRAM, WORK, Case, dsandbox, environment, scaled

COMPLETION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cli/completion")
OWN_PROGRAMS = ("serve", "conformance")  # with options of their own
SCREEN = 40, 130  # lines, and the letters of one (two for what is long in the list of policy keys)


def help_of(*verb):
    done = dsandbox(*verb, "--help")
    if (done.status, done.stderr) != (0, ""):
        raise AssertionError(done)
    return done.stdout


def options_in(text):
    return set(re.findall(r" --([a-z-]+)", "\n".join(line for line in text.splitlines() if line.startswith("  "))))


def verbs():
    """The first words of the lines of --help: "run", "session ls"."""
    names = []
    for line in help_of().split("\n\n")[2].splitlines():
        found = re.match(r"  ([a-z]+( [a-z]+)?)", line)
        if found:
            names.append(found[1])
    return [name for name in names if name not in OWN_PROGRAMS]


class Help(Case):
    def test_all_verbs(self):
        text = help_of()
        self.assertGreater(len(verbs()), 25)
        for word in ("session new [ID]", "conformance", "serve", "--json", "VERB --help"):
            self.assertIn(word, text)

    def test_each_verb(self):
        for name in verbs():
            with self.subTest(name):
                text = help_of(*name.split())
                self.assertTrue(text.startswith(f"Usage: dsandbox {name} [OPTIONS]"), text)
                lines = text.splitlines()
                self.assertLessEqual(len(lines), SCREEN[0], text)
                if name != "policy show":
                    self.assertLessEqual(max(map(len, lines)), SCREEN[1], text)
                self.assertEqual(dsandbox("--help", *name.split()).stdout, text)

    def test_each_group(self):
        for group in {name.split()[0] for name in verbs() if " " in name}:
            text = help_of(group)
            ours = {name for name in verbs() if name.startswith(group + " ")}
            self.assertEqual({name for name in verbs() if f"\n  {name} " in text}, ours, text)

    def test_no_such_verb(self):
        self.assert_failure(dsandbox("frobnicate", "--help", "--json"), "invalid", "frobnicate")
        self.assert_failure(dsandbox("session", "fly", "--help", "--json"), "invalid", "fly")


class Options(Case):
    """An option belongs to verbs: where it has no effect, it is an error that says so."""

    VALUES = {"engine-timeout": "60", "checkpoint": "idle", "label": "a=b", "network": "none", "output": "json"}

    def test_each_option_with_each_verb(self):
        names = verbs()
        takes = {name: options_in(help_of(*name.split())) for name in names}
        every = options_in(help_of().rsplit("\n\n", 1)[1])
        self.assertLess({"json", "verbose", "help"}, every)
        flags = set(re.findall(r"--([a-z-]+)  ", "".join(help_of(*name.split()) for name in names)))
        for option in sorted(set.union(*takes.values()) - every):
            argument = f"--{option}" if option in flags else f"--{option}={self.VALUES.get(option, 'x')}"
            for name in names:
                if option not in takes[name]:
                    with self.subTest(option=option, verb=name):
                        done = dsandbox(*name.split(), argument)
                        self.assertEqual((done.status, done.stdout), (125, ""), done)
                        self.assertIn(f"dsandbox: {name} does not take --{option}, which is for ", done.stderr)

    def test_what_to_do_instead(self):
        self.assertIn("dsandbox cp SRC SESSION:PATH", dsandbox("exec", "a", "--in", "x", "-c", "1").stderr)
        self.assertIn("it needs the service", dsandbox("session", "new", "--no-service").stderr)

    def test_short_ones(self):
        self.assertIn("session ls does not take --recursive, which is for cp", dsandbox("session", "ls", "-r").stderr)
        self.assertIn("repl does not take --tty, which is for run, exec", dsandbox("repl", "-it").stderr)


class Meant(Case):
    def test_verbs(self):
        for args, meant in (("rnu", "'run'"), ("sesion", "'session'"), ("docter", "'doctor'"), ("session lss", "'session ls'"),
                            ("session improt", "'session import'"), ("image biuld", "'image build'")):
            done = dsandbox(*args.split())
            self.assertEqual(done.status, 125)
            self.assertIn(f"did you mean {meant}?", done.stderr)

    def test_options(self):
        for argument, meant in (("--memroy=1", "--memory"), ("--time-out", "--timeout"), ("--sesion", "--session"), ("--tpm-size=1", "--tmp-size")):
            done = dsandbox("run", argument, "-c", "1")
            self.assertEqual(done.status, 125)
            self.assertIn(f"did you mean {meant}?", done.stderr)

    def test_nothing_is_near(self):
        for args in (["frobnicate"], ["run", "--frobnicate"], ["x" * 5000], ["run", "--" + "m" * 5000], [""], ["session", ""], ["run", "--="]):
            done = dsandbox(*args)
            self.assertEqual((done.status, "did you mean" in done.stderr), (125, False), done)

    def test_a_value_is_no_option(self):
        self.assertIn("there is no --frob", dsandbox("run", "-c", "--foo", "--frob").stderr)

    def test_a_file_is_to_be_run(self):
        path = WORK.file(b"print(1)")
        self.assertIn(f"to run a file: dsandbox run {path}", dsandbox(path).stderr)


class Completion(Case):
    @classmethod
    def setUpClass(cls):
        """A user whose PATH has our program, and who has no settings."""
        cls.home = WORK.dir("completion", 0o700)
        os.symlink(PROGRAM, f"{cls.home}/dsandbox")
        shutil.copy(f"{COMPLETION}/dsandbox.zsh", f"{cls.home}/_dsandbox")
        cls.env = {**environment(), "PATH": f"{cls.home}:{os.environ['PATH']}", "HOME": cls.home, "INPUTRC": "/dev/null", "TERM": "dumb"}

    def candidates(self, *words):
        done = dsandbox("__complete", *words)
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        return [line.split("\t")[0] for line in done.stdout.splitlines()]

    def test_words(self):
        self.assertEqual(self.candidates("ru"), ["run"])
        self.assertEqual(self.candidates("session", "s"), ["show", "save"])
        self.assertEqual(self.candidates("--json", "-b", "podman", "policy", ""), ["show", "check"])
        self.assertIn("--network=", self.candidates("run", "--net"))
        self.assertEqual(self.candidates("session", "ls", "--net"), [])
        self.assertEqual(self.candidates("run", "--network="), ["--network=none", "--network=full"])
        self.assertEqual(self.candidates("run", "-b", "pod"), ["podman"])
        self.assertEqual(self.candidates("backend", "show", "docker-c"), ["docker-cli"])
        self.assertEqual(self.candidates("policy", "check", ""), [":files"])
        self.assertEqual(self.candidates("run", "--policy=x"), [":files"])
        self.assertEqual(self.candidates("run", "--", "x"), [":files"])
        for nothing in (["frobnicate", ""], ["doctor", ""], ["run", "--frob="], ["session", "frob", ""], ["--memory", ""]):
            self.assertEqual(self.candidates(*nothing), [], nothing)

    def typed(self, argv, ready, line):
        """What a shell on a terminal has made of this line when it is asked to print it in place of running it."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(argv[0], argv, self.env)
        said = b""

        def until(pattern):
            nonlocal said
            end = time.monotonic() + scaled(30)
            while not re.search(pattern, said):
                if not select.select([terminal], [], [], max(end - time.monotonic(), 0))[0]:
                    raise AssertionError(f"no {pattern} in {said}")
                said += os.read(terminal, 4096)
            return re.search(pattern, said)

        try:
            for command in ready:
                os.write(terminal, command.encode() + b"\n")
            until(rb"\nready")
            os.write(terminal, line.encode() + b"\t")
            until(re.escape(line.encode()) + rb"[^\r\n]+ ")  # the shell has put it there
            os.write(terminal, b"\x01echo 'GOT \x05'\n")
            return until(rb"\nGOT ([^\r\n]*)")[1].decode().rstrip()
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)

    def test_bash(self):
        ready = ["PS1='> '", "bind 'set enable-bracketed-paste off'", f". {COMPLETION}/dsandbox.bash", "printf 'rea%s\\n' dy"]
        for line, whole in (("dsandbox policy che", "dsandbox policy check"), ("dsandbox run --backend=pod", "dsandbox run --backend=podman"),
                            ("dsandbox run --backend pod", "dsandbox run --backend podman"), ("dsandbox run --network=fu", "dsandbox run --network=full")):
            self.assertEqual(self.typed(["bash", "--norc", "--noprofile", "-i"], ready, line), whole)

    def test_zsh(self):
        ready = ["PS1='> '", f"fpath=({self.home} $fpath)", "autoload -U compinit", "compinit -u -D", "printf 'rea%s\\n' dy"]
        for line, whole in (("dsandbox policy che", "dsandbox policy check"), ("dsandbox run --backend=pod", "dsandbox run --backend=podman")):
            self.assertEqual(self.typed(["zsh", "-f", "-i"], ready, line), whole)

    def test_fish(self):
        for line, candidates in (("dsandbox policy che", ["check"]), ("dsandbox run --backend=pod", ["--backend=podman"]),
                                 ("dsandbox session s", ["save", "show"])):
            script = f"source {COMPLETION}/dsandbox.fish; complete -C '{line}'"
            done = subprocess.run(["fish", "--no-config", "-c", script], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=scaled(60), check=False)
            self.assertEqual((done.returncode, [row.split("\t")[0] for row in done.stdout.splitlines()]), (0, candidates), done)


CASES = (Help, Options, Meant, Completion)

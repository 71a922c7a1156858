# SPDX-License-Identifier: MIT
"""On a real engine: files into a run and out of it."""
import os
import tempfile

from cli_harness import LONG, WORK, EngineCase
from speed import setting

PNG = b"\x89PNG\r\n\x1a\n"
FIGURES = "import matplotlib.pyplot as plt\nfor n in range(2):\n    plt.plot([n]); plt.show()\nplt.bar([1], [2]);"


class Files(EngineCase):
    def setUp(self):
        self.here = tempfile.mkdtemp(dir=WORK.path)
        os.chmod(self.here, 0o777)  # another user's program writes here

    def write(self, name, text="data"):
        path = os.path.join(self.here, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.here, name), "rb") as file:
            return file.read()

    def found(self, directory):
        return sorted(os.path.relpath(os.path.join(folder, name), os.path.join(self.here, directory))
                      for folder, _, names in os.walk(os.path.join(self.here, directory)) for name in names)

    def out(self, name="out"):
        return ("--out", os.path.join(self.here, name))

    def test_in_and_out(self):
        data, tree = self.write("data.csv"), os.path.dirname(self.write("lib/sub/deep.py", "answer = 42"))
        code = ("import os, sys\nsys.path.insert(0, 'lib/sub')\nimport deep\nopen('made.txt', 'w').write(str(deep.answer))\n"
                "os.makedirs('a/b'); open('a/b/c', 'wb').write(bytes(range(256)) * 1000)\n"
                "print(sorted(os.listdir()), os.access('data.csv', os.W_OK), open('x/y.csv').read())")
        result = self.run_ok(code, "--in", data, "--in", os.path.dirname(tree), "--in", data + ":x/y.csv", *self.out())
        self.assertEqual(result["stdout"], "['a', 'data.csv', 'lib', 'made.txt', 'x'] False data\n")
        self.assertEqual(sorted(row["path"] for row in result["files"]["created"] if "__pycache__" not in row["path"]), ["a/b/c", "made.txt"])
        self.assertEqual([name for name in self.found("out") if "__pycache__" not in name], ["a/b/c", "made.txt"])
        self.assertEqual(self.read("out/made.txt"), b"42")
        self.assertEqual(self.read("out/a/b/c"), bytes(range(256)) * 1000)
        self.assertEqual(self.read("data.csv"), b"data")
        self.assert_clean()

    def test_places(self):
        data = self.write("d.txt")
        for spec, path in (("", "d.txt"), (":e.txt", "e.txt"), (":sub/", "sub/d.txt"), (":/sandbox/f", "f"), (":/sandbox", "d.txt")):
            with self.subTest(spec):
                self.assertEqual(self.run_ok(f"print(open({path!r}).read())", "--in", data + spec)["stdout"], "data\n")
        done = self.dsb("--in", "-:in.txt", "-c", "print(open('in.txt').read())", data=b"from us")
        self.assertEqual(self.result(done)["stdout"], "from us\n", done)

    def test_what_was_changed_comes_out(self):
        data = self.write("d.txt")
        self.run_ok("import os; os.remove('d.txt'); open('d.txt', 'w').write('new')", "--in", data, *self.out())
        self.assertEqual((self.found("out"), self.read("out/d.txt"), self.read("d.txt")), (["d.txt"], b"new", b"data"))

    def test_out_of_a_run_that_fails(self):
        code = "open('part', 'w').write('1'); print('on', flush=True)\n"
        for end, limit, status in (("raise SystemExit(3)", LONG, 3), ("while True: pass", ("--timeout", setting(3)), 124),
                                   ("import os; os.kill(os.getpid(), 9)", LONG, 137)):
            with self.subTest(end):
                name = f"out{status}"
                done = self.dsb(*limit, "-c", code + end, *self.out(name))
                self.assertEqual((done.status, self.found(name)), (status, ["part"]), done)

    def test_hostile_names_and_links(self):
        """What comes out stays in its directory, and nothing of ours is written through a link."""
        victim = self.write("victim", "untouched")
        os.mkdir(os.path.join(self.here, "out"))
        os.chmod(os.path.join(self.here, "out"), 0o777)
        os.symlink(victim, os.path.join(self.here, "out", "taken"))
        os.symlink(self.here, os.path.join(self.here, "out", "dir"))
        code = ("import os\nopen('taken', 'w').write('mine')\nos.symlink('/etc/passwd', 'link')\n"
                "os.mkdir('dir'); open('dir/victim', 'w').write('mine')\nopen(b'\\xff\\n', 'w').write('odd')")
        done = self.dsb("-c", code, *self.out())
        self.assertEqual(self.read("victim"), b"untouched")
        self.assertFalse(os.path.islink(os.path.join(self.here, "out", "taken")))
        self.assertEqual(self.read("out/taken"), b"mine")
        self.assertFalse(os.path.lexists(os.path.join(self.here, "out", "link")))
        self.assertIn("left out: link: a symbolic link", done.stderr)
        self.assertIn("left out: dir/victim: cannot write", done.stderr)
        self.assertEqual(len(self.found("out")), 2, "taken, and the odd one")
        self.assertEqual(done.status, 125, "dir/victim could not come out")

    def test_an_honest_link_is_no_failure(self):
        done = self.dsb("-c", "import os; os.symlink('x', 'link'); open('f', 'w').close()", *self.out())
        self.assertEqual((done.status, self.found("out")), (0, ["f"]), done)

    def test_zeros_take_no_room(self):
        self.run_ok("open('z', 'wb').truncate(500 << 20)", *self.out())
        info = os.stat(os.path.join(self.here, "out", "z"))
        self.assertEqual(info.st_size, 500 << 20)
        self.assertLess(info.st_blocks * 512, 1 << 20)

    def test_what_cannot_be(self):
        """Said before a sandbox is made, and nothing is left."""
        data = self.write("d.txt")
        for args, words in ((("--in", data + "x"), "d.txtx: cannot be read"), (("--in", data + ":../up"), "below /sandbox"),
                            (("--in", data + ":"), "SRC or SRC:DEST"), (("--in", ":x"), "SRC or SRC:DEST"), (("--in", "-"), "--in -:NAME"),
                            (("--out", data), "Not a directory"), (("--out", data + "/x"), "cannot be made"), (("--figures", data), "Not a directory"),
                            (("--in", data, "--session", "s1"), "dsandbox cp SRC s1:PATH"), (("--out", self.here, "--session", "s1"), "dsandbox cp")):
            with self.subTest(args):
                done = self.dsb("-c", "print(1)", *args)
                self.assertEqual((done.status, self.result(done)["stdout"]), (125, ""), done)
                self.assertIn(words, done.stderr)
        done = self.dsb("--in", "-:x", data=b"print(1)")
        self.assertIn("standard input is the code", done.stderr)

    def test_more_than_the_disk_limit(self):
        done = self.dsb("-c", "print(1)", "--disk", "1MiB", "--in", self.write("large", "x" * (3 << 20)))
        failure = self.result(done)["failure"]
        self.assertEqual((done.status, failure["code"]), (125, "limit"), done)
        self.assertIn("do not fit", failure["message"])
        self.assert_clean()

    def test_figures(self):
        for args in ((), ("--session", "figures")):
            with self.subTest(args):
                name = "f" + str(len(args))
                self.run_ok(FIGURES, "--figures", os.path.join(self.here, name), *args)
                self.assertEqual(self.found(name), ["figure-1.png", "figure-2.png", "figure-3.png"])
                for file in self.found(name):
                    self.assertTrue(self.read(f"{name}/{file}").startswith(PNG), file)
        svg = os.path.join(self.here, "svg")
        self.run_ok("import matplotlib.pyplot as plt; plt.plot([1]);", "--env", "DSANDBOX_FIGURES=svg", "--figures", svg)
        self.assertEqual(self.found("svg"), ["figure-1.png", "figure-1.svg"])
        self.assertIn(b"<svg", self.read("svg/figure-1.svg"))

    def test_a_command(self):
        done = self.dsb("--in", self.write("d.txt"), *self.out(), "--", "sh", "-c", "cp d.txt copy")
        self.assertEqual((done.status, self.found("out"), self.read("out/copy")), (0, ["copy"], b"data"), done)


CASES = (Files,)

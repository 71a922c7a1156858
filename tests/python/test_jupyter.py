#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The Jupyter kernel: what of a sandbox's output it hands on, and, with an engine, notebooks/suite_*.py, which speak to it as Jupyter
does, beside the parts of Jupyter that notebooks/requirements.txt pins. Environment and last line as in test_package.py.
"""
import html.parser
import json
import os
import random
import subprocess
import sys
import time

from common import PACKAGE, TOP, Case
import example_names
from dsandbox.jupyter import output
from pinned import Environment, SuiteCase
from speed import scaled

NOTEBOOKS = Environment("notebooks")


class Suite(SuiteCase):
    environment = NOTEBOOKS

    def test_kernel(self):
        self.suite("kernel", 11)

    def test_life(self):
        self.suite("life", 15)

    def test_notebook(self):
        self.suite("notebook", 5)


class Example(Case):
    def test_all_are_run(self):
        """By suite_notebook.py."""
        with open(os.path.join(NOTEBOOKS.suites, "suite_notebook.py"), encoding="utf-8") as file:
            text = file.read()
        names = example_names.notebooks(os.path.join(TOP, "examples"))
        self.assertTrue(names)
        for name in names:
            self.assertIn(f"examples/{name}.ipynb", text)


class Types(SuiteCase):
    environment = NOTEBOOKS

    def test_pyright(self):
        self.pyright("jupyter")


class Output(Case):
    """A page runs what is in a notebook's outputs: nothing of a sandbox may do more there than be looked at."""

    def test_html(self):
        table = '<table border="1" class="dataframe">\n<tr><td rowspan="2">a &lt; b</td></tr></table>'
        self.assertEqual(output.safe_html(table), table)
        for given, made in (
            ("<script>alert(1)</script>after", "after"), ("<SCRIPT src=//x>a</SCRIPT >b", "b"), ("<style>td {}</style><b>x</b>", "<b>x</b>"),
            ("<b onclick=alert(1) style='x' title=\"a'b\">x", '<b title="a&#x27;b">x</b>'), ("<img src=x onerror=alert(1)>", "<img>"),
            ("<img src=http://x/?secret>", "<img>"), ('<img src="data:image/svg+xml;base64,AAAA">', "<img>"),
            ('<img width=3 src="data:image/png;base64,AAAA">', '<img width="3" src="data:image/png;base64,AAAA">'),
            ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"), ("<a href='&#106;avascript:alert(1)'>x</a>", "<a>x</a>"),
            ("<a href=' https://x'>x</a>", "<a>x</a>"), ("<a href='https://x/?a&amp;b'>x</a>", '<a href="https://x/?a&amp;b">x</a>'),
            ("<svg><script>1</script></svg>x", "x"), ("<iframe srcdoc='<script>1</script>'></iframe>x", "&lt;iframe srcdoc=''&gt;x"),
            ("<!-- <b> --><i>x</i><!-- ", "<i>x</i>"), ("a < b > c", "a &lt; b &gt; c"), ("</div></table>x", "x"), ("<b><i>x</b>y", "<b><i>x</i></b>y"),
            ("<custom-tag data-commandlinker-command='x'>y</custom-tag>", "y"),
            ("<b class='jp-x dataframe'>x</b>", '<b class="dataframe">x</b>'), ("<base href=//x><link href=//x><meta x>y", "y"),
            ("<scr<script>1</script>ipt>alert(1)</script>", "&lt;script&gt;alert(1)"), ("<noscript><b title='</noscript><img onerror=1>'>", "<img>'&gt;"),
            ("<form action=//x><input name=a><button>b</button></form>", "b"), ("<b/onclick=1>x", "<b>x</b>"), ("<textarea><b>", ""),
        ):
            with self.subTest(given):
                said = output.safe_html(given)
                self.assertEqual(said, made)
                self.assertNotRegex(said.lower(), r"<[^>]*(script|on\w+=|style|srcdoc|javascript)")

    def test_html_by_chance(self):
        """A reader that is not ours finds nothing in it but what may be there, whatever pieces it was made of."""
        pieces = ["<", ">", "/", '"', "'", "=", " ", "\n", "\0", "&lt;", "&#x3c;", "&quot;", "<!--", "-->", "<!", "<?", "]]>", "<![CDATA[", "--!>", "<b ", "</b>",
                  "<script>", "</script", "<style>", "</style>", "<svg>", "<math><mi>", "<img ", "src=", "href=", "onerror=x", "javascript:a", "<a ", "<table>",
                  "<td ", "class=dataframe", "<textarea>", "</textarea>", "<title>", "<noscript>", "<plaintext>", "<iframe ", "srcdoc=", "style=", "`", "x", "<p>",
                  "data:image/png;base64,AA==", "data:text/html,x", "http://x", "<details open>", "<template>", "<select>", "<xmp>", "</p>", "<b title=",
                  "<i alt='", "<li/onclick=x>", "\x0c"]
        allowed = {"src": output.PICTURE, "href": output.LINK}
        case, tags, chance = self, [], random.Random(7)

        class Reader(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                tags.append(tag)
                case.assertIn(tag, output.TAGS)
                for name, value in attrs:
                    case.assertTrue(name in output.ATTRIBUTES or (name, value) == ("class", "dataframe"), (name, value))
                    if name in allowed:
                        case.assertRegex(value, allowed[name])

            def handle_comment(self, data):
                case.fail(f"a comment: {data}")

            handle_decl = handle_pi = unknown_decl = handle_comment

        for _ in range(20000):
            given = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 30)))
            with self.subTest(given):
                reader = Reader()
                reader.feed(output.safe_html(given))
                reader.close()
        self.assertGreater(len(tags), 3000)

    def test_html_of_any_size(self):
        for piece in ("<b>", "<", "<b ", "<!--", "<b a='", 'a="', "<b a=b", "</b>", "<script>", "<a " + "x" * 50, "&", "a=", "<b " + "=" * 50, "<table><tr>"):
            with self.subTest(piece):
                began = time.monotonic()
                said = output.safe_html(piece * (output.HTML_MAX // len(piece)))
                self.assertLess(time.monotonic() - began, scaled(5))
                self.assertLess(said.count("<b>"), output.DEPTH_MAX + 1)

    def test_bundles(self):
        def made(**data):
            return output.bundle({key.replace("_", "/", 1).replace("_", "+"): value for key, value in data.items()})

        self.assertEqual(made(text_plain="a\x1b]0;title\x07b\x1b[31mc\x1b[2J\x9b1m"), {"text/plain": "a]0;titleb\x1b[31mc[2J1m"})
        self.assertEqual(made(text_plain="x", application_javascript="1", text_vnd="x"), {"text/plain": "x"})
        self.assertEqual(made(image_png='AA=="><script>', text_plain="x"), {"text/plain": "x"})
        self.assertEqual(made(image_png="AA==\n", image_svg_xml="<svg/>", text_plain="x"), {"image/png": "AA==\n", "text/plain": "x"})
        self.assertEqual(made(image_svg_xml="<svg/>")["text/html"], '<img src="data:image/svg+xml;base64,PHN2Zy8+">')
        self.assertEqual(made(text_markdown="**a** [b](https://c)")["text/markdown"], "**a** [b](https://c)")
        for active in ("<b>", "[a](javascript:1)", "![a](https://b)", "[a](&#106;avascript:1)", "[a](java\\script:1)", "[a]: data:text/html,1"):
            self.assertEqual(made(text_markdown=active), {"text/plain": active})
        self.assertEqual(made(text_latex="$\\frac{1}{2}$", text_plain="x")["text/latex"], "$\\frac{1}{2}$")
        for active in ("$\\href{javascript:1}{a}$", "$\\ href{}$", "$\\HTML{}$", "$\\class{a}{b}$", "a < b"):
            self.assertNotIn("text/latex", made(text_latex=active))
        self.assertEqual(made(application_json={"a": [1]}), {"text/plain": "", "application/json": {"a": [1]}})
        self.assertNotIn("text/html", made(text_html="x" * (output.HTML_MAX + 1)))
        self.assertEqual(made(text_html="<b>$x{}$")["text/html"], '<div class="tex2jax_ignore mathjax_ignore"><b>$x{}$</b></div>')
        self.assertEqual(output.bundle({"text/html": "<script>"}, trust=True), {"text/plain": "", "text/html": "<script>"})

    def test_a_terminals_commands(self):
        stream = output.Stream()
        text = "a\x1b[31mb\x1b[0m\r\x1b[A\x1b[Kc\x1b]52;c;eA==\x07\x1b[?1049h\td\x08e\x00\x85\n\x1b[1;31mf\x1bPq\x1b\\"
        wanted = "a\x1b[31mb\x1b[0m\r\x1b[A\x1b[Kc]52;c;eA==[?1049h\td\x08e\n\x1b[1;31mfPq\\"
        self.assertEqual(output.clean(text), wanted)
        self.assertEqual("".join(stream.feed(character) for character in text), wanted)
        self.assertEqual(output.lines("a\nb\x1b[2J\n"), ["a", "b[2J"])
        self.assertEqual((len(output.lines("a\n" * 10 ** 6)), len("".join(output.lines("a" * 10 ** 6)))), (output.LINES_MAX, output.TEXT_MAX))


class Without(Case):
    """What can be said without Jupyter."""

    def call(self, *words, **env):
        done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {PACKAGE!r})\nfrom dsandbox.jupyter.__main__ import main\n"
                               "main(sys.argv[1:])", *words], env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    def test_words(self):
        status, said = self.call("-f", self.path("connection.json"))
        self.assertEqual(status, 1)
        self.assertRegex(said, r"No module named 'ipykernel'; pip install 'dsandbox\[jupyter\]'")
        self.assertIn("--memory", self.call("options")[1])
        self.assertIn("$DSANDBOX_JUPYTER has something that is no option of the sandbox: x", self.call("-f", "a", DSANDBOX_JUPYTER="--memory 1GiB x")[1])
        self.assertIn("--set a: KEY=VALUE", self.call("--set", "a")[1])
        self.assertIn("policy file", self.call("--policy", self.path("none.json"))[1])

    def test_settings(self):
        from dsandbox.jupyter.options import read
        with open(self.path("policy.json"), "w", encoding="utf-8") as file:
            json.dump({"memory": "256MiB"}, file)
        os.environ["DSANDBOX_JUPYTER"] = "--memory 1GiB --cpus 2 --set tmp_exec=true --allow-unenforced memory"
        self.addCleanup(os.environ.pop, "DSANDBOX_JUPYTER")
        settings, rest = read(["-f", "a.json", "--memory", "2GiB", "--set", "pids=64", "--debug"])
        self.assertEqual(rest, ["-f", "a.json", "--debug"])
        self.assertEqual(settings.options.settings, {"memory": "2GiB", "cpus": "2", "tmp_exec": "true", "pids": "64"})
        self.assertEqual((settings.options.allow_unenforced, settings.timeout, settings.idle_timeout), (["memory"], "1h", "24h"))
        settings, _ = read(["--policy", self.path("policy.json")])
        self.assertEqual((settings.options.policy, settings.timeout, settings.life_time), ({"memory": "256MiB"}, None, None))


if __name__ == "__main__":
    NOTEBOOKS.run(beside=3)  # they wait most of the time

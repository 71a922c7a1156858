#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What is shown: figures, values, display(), as a notebook shows them. Each case says every entry of the results in its order,
one-shot and in a session. Environment, arguments and last line as in tests/cli/cli_harness.py.
"""
import base64
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../cli"))
import cli_harness  # noqa: E402
from cli_harness import SETUP  # noqa: E402
from session_harness import SessionCase, dsb  # noqa: E402
from speed import scaled, setting  # noqa: E402

LIMIT = 240  # seconds, of one run; a machine may be slow
PLT = "import matplotlib.pyplot as plt\n"
PICTURE = "picture"


def size_of(png):
    data = base64.b64decode(png)
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND", "a whole picture"
    return struct.unpack(">II", data[16:24])


def entries(result):
    """What the results are: PICTURE, or the plain text."""
    return [PICTURE if "image/png" in r and size_of(r["image/png"]) else r.get("text/plain") for r in result["results"]]


class Case(SessionCase):
    def ours(self, code, *options, session=None):
        where = ["--session", session] if session else []
        timeout = [] if "--timeout" in options else ["--timeout", "120s"]
        done = dsb("run", "--json", *self.settings(), *timeout, *where, *options, "-c", code, limit=LIMIT)
        result = self.result(done)
        self.assertIsNone(result["failure"], done)
        return result

    def both(self, code, *options):
        """The result of a one-shot run and of an execution in a session."""
        name = self.s + "-both"
        yield "one-shot", self.ours(code, *options)
        yield "session", self.ours(code, *options, session=name)
        dsb("session", "rm", "--files", name)

    def shows(self, code, expected, *options, **more):
        for way, result in self.both(code, *options):
            with self.subTest(way):
                self.assertEqual(entries(result), expected, result["stderr"])
                self.assertEqual({k: result[k] for k in ("status", "stdout", "stderr")}, {"status": "ok", "stdout": "", "stderr": "", **more})


class Figures(Case):
    def test_show_delivers_and_begins_anew(self):
        self.shows(PLT + "plt.plot([1, 2, 3]); plt.show()\nplt.bar(['a', 'b'], [3, 4]); plt.show()\nprint(plt.get_fignums())",
                   [PICTURE, PICTURE], stdout="[]\n")

    def test_show_then_close_in_a_loop(self):
        self.shows(PLT + "for k in range(3):\n    fig, ax = plt.subplots()\n    ax.plot([k, k + 1])\n    plt.show()\n    plt.close(fig)",
                   [PICTURE] * 3)

    def test_agg_by_name_and_open_figures(self):
        self.shows("import matplotlib\nmatplotlib.use('Agg')\n" + PLT + "plt.plot([1]); plt.show()\nplt.figure(); plt.plot([2]);",
                   [PICTURE, PICTURE])

    def test_order(self):
        self.shows(PLT + "display('a'); fig, ax = plt.subplots(); ax.plot([1]); display(fig); display('b')\n"
                   "plt.figure(); plt.plot([2]); plt.show(); display('c')\nplt.plot([3, 4])\n7",
                   ["'a'", PICTURE, "'b'", PICTURE, "'c'", PICTURE, "7"])

    def test_the_same_figure_is_shown_once(self):
        figure = PLT + "fig, ax = plt.subplots(); ax.plot([1])\n"
        self.shows(figure + "display(fig); plt.show()", [PICTURE])
        self.shows(figure + "display(fig); display(fig)", [PICTURE])
        self.shows(figure + "fig", [PICTURE])
        self.shows(figure + "plt.show()\nfig", [PICTURE, "<Figure size 640x480 with 1 Axes>"])
        self.shows(figure + "display(fig); ax.set_title('other'); display(fig)", [PICTURE, PICTURE])

    def test_figure_as_the_last_value_of_a_later_execution(self):
        name = self.s + "-later"
        self.assertEqual(entries(self.ours(PLT + "fig, ax = plt.subplots(); ax.plot([1, 2, 3]);", session=name)), [PICTURE])
        self.assertEqual(entries(self.ours("ax.set_title('now with a title')\nfig", session=name)), [PICTURE])
        self.assertEqual(entries(self.ours("display(fig)", session=name)), [PICTURE])
        self.assertEqual(entries(self.ours("plt.get_fignums()", session=name)), ["[]"])

    def test_nothing_but_a_background_is_text(self):
        self.shows(PLT + "import pandas as pd\nplt.figure(figsize=(10, 6))\npd.DataFrame({'a': [1, 2]}).plot()\nplt.show()",
                   ["<Figure size 1000x600 with 0 Axes>", PICTURE])

    def test_block_false_and_pause_leave_it_open(self):
        self.shows(PLT + "plt.plot([1]); plt.show(block=False)\nplt.pause(0.01)\nprint(plt.get_fignums())", [PICTURE], stdout="[1]\n")

    def test_drawing_does_not_touch_the_program(self):
        self.shows(PLT + "import warnings\nfrom matplotlib.ticker import FuncFormatter\nwarnings.simplefilter('error')\nn = 0\n"
                   "fig, ax = plt.subplots(); ax.plot([1, 2])\nax.xaxis.set_major_formatter(FuncFormatter(lambda v, p: print('tick') or 't'))\n"
                   "def drawn(e):\n    global n\n    n += 1\n    print('drawn')\nfig.canvas.mpl_connect('draw_event', drawn)\n"
                   "ax.set_title('\\U00010380', family='no such font')\nplt.show()\nprint(n)",
                   [PICTURE], stdout="0\n")

    def test_signals_and_children_are_the_programs(self):
        self.shows(PLT + "import os, signal\nsignal.signal(signal.SIGCHLD, lambda *_: print('child'))\nplt.plot([1]); plt.show()\n"
                   "try:\n    os.wait()\nexcept ChildProcessError:\n    print('none')", [PICTURE], stdout="none\n")

    def test_a_figure_that_fails_says_why(self):
        code = PLT + "plt.plot([1]); plt.show()\nplt.title('$\\\\bad{$'); plt.show()\nplt.plot([2]); plt.show()"
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stderr"]), ("ok", ""))
                self.assertEqual([PICTURE, PICTURE], entries(result)[::2])
                self.assertIn("Traceback", entries(result)[1])
                self.assertIn("ValueError", entries(result)[1])
                self.assertNotIn("/opt/dsandbox", entries(result)[1])
                reason = "drawing failed: " + entries(result)[1].rstrip().rpartition("\n")[2][:200]
                self.assertEqual([(o["count"], o["reason"]) for o in result["results_omitted"]], [(1, reason)])
        done = dsb("run", *self.settings(), "--timeout", "120s", "--session", self.s, "-c", code, limit=LIMIT)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "", f"dsandbox: 1 result is missing: {reason}\n"))

    def test_without_a_tight_box_where_it_fails(self):
        self.shows(PLT + "from matplotlib.figure import Figure\nfig = plt.figure(); fig.add_subplot()\n"
                   "fig.get_tightbbox = None\nplt.show()", [PICTURE])

    def test_a_drawing_that_ends_its_process(self):
        code = PLT + ("import os\nfor k in range(3):\n    fig, ax = plt.subplots(); ax.plot([k])\n"
                      "    if k == 1: fig.canvas.mpl_connect('draw_event', lambda e: os._exit(3))\nplt.show()\nprint('on')")
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stdout"]), ("ok", "on\n"))
                self.assertEqual([PICTURE, PICTURE], entries(result)[::2])
                self.assertIn("not drawn", entries(result)[1])

    def test_glyphs_for_fonts_that_the_program_chose(self):
        """As after seaborn.set_theme(): two characters of Chinese are two pictures, not twice the box of what is missing."""
        for chosen in ("plt.rcParams.update({'font.family': ['sans-serif'], 'font.sans-serif': ['Arial', 'DejaVu Sans', 'sans-serif']})\n",
                       "plt.rcParams['font.family'] = 'DejaVu Serif'\n"):
            code = PLT + chosen + "before = dict(plt.rcParams)\nfor c in '\u4f60\u597d':\n    plt.figure(); plt.title(c); plt.show()\n"
            for way, result in self.both(code + "print(before == dict(plt.rcParams))"):
                with self.subTest(chosen, way=way):
                    self.assertEqual((result["stdout"], result["stderr"], entries(result)), ("True\n", "", [PICTURE] * 2))
                    self.assertEqual(len({made["image/png"] for made in result["results"]}), 2)

    def test_many_big_pictures_come_smaller(self):
        code = PLT + ("import numpy as np\nrng = np.random.default_rng(0)\nfor i in range(6):\n"
                      "    plt.figure(figsize=(8, 8)); plt.imshow(rng.random((700, 700, 3)), interpolation='nearest')")
        for way, result in self.both(code + "\nNone", "--memory", "1GiB"):
            with self.subTest(way):
                self.assertEqual(entries(result), [PICTURE] * 6)

    def test_one_big_picture_comes_smaller(self):
        """A figure with fewer dots, and so a picture of the code's own; which, the entry says."""
        noise = "import numpy as np\nnoise = np.random.default_rng(0).integers(0, 256, (1200, 1400, 3), 'uint8')\n"
        figure = noise + PLT + "plt.figure(figsize=(14, 12)); plt.axes((0, 0, 1, 1)).imshow(noise, interpolation='nearest'); plt.axis('off')\nNone"
        own = noise + ("from PIL import Image\nimport io\nclass Chart:\n    def __repr__(self): return 'a chart'\n    def _repr_png_(self):\n"
                       "        out = io.BytesIO(); Image.fromarray(noise).save(out, 'PNG'); return out.getvalue()\n")
        for code, count, words in ((figure, 1, r"\([0-9.]+ instead of 100 dots"), (own + "display(Chart())\nChart()", 2,
                                                                               r"a chart \(\d+ x \d+ instead of 1400 x 1200: it was too big\)")):
            for way, result in self.both(code, "--memory", "1GiB"):
                with self.subTest(words, way=way):
                    self.assertEqual((result["status"], result["stderr"], entries(result)), ("ok", "", [PICTURE] * count))
                    for made in result["results"]:
                        self.assertRegex(made["text/plain"], words)
                        self.assertGreater(size_of(made["image/png"])[0], 300)
                        self.assertLessEqual(len(made["image/png"]), 6 << 20)
                    self.assertEqual(result["results_omitted"], [])

    def test_a_big_picture_that_nobody_can_read(self):
        code = "class Chart:\n    def __repr__(self): return 'a chart'\n    def _repr_png_(self): return bytes(5 << 20)\ndisplay(Chart())\nprint('on')"
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stdout"], entries(result)), ("ok", "on\n", ["a chart"]))
                self.assertEqual([(o["count"], o["reason"]) for o in result["results_omitted"]],
                                 [(1, "a value of type image/png has more than 4 MiB")])

    def test_no_process_for_drawing(self):
        code = PLT + ("import os, resource\nplt.plot([1])\nresource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
                      "def no(): raise BlockingIOError(11, 'none')\nos.fork = no\nplt.show()\nprint('on')")
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stdout"], result["stderr"]), ("ok", "on\n", ""))
                self.assertIn("not drawn", entries(result)[0])
                self.assertEqual(sum(o["count"] for o in result["results_omitted"]), 1)


class Budget(Case):
    SLOW = PLT + ("import time\nclass Slow:\n    def __call__(self, *_): time.sleep(600)\n"
                  "def figure(slow):\n    fig, ax = plt.subplots(); ax.plot([1])\n"
                  "    if slow: fig.canvas.mpl_connect('draw_event', lambda e: time.sleep(600))\n")

    def test_memory_of_a_drawing_is_not_the_programs(self):
        code = PLT + "fig, ax = plt.subplots(figsize=(24, 18), dpi=600)\nax.plot([1, 2, 3])\nplt.show()\nprint('done')"
        for way, result in self.both(code, "--memory", "256MiB"):
            with self.subTest(way):
                self.assertEqual((result["status"], result["exit_code"], result["stdout"]), ("ok", 0, "done\n"))
                self.assertEqual(entries(result), [PICTURE])
                if "memory" not in self.allow:  # else there is no limit, and it is drawn as it is
                    self.assertIn("out of memory", result["results"][0]["text/plain"])

    def test_what_takes_long(self):
        """All at once, since most of it is waiting."""
        without_end = self.SLOW + "figure(False); figure(True); figure(False)\nprint('over')\nNone"
        waits = PLT + ("import time\nfig, ax = plt.subplots(); ax.plot([1])\n"
                       "fig.canvas.mpl_connect('draw_event', lambda _: time.sleep(33));")
        computes = PLT + ("def spin(_):\n    while True: pass\n"
                          "fig, ax = plt.subplots(); ax.plot([1]); fig.canvas.mpl_connect('draw_event', spin);")
        asks = ("import gc, struct\nfor o in gc.get_objects():\n    if type(o).__name__ == 'Report': o.memory[8:16] = b'\\xff' * 8\n"
                "while True: pass")
        name = self.s + "-slow"
        with ThreadPoolExecutor() as pool:
            at_once = [(check, pool.submit(self.ours, code, "--timeout", limit, session=session)) for check, code, limit, session in (
                (self.check_drawing_without_end, without_end, setting(20), None), (self.check_drawing_without_end, without_end, setting(20), name),
                (self.check_waits, waits, setting(60), None), (self.check_computes, computes, setting(60), None), (self.check_asks, asks, "2s", None))]
        for check, done in at_once:
            with self.subTest(check.__name__):
                check(done.result())
        result = self.ours("plt.get_fignums()", session=name)
        self.assertEqual((result["status"], entries(result)), ("ok", ["[]"]), "nothing is drawn again")

    def check_drawing_without_end(self, result):
        """The code is over long before its limit; the drawing passes it, and is ended."""
        self.assertEqual((result["status"], result["exit_code"], result["stdout"]), ("ok", 0, "over\n"))
        self.assertEqual(entries(result)[0], PICTURE)
        self.assertIn("not drawn: drawing took too long", entries(result)[1])
        self.assertIn("not drawn", entries(result)[2])
        self.assertEqual(sum(o["count"] for o in result["results_omitted"]), 2)

    def check_waits(self, result):
        """As where other programs have the processors."""
        self.assertEqual((result["status"], entries(result)), ("ok", [PICTURE]))

    def check_computes(self, result):
        """It is ended by what it has computed."""
        self.assertEqual(result["status"], "ok")
        self.assertIn("not drawn: drawing took too long", entries(result)[0])

    def check_asks(self, result):
        """Code that says that it draws has no more time than drawing may take."""
        self.assertEqual(result["status"], "timeout")
        self.assertLess(result["usage"]["wall_ms"], 1000 * scaled(30))


class Values(Case):
    def test_semicolon(self):
        self.shows("1;", [])
        self.shows("(1,\n 2)  ;  # not shown", [])
        self.shows("'a;b'", ["'a;b'"])
        self.shows("x = 'é'; x", ["'é'"])
        self.shows("x = 'é'; x;", [])
        self.shows("x = 1;", [])

    def test_mimebundle(self):
        code = ("class Chart:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
                "        return {'text/html': '<b>x</b>', 'application/vnd.plotly.v1+json': {'data': []}}\n"
                "    def _repr_html_(self): return 'not this'\nChart()")
        for way, result in self.both(code):
            with self.subTest(way):
                made = result["results"][0]
                self.assertEqual((made["text/html"], made["application/vnd.plotly.v1+json"]), ("<b>x</b>", {"data": []}))
                self.assertIn("Chart object", made["text/plain"])

    def test_styler(self):
        """The table as HTML, wherever the execution shows it; and what its text/plain is to a notebook."""
        code = ("import pandas as pd\nstyled = pd.DataFrame({'a': [1, 2], 'b': [0.5, None]}).style.set_uuid('u').format(precision=2, na_rep='-')"
                ".highlight_max(color='#ff0000').set_caption('Table & more')\ndisplay(styled)\nstyled")
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stdout"], result["stderr"]), ("ok", "", ""))
                self.assertEqual(len(result["results"]), 2)
                for made in result["results"]:
                    self.assertEqual(set(made), {"text/plain", "text/html"})
                    self.assertRegex(made["text/plain"], r"^<pandas\.io\.formats\.style\.Styler object at 0x[0-9a-f]+>$")
                    for part in ('<table id="T_u">', "background-color: #ff0000", ">0.50</td>", ">-</td>", "Table & more"):
                        self.assertIn(part, made["text/html"])

    def test_nothing_is_asked_of_the_object(self):
        self.shows("class V:\n    def __getattr__(self, name):\n        print('asked', name)\n        raise AttributeError(name)\n"
                   "    def __repr__(self): return 'V'\ndisplay(V())\nV()", ["V", "V"])

    def test_ipython_display(self):
        self.shows("class D:\n    def _ipython_display_(self): display('itself')\ndisplay(D())\nD()", ["'itself'", "'itself'"])

    def test_from_ipython(self):
        code = ("from IPython.display import display, HTML, Image, Markdown, SVG, clear_output\nimport IPython\n"
                "assert IPython.get_ipython() is None\ndisplay('gone'); clear_output(wait=True)\n"
                "display(HTML('<b>h</b>'), Markdown('*m*'))\nh = display(HTML('first'), display_id=True); h.update(HTML('second'))\n"
                "display({'text/html': 'raw'}, raw=True)\n" + PLT + "plt.plot([1]); plt.savefig('f.png'); plt.close()\nImage('f.png')")
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual((result["status"], result["stderr"]), ("ok", ""))
                self.assertEqual([r.get("text/html") or r.get("text/markdown") for r in result["results"]],
                                 ["<b>h</b>", "*m*", "second", "raw", None])
                self.assertTrue(size_of(result["results"][-1]["image/png"]))

    def test_no_other_ipython(self):
        self.shows("import sys, importlib.util\nprint('IPython' in sys.modules)\ntry:\n    import IPython.terminal\n"
                   "except ModuleNotFoundError as e:\n    print(e.name)", [], stdout="False\nIPython.terminal\n")

    def test_big_values_stop_early(self):
        code = ("class Counted:\n    n = 0\n    def __repr__(self):\n        Counted.n += 1\n        return 'x' * 1000\n"
                "display({i: Counted() for i in range(100000)})\nprint(Counted.n < 200)")
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual(result["stdout"], "True\n")
                self.assertTrue(65536 <= len(result["results"][0]["text/plain"]) <= 65537)

    def test_text_is_that_of_repr(self):
        values = ("[]", "[1, [2, (3,), ()], {4}, {'a': {'b': b'c'}}, frozenset({1}), frozenset(), set()]", "(1,)", "{1: 2, None: 'x'}",
                  "[x, x]", "[[[[[[1]]]]]]")
        code = "x = [1]; y = [x]; y.append(y)\n" + "".join([f"display({v}); display(type('R', (), {{'__repr__': lambda s: repr({v})}})())\n"
                                                           for v in values + ("y", "{1: y}")])
        for way, result in self.both(code):
            with self.subTest(way):
                texts = entries(result)
                self.assertEqual(len(texts), 2 * (len(values) + 2))
                self.assertEqual(texts[::2], texts[1::2])

    def test_what_is_left_out_is_said(self):
        code = "class J:\n    def _repr_html_(self): return 'x' * (3 << 20)\nfor _ in range(4): display(J())"
        for way, result in self.both(code):
            with self.subTest(way):
                self.assertEqual(["text/html" in r for r in result["results"]], [True, True, False, False])
                self.assertEqual([o["count"] for o in result["results_omitted"]], [2])
                self.assertIn("room", result["results_omitted"][0]["reason"])


class Habits(Case):
    def test_await(self):
        name = self.s + "-await"
        result = self.ours("import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\nx = await f(3)\nawait f(x + 1)", session=name)
        self.assertEqual((result["status"], entries(result)), ("ok", ["4"]))
        result = self.ours("async with asyncio.timeout(5):\n    y = [await f(i) async for i in (f for f in ())] if False else await f(5)\ny", session=name)
        self.assertEqual(result["status"], "ok", result["stderr"])
        self.assertEqual(entries(result), ["5"])
        result = self.ours("async def g():\n    1 / 0\nawait g()", session=name)
        self.assertEqual(result["error"]["name"], "ZeroDivisionError")
        self.assertNotIn("/opt/dsandbox", result["stderr"])
        self.assertNotIn("asyncio", result["stderr"])
        self.assertEqual(self.ours("await f(1)")["error"]["name"], "SyntaxError", "a program is no notebook")

    def test_tasks_without_await(self):
        """A notebook's loop always runs; here a task is made in one execution and goes on in those that await."""
        name = self.s + "-tasks"
        result = self.ours("import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01)\n    return n * 2\n"
                           "one = asyncio.create_task(f(1))\nmore = [asyncio.ensure_future(f(n)) for n in (2, 3)]\nlen(more)", session=name)
        self.assertEqual((result["status"], entries(result), result["stderr"]), ("ok", ["2"], ""))
        result = self.ours("one.done(), await one, await asyncio.gather(*more)", session=name)
        self.assertEqual((result["status"], entries(result)), ("ok", ["(False, 2, [4, 6])"]), result["stderr"])
        result = self.ours("\"\"\"Text.\"\"\"\nfrom __future__ import annotations\nasyncio.create_task(f(4))\n1 / 0", session=name)
        self.assertEqual(result["error"]["name"], "ZeroDivisionError")
        self.assertRegex(result["stderr"], r'^Traceback [^\n]+\n  File "<execution 3>", line 4, in <module>\n    1 / 0\n')
        # As in a program, and not as in a notebook, where a loop runs already.
        result = self.ours("async def main():\n    return await asyncio.create_task(f(5))\nasyncio.run(main())", session=name)
        self.assertEqual((result["status"], entries(result)), ("ok", ["10"]), result["stderr"])
        result = self.ours("def start(): return asyncio.create_task(f(6))\nasync def main(): return await start()\nasyncio.run(main())",
                           session=name)
        self.assertEqual((result["status"], entries(result)), ("ok", ["12"]), result["stderr"])

    def test_lines_of_ipython(self):
        for code, word in (("x = 1\n!ls -l", "subprocess.run"), ("%matplotlib inline\nx = 1", "figures are shown without it"),
                           ("files = !ls", "subprocess.run"), ("!pip install x", "packages"), ("%%timeit\n1", "timeit"), ("print?", "help()")):
            for way, result in self.both(code):
                with self.subTest(code, way=way):
                    self.assertEqual((result["status"], result["exit_code"], result["error"]["name"]), ("error", 1, "SyntaxError"))
                    self.assertIn(word, result["error"]["value"])
        for way, result in self.both("x = 5 %\n"):
            with self.subTest(way):
                self.assertTrue(result["error"]["value"].startswith("invalid syntax"), "Python's own words")


if __name__ == "__main__":
    if not SETUP:
        sys.exit("test_figures.py: needs an engine: DSB_TEST_SETUP and the others, or sh tests/fidelity/run.sh")
    cli_harness.main([Figures, Budget, Values, Habits])

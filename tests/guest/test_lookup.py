#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an editor asks of a session, completion and inspection: right, bounded, and without a trace in the session."""
import time
import unittest

from guest_client import as_process, namespaces, once, scaled
from test_session import Base
import runner

HOSTILE = """
import os, sys, time
class Hangs:
    def __dir__(self):
        while True: pass
class Leaves:
    def __dir__(self): os._exit(0)
class Dies:
    def __dir__(self): os.kill(os.getpid(), 9)
class Lies:
    def __dir__(self): return [1, None, b'x', 'a b', 'good', 'good' * 100, '\\ud800', 'x\\ny', '_own']
class Says:
    def __init__(self): self.seen = []
    @property
    def part(self):
        global touched
        touched = 1
        self.seen.append(1)
        print('printed'); sys.stderr.write('printed'); open('/dev/stdout', 'w').write('printed')
        return self
    def method(self): pass
    def __getattr__(self, name): raise KeyboardInterrupt
    def __repr__(self): return 'r' * 10 ** 6
class Floods:
    __doc__ = 'd' * 10 ** 6
    def __dir__(self): return ('n%06d' % i for i in range(10 ** 9))
class Keys(dict):
    def keys(self): return (str(i) for i in range(10 ** 9))
hangs, leaves, dies, lies, says, floods, keys = Hangs(), Leaves(), Dies(), Lies(), Says(), Floods(), Keys()
"""


class Lookup(Base):
    def complete(self, s, code, cursor=None):
        answer = s.control(op="complete", code=code, cursor=str(len(code) if cursor is None else cursor), detail="0")
        self.assertEqual(set(answer), {"matches", "start", "end", "truncated"}, answer)
        return answer

    def names(self, s, code, **how):
        return self.complete(s, code, **how)["matches"]

    def inspect(self, s, code, cursor=None, detail=False):
        return s.control(op="inspect", code=code, cursor=str(len(code) if cursor is None else cursor), detail=str(int(detail)))

    @once
    def test_names(self):
        s = self.start()
        s.run("alpha, alpine, _hidden = 1, 'text', 3\ndef fun(alpha_one, *, beta=2, **more):\n    'What it does.'\n    return 1\n"
              "d = {'key one': 1, 'key2': 2, \"it's\": 3, 4: 5}\nimport os.path, string")
        self.assertEqual(self.complete(s, "x = al"), {"matches": ["all", "alpha", "alpine"], "start": 4, "end": 6, "truncated": False})
        self.assertEqual(self.complete(s, "x = al + 1", cursor=6)["matches"], ["all", "alpha", "alpine"])
        for code, first in (("alpine.upp", "upper"), ("_hid", "_hidden"), ("fun(be", "beta="), ("fun(1, [2], alpha_o", "alpha_one="),
                            ("os.path.joi", "join"), ("d['key ", "key one"), ("x = d[\"k", "key one"), ("import strin", "string"),
                            ("from os import getp", "getpgid"), ("from os.path import joi", "join"), ("import os.pat", None), ("nonl", "nonlocal"),
                            ("\u00e4 = alpi", "alpine"), ("a.b.c", None), ("none.x", None), ("1.", None), ("12", None), (")", None), ("d['", "key one")):
            with self.subTest(code):
                answer = self.complete(s, code)
                self.assertEqual(answer["matches"][:1], [first] if first else [])
                self.assertFalse(answer["truncated"])
        self.assertNotIn("it's", self.names(s, "d['"))
        self.assertNotIn("_hidden", self.names(s, ""))
        self.assertIn("_hidden", self.names(s, "_"))

    @once
    def test_descriptions(self):
        s = self.start()
        s.run("def fun(alpha, *, beta=2):\n    'What it does.'\n    return alpha\nclass C:\n    'A class.'\nn = list(range(10 ** 6))")
        for code in ("fun", "x = fun(1, [2, (3)]", "fun(", "fun (1, "):
            text = self.inspect(s, code)["text"]
            self.assertIn("Signature: fun(alpha, *, beta=2)", text, code)
            self.assertIn("What it does.", text)
            self.assertNotIn("return alpha", text)
        self.assertIn("Signature: fun", self.inspect(s, "fun + 1", cursor=1)["text"])
        self.assertIn("    return alpha", self.inspect(s, "fun", detail=True)["text"])
        self.assertIn("A class.", self.inspect(s, "C")["text"])
        text = self.inspect(s, "n")["text"]
        self.assertIn("Type: list\nString form: [0, 1, 2", text)
        self.assertIn("Length: 1000000", text)
        self.assertLess(text.index("Length"), 700)
        for code in ("nothing", "", "n.nothing", "((", ")("):
            self.assertEqual(self.inspect(s, code), {"found": False, "text": ""}, code)

    def test_nothing_changes(self):
        """Neither variables nor history, streams, modules or Out, though methods of the program run."""
        s = self.start()
        s.run(HOSTILE + "before = set(sys.modules)")
        had = s.control(op="vars")
        for code in ("says.part.me", "says.part.part.", "import xml.", "from ema", "lies."):
            self.complete(s, code)
            self.inspect(s, code[:-1])
        self.assertEqual(s.control(op="vars"), had)
        r = self.kept(s.run("print(says.seen, 'touched' in globals(), 'inspect' in set(sys.modules) - before)"))
        self.assertEqual((r.out, r.err, r.report["vars"]["created"], r.report["vars"]["changed"]), ("[] False False\n", "", [], []))
        self.assertIsNone(r.background)

    def test_hostile(self):
        s = self.start()
        s.run(HOSTILE)
        for code, names in (("hangs.", []), ("leaves.", []), ("dies.", []), ("lies.", ["good"]), ("lies._", ["_own"]), ("says.nothing.", []),
                            ("floods.", None), ("keys['", None)):
            with self.subTest(code):
                began = time.monotonic()
                answer = self.complete(s, code)
                self.assertLess(time.monotonic() - began, scaled(8))
                if names is not None:
                    self.assertEqual(answer["matches"], names)
                self.assertEqual(answer["truncated"], code in ("hangs.", "leaves.", "dies.", "says.nothing.", "floods.", "keys['"))
                self.assertLessEqual(len(answer["matches"]), 1000)
        self.assertLess(len(self.inspect(s, "floods")["text"]), 20000)
        self.assertLess(len(self.inspect(s, "says")["text"]), 2000)
        self.kept(s.run("1"))

    @once
    def test_bounds(self):
        s = self.start()
        s.run("globals().update({'name%05d' % i: i for i in range(3000)}, **{'long' + 'g' * 300: 1})")
        answer = self.complete(s, "name")
        self.assertEqual((len(answer["matches"]), answer["matches"][-1], answer["truncated"]), (1000, "name00999", True))
        self.assertEqual(self.names(s, "longg"), [])
        for code in ("(" * 20000, "a." * 20000, "[" * 20000 + "'", "x" * 40000, ")" * 20000 + "name", "'" * 30000, "\n" * 30000):
            began = time.monotonic()
            self.complete(s, code)
            self.inspect(s, code)
            self.assertLess(time.monotonic() - began, scaled(8))
        for cursor in ("", "-1", "x", "9" * 30, "1.5", "99999"):
            self.assertEqual(s.control(op="complete", code="name00001", cursor=cursor)["matches"], ["name00001"], cursor)
        self.assertEqual(s.control(op="complete")["start"], 0)
        self.assertEqual(s.control(op="inspect"), {"found": False, "text": ""})

    @once
    def test_where_no_copy_can_be_made(self):
        s = self.start()
        s.run("import os\nkeep = os.fork\ndef no(): raise OSError(11, 'no')\nos.fork = no\nname = 1")
        self.assertEqual(self.complete(s, "nam"), {"matches": [], "start": 0, "end": 3, "truncated": True})
        s.run("os.fork = keep")
        self.assertEqual(self.names(s, "nam"), ["name"])

    def test_while_busy(self):
        s = self.start()
        s.send("import time\ntime.sleep(1)")
        self.assertEqual(s.control(op="complete", code="a", cursor="1"), {"error": "busy"})
        self.kept(s.finish())

    @once
    def test_errors_in_the_report_alone(self):
        """For those who show them otherwise; what the code itself writes comes, and what it has hooked."""
        s = self.start()
        alone = {"DSANDBOX_ERRORS": "report"}
        for code, err in (("1 / 0", ""), ("1 +", ""), ("import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()", "ZeroDivisionError"),
                          ("import sys\nsys.exit('bye')", "bye\n"), ("sys.excepthook = lambda *_: sys.stderr.write('mine')\n1 / 0", "mine")):
            r = s.run(code, env=alone)
            self.assertTrue(err in r.err and bool(err) == bool(r.err), r.err)
        s.run("sys.excepthook = sys.__excepthook__")
        self.assertIn("ZeroDivisionError", s.run("1 / 0").err)


@as_process
class AsProcess(Lookup, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no right to make namespaces here")
class AsPid1(Lookup, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()

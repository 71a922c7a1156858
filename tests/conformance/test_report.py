#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reports and comparisons of `dsandbox conformance`, from made-up reports: no engine. argv[1]: the program."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

PROGRAM = sys.argv.pop(1)
HOSTILE = "</script><script>alert(1)</script><!-- & \"'\x00\x01\x1b[31m\u2028 \ufffe @DATA@ ]]>"


def case(name, verdict="pass", observed="none", reason=None, **more):
    return {"id": name, "group": name[:2], "severity": "high", "title": "a case", "expected": "none", "observed": observed,
            "verdict": verdict, "reason": reason, **more}


def report(setup, *cases):
    summary = {v: sum(c["verdict"] == v for c in cases) for v in ("fail", "pass", "waived", "skipped")}
    return {"schema": "dsandbox.conformance/1", "backend": {"name": setup}, "engine": {"version": "1"}, "setup": setup,
            "summary": {"cases": len(cases), **summary}, "cases": list(cases)}


class Reports(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as f:
            json.dump(content, f)
        return self.path(name)

    def run_program(self, *args, status=0):
        done = subprocess.run([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False,
                              env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def compare(self, *reports, status=0, waivers="none", more=()):
        files = [self.write("%d.json" % i, r) for i, r in enumerate(reports)]
        out, _ = self.run_program("--waivers", waivers, "--json", *more, "--compare", *files, status=status)
        return json.loads(out)

    def test_equal(self):
        matrix = self.compare(report("a", case("FS-01")), report("b", case("FS-01")))
        self.assertEqual(matrix["summary"], {"cases": 1, "differences": 0, "unexplained": 0})
        self.assertEqual([s["setup"] for s in matrix["setups"]], ["a", "b"])

    def test_different(self):
        matrix = self.compare(report("a", case("FS-01")), report("b", case("FS-01", "fail", "all")), status=1)
        self.assertEqual(matrix["summary"], {"cases": 1, "differences": 1, "unexplained": 1})
        row = matrix["cases"][0]
        self.assertEqual((row["equal"], row["explained"], row["answers"]["b"]["observed"]), (False, False, "all"))

    def test_both_pass_and_differ(self):
        self.compare(report("a", case("FS-01", observed="x")), report("b", case("FS-01", observed="y")), status=1)

    def test_not_run_is_a_difference(self):
        matrix = self.compare(report("a", case("FS-01"), case("FS-02")), report("b", case("FS-01")), status=1)
        self.assertEqual(matrix["cases"][1]["answers"]["b"]["verdict"], "not run")

    def test_skipped_needs_a_reason(self):
        one = report("a", case("FS-01"))
        self.compare(one, report("b", case("FS-01", "skipped", None, "cannot be here")))
        self.compare(one, report("b", case("FS-01", "skipped", None)), status=1)

    def test_nothing_compared(self):
        self.compare(report("a"), report("b"), status=1)

    def waivers(self, **more):
        row = {"case": "FS-01", "setup": "b*", "reason": "known", "expires": "2099-01-01", **more}
        return self.write("waivers.json", [row])

    def test_waivers(self):
        pair = report("a", case("FS-01")), report("bb", case("FS-01", "waived", "all", "known"))
        matrix = self.compare(*pair, waivers=self.waivers())
        self.assertEqual(matrix["summary"], {"cases": 1, "differences": 1, "unexplained": 0})
        self.assertEqual(matrix["cases"][0]["answers"]["bb"]["waiver"], "known")
        self.compare(*pair, waivers=self.waivers(expires="2020-01-01"), status=1)
        self.compare(*pair, waivers=self.waivers(case="FS-02"), status=1)
        self.compare(*pair, waivers=self.waivers(setup="a"), status=0)

    def test_bad_waivers(self):
        good = {"case": "FS-01", "setup": "b", "reason": "known", "expires": "2099-01-01"}
        for bad in ([good] * 11, {}, [{**good, "reason": ""}], [{**good, "expires": "soon"}], [{"case": "FS-01"}]):
            _, err = self.run_program("--waivers", self.write("w.json", bad), "--list", status=2)
            self.assertIn("w.json: waiver", err)

    def test_text(self):
        files = [self.write("a.json", report("a", case("FS-01"))), self.write("b.json", report("b", case("FS-01", "fail", "all")))]
        out, _ = self.run_program("--waivers", "none", "--compare", ",".join(files), status=1)
        self.assertIn("FS-01    DIFFERENT pass fail  a case\n    a: none\n    b: all\n", out)
        self.assertIn("1 cases, 2 set-ups: 1 differences, 1 of them unexplained\n", out)

    def test_text_of_hostile_answers(self):
        files = [self.write(n + ".json", report(n, case("FS-01", "fail", "\x1b[2J" + n + "\x9b1m"))) for n in "ab"]
        out, _ = self.run_program("--waivers", "none", "--compare", *files, status=1)
        self.assertIn("a: \\x1b[2Ja\\x9b1m\n", out)

    def test_text_cannot_be_taken_for_ours(self):
        """Lines of an answer are set in, and names of set-ups and cases are one line."""
        rows = [report(n + "\nFS-02\x1b[1m", case("FS-01\r", "fail", n + "\nFS-09    equal", title="a\ncase")) for n in "ab"]
        files = [self.write("%d.json" % i, row) for i, row in enumerate(rows)]
        out, _ = self.run_program("--waivers", "none", "--compare", *files, status=1)
        self.assertNotRegex(out, "[\x00-\x09\x0b-\x1f]")
        self.assertEqual([line for line in out.splitlines() if line.startswith(("FS-02", "FS-09", "case\t", "\t"))], [])
        self.assertIn("    a\\nFS-02\\x1b[1m: a\n           FS-09    equal\n", out)

    def test_json_of_errors(self):
        """One object, whatever is wrong, and the message beside it."""
        for args in (["--nonesuch"], ["--engine-timeout", "0x"], ["--engine-timeout=3601"], ["extra"], ["--contract"],
                     ["--waivers", self.path("none.json"), "--list"], ["--cases", self.path("nowhere"), "--list"],
                     ["--compare", self.path("no.json")], ["--contract", "--plugin", self.path("no.so")],
                     ["--contract", "--plugin", "relative.so"], ["--contract", "--base-dir=", "--plugin", self.path("no.so")]):
            with self.subTest(args):
                out, err = self.run_program("--json", *args, status=2)
                result = json.loads(out)
                self.assertEqual((result["schema"], result["status"]), ("dsandbox.result/1", "error"))
                self.assertIn(result["failure"]["message"].split("\n")[0].replace("base_dir", "--base-dir"), err)
                self.assertEqual(self.run_program(*args, status=2)[0], "")

    def test_json_of_the_list(self):
        rows = json.loads(self.run_program("--json", "--list")[0])["cases"]
        lines = self.run_program("--list")[0].splitlines()
        self.assertEqual([row["id"] for row in rows], [line.split()[0] for line in lines])

    def test_output_that_cannot_be_written(self):
        one, two = self.write("a.json", report("a", case("FS-01"))), self.write("b.json", report("b", case("FS-01")))
        for args in (["--list"], ["--json", "--list"], ["--waivers", "none", "--compare", one, two]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *args], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn(b"standard output cannot be written", done.stderr)

    def test_errors(self):
        one = self.write("a.json", report("a", case("FS-01")))
        same = self.write("b.json", report("a", case("FS-01")))
        bad = self.write("bad.json", {"setup": "x"})
        broken = self.write("broken.json", {**report("a"), "summary": {}, "cases": [{"id": 1}]})
        for args, text in ((["--compare", one], "needs two"), (["--compare", one, same], "two reports are of the set-up 'a'"),
                           (["--compare", one, bad], "bad.json is not a report"),
                           (["--compare", one, broken], "broken.json is not a report"),
                           (["--compare", one, self.path("no.json")], "no.json is not a report"), (["extra"], "unexpected operand")):
            self.assertIn(text, self.run_program(*args, status=2)[1])

    def exports(self, *reports, status=0):
        more = ("--html", self.path("page.html"), "--junit", self.path("junit.xml"))
        matrix = self.compare(*reports, status=status, more=more)
        with open(self.path("page.html"), encoding="utf-8") as f:
            page = f.read()
        return matrix, page, ElementTree.parse(self.path("junit.xml")).getroot()

    def test_junit(self):
        cases = (case("FS-01"), case("FS-02", "fail", "all"), case("FS-03", "waived", "all", "known"),
                 case("FS-04", "skipped", None, "not here"))
        _, _, root = self.exports(report("a", *cases), report("b", *cases))
        self.assertEqual([s.attrib for s in root], [{"name": n, "tests": "4", "failures": "1", "errors": "0", "skipped": "2"}
                                                    for n in "ab"])
        rows = list(root[0])
        self.assertEqual(rows[0].attrib, {"classname": "a.FS", "name": "FS-01 a case"})
        self.assertEqual([[c.tag for c in r] for r in rows], [[], ["failure"], ["skipped"], ["skipped"]])
        self.assertEqual(rows[1][0].text, "expected: none\nobserved: all")
        self.assertEqual(rows[2][0].attrib["message"], "waived: known")

    def test_hostile_answers(self):
        hostile = case("FS-01", "fail", HOSTILE, HOSTILE)
        matrix, page, root = self.exports(report("a", hostile), report("b", hostile))
        self.assertEqual(page.count("</script>"), 2)
        data = json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))
        self.assertEqual(data["cases"], matrix["cases"])
        self.assertEqual(data["cases"][0]["answers"]["a"]["observed"], HOSTILE[:HOSTILE.index("\x00")])
        self.assertIn("</script>", root[0][0][0].text)
        with open(self.path("junit.xml"), "rb") as f:
            self.assertNotRegex(f.read(), rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")

    def test_invalid_utf8(self):
        raw = json.dumps(report("a", case("FS-01", observed="X"))).encode()
        for i, name in enumerate("ab"):
            with open(self.path("%d.json" % i), "wb") as f:
                f.write(raw.replace(b'"a"', b'"%s"' % name.encode()).replace(b'"X"', b'"\xff\xfe<"'))
        self.run_program("--waivers", "none", "--junit", self.path("j.xml"), "--html", self.path("p.html"), "--compare",
                         self.path("0.json"), self.path("1.json"))
        ElementTree.parse(self.path("j.xml"))
        with open(self.path("p.html"), encoding="utf-8") as f:
            f.read()

    def test_the_page_is_alone(self):
        _, page, _ = self.exports(report("a", case("FS-01")), report("b", case("FS-01")))
        self.assertNotRegex(page, r"(src|href)=|https?://|@import|url\(")

    def test_cannot_write(self):
        files = [self.write("a.json", report("a", case("FS-01"))), self.write("b.json", report("b", case("FS-01")))]
        _, err = self.run_program("--html", self.path("no/page.html"), "--compare", *files, status=2)
        self.assertIn("no/page.html", err)


if __name__ == "__main__":
    unittest.main()

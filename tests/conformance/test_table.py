#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Every probe of the list is a case of the suite, or README.md says which test it is or why it is none; and every test, class
and file named there and in SECURITY.md exists.
"""
import os
import re
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
# Probes of each group, numbered from 1.
GROUPS = {"FS": 20, "MT": 10, "PS": 12, "DV": 5, "PR": 16, "ME": 14, "CP": 6, "DK": 12, "NW": 12, "US": 16, "SC": 33, "IP": 8, "LK": 7,
          "OU": 18, "SI": 11, "SG": 9, "TM": 9, "EX": 8, "HT": 20, "SE": 9, "CC": 16, "EN": 24, "PL": 16, "PF": 13, "CL": 10, "EQ": 9}
IDS = {f"{group}-{number:02}" for group, count in GROUPS.items() for number in range(1, count + 1)}
REASONS = ("not run:", "not met:", "by design:")  # alone; behind a test they say what it does not show


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def sources():
    found = {}
    for directory in ("tests", "conformance", "plugins", "core", "guest", "backends", "doc"):
        for place, directories, names in os.walk(os.path.join(TOP, directory)):
            directories[:] = [d for d in directories if d not in ("__pycache__", "corpus", "fixtures")]
            for name in names:
                if name.endswith((".py", ".c", ".h", ".sh", ".md", ".argv", ".json", ".5")):
                    path = os.path.join(place, name)
                    found[os.path.relpath(path, TOP)] = None if name.endswith((".md", ".argv", ".json", ".5")) else read(path)
    return found


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = sources()
        cls.names = {os.path.basename(path) for path in cls.files}
        code = "\n".join(text for text in cls.files.values() if text)
        cls.tests = set(re.findall(r"def (test_\w+)", code)) | set(re.findall(r"static void (\w+)\(void \*\*", code))
        cls.tests |= set(re.findall(r"cmocka_unit_test\w*\((\w+)", code)) | set(re.findall(r"\bCASE\((\w+)", code))
        cls.classes = set(re.findall(r"^class (\w+)", code, re.M))
        cls.cases = set()
        for path, text in cls.files.items():
            if path.startswith("conformance/cases/"):
                cls.cases |= set(re.findall(r"^#: case (\S+)", text or "", re.M))
        cls.rows = {}
        for probe, text in re.findall(r"^\| ([A-Z]{2}-\d+) \| (.*) \|$", read("conformance", "README.md"), re.M):
            assert probe not in cls.rows, probe
            cls.rows[probe] = text

    def test_nothing_is_missing(self):
        self.assertEqual(len(IDS), 343)
        self.assertEqual(sorted(IDS - self.cases - set(self.rows)), [])
        self.assertEqual(sorted(set(self.rows) - IDS), [])

    def named(self, text):
        """(what, exists) for everything in the text that looks like a name of a test."""
        for file in re.findall(r"[\w/-]+\.(?:py|c|sh|md|argv|json|5)\b", text):
            yield file, os.path.basename(file) in self.names or os.path.exists(os.path.join(TOP, file))
        for name in re.findall(r"\btest_\w+\b(?!\.)", text):
            yield name, name in self.tests
        for words in re.findall(r"\bclass(?:es)? (\w+(?:(?:, | and )[A-Z]\w+)*)", text):
            for name in re.split(", | and ", words):
                yield "class " + name, name in self.classes
        for suite, name in re.findall(r"\b(probes|limits|engine): ([a-z]{2}\d\d)\b", text):
            yield f"{suite}: {name}", any(test.startswith("test_" + name + "_") for test in self.tests)
        for name in re.findall(r"\b[A-Z]{2}-\d\d(?:-[A-Z0-9]+)?\b", text):
            yield name, name in self.cases or name in self.rows
        for names in re.findall(r"\bunit: ([^;|]*)", text):
            for name in re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b(?!\.)", re.sub(r"\(.*?\)|`.*?`", "", names)):
                yield name, name in self.tests

    def test_what_is_named_exists(self):
        wrong = [f"{probe}: {what}" for probe, text in self.rows.items() for what, there in self.named(text) if not there]
        self.assertEqual(wrong, [])

    def test_every_row_says_something(self):
        for probe, text in self.rows.items():
            golden = text.startswith(("golden:", "faults:", "conformance:"))
            self.assertTrue(golden or text.startswith(REASONS) or any(there for _, there in self.named(text)), f"{probe}: {text}")

    def test_claims(self):
        text = read("SECURITY.md")
        claims = re.findall(r"^\| (.+) \| (.+) \|$", text, re.M)
        self.assertGreater(len(claims), 20, "a table: promise, proof")
        wrong = [f"{claim}: {what}" for claim, proof in claims[2:] for what, there in self.named(proof) if not there]
        self.assertEqual(wrong, [])
        for claim, proof in claims[2:]:
            self.assertTrue(any(there for _, there in self.named(proof)), claim)


if __name__ == "__main__":
    unittest.main()

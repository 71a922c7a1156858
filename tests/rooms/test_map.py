#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What doc/architecture.md and doc/service.md name is there: folders, files and functions; and no folder is missing."""
import os
import re
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WAYS = 5


def is_defined(name, text, python):
    """Whether a function, or a table of that name, has its body in `text`. A declaration or a call is none."""
    if python:
        return re.search(rf"^(?:def|class) {re.escape(name)}\b", text, re.M) is not None
    if re.search(rf"^[a-z][^;(){{}}]*\b{re.escape(name)}(?:\[[^\]]*\])? = \{{", text, re.M):
        return True
    return re.search(rf"^[a-z][^;(){{}}=]*\b{re.escape(name)}\((?:[^(){{}};]|\([^()]*\))*\)\s*\{{", text, re.M) is not None


def problems(page, read, names, folders):
    """`read` gives a file's text or None, `names` all paths, `folders` those that the map has to have."""
    ways = re.findall(r"`([\w/.-]+\.(?:c|py))`:\s+`(\w+)`", page)
    for path, function in ways:
        text = read(path)
        if text is None or not is_defined(function, text, path.endswith(".py")):
            yield f"{path} does not define {function}"
    if len(re.findall(r"^\| (?:a|an|pid|Docker's) .*`: `", page, re.M)) < WAYS:
        yield "the ways are not there"
    rows = re.findall(r"^\| `([\w/-]+/)` \| .* \| (.*) \|$", page, re.M)
    for folder, begin in rows:
        for name in re.findall(r"`([^`]+)`", begin):
            if folder + name not in names:
                yield f"{folder} has no {name}"
    for folder in sorted(set(folders) - {folder.rstrip("/") for folder, _ in rows}):
        yield f"the map has no {folder}/"
    yield from missing(page, names)


def missing(page, names):
    known = {os.path.basename(name) for name in names}
    for name in re.findall(r"`([\w/.-]+\.(?:c|h|py|md|json|sh))`", page):
        if name not in names and ("/" in name or name not in known):
            yield f"there is no {name}"


def source():
    names = set()
    for folder, folders, files in os.walk(TOP):
        folders[:] = [f for f in folders if not f.startswith((".", "__")) and not os.path.exists(os.path.join(folder, f, "build.ninja"))]
        names |= {os.path.relpath(os.path.join(folder, file), TOP) for file in files}
    return names


def read(path):
    try:
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


class Map(unittest.TestCase):
    def test_page_is_true(self):
        names = source()
        folders = {os.path.dirname(name) for name in names if name.endswith((".c", ".h"))}
        folders = {f for f in folders if f.split("/")[0] not in ("tests", "bench", "plugins", "examples")}
        self.assertGreater(len(folders), 15)
        self.assertEqual(list(problems(read("doc/architecture.md"), read, names, folders)), [])
        self.assertEqual(list(missing(read("doc/service.md"), names)), [])

    def test_can_fail(self):
        page = read("doc/architecture.md")
        names = source()
        for old, new, words in (("`: `read_host` |", "`: `on_frames` |", "does not define on_frames"),
                                ("`: `create_body` |", "`: `dsbe_put_uint` |", "does not define dsbe_put_uint"),
                                ("| `fields.c`, `policy.c`", "| `fields.c`, `polity.c`", "has no polity.c"),
                                ("| a key of the policy is defined |", "| |", "the ways are not there"),
                                ("`mcp/`, which", "`client/nowhere.h`, which", "there is no client/nowhere.h")):
            self.assertIn(old, page)
            self.assertIn(words, "\n".join(problems(page.replace(old, new), read, names, set())))
        self.assertEqual(["the map has no core/other/"], list(problems(page, read, names, {"core/other"})))
        text = "int one(void);\nint two(int a)\n{\n    return three(a);\n}\nstatic const int four[] = {1};\n"
        self.assertEqual([is_defined(name, text, False) for name in ("one", "two", "three", "four")], [False, True, False, True])


if __name__ == "__main__":
    unittest.main()

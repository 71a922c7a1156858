#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Names that test files take from each other exist: a suite that needs an engine would say so only there. Each class of
tests is run by somebody, and no definition hides one before it, which would never run.
"""
import ast
import functools
import glob
import os
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@functools.lru_cache(None)
def tree(path):
    with open(path, encoding="utf-8") as file:
        return ast.parse(file.read())


@functools.lru_cache(None)
def nodes(path):
    return list(ast.walk(tree(path)))


def bound(module):
    """What a module has at its top, also in an `if` or a loop."""
    names = set()
    top = [node for node in module.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    for node in ast.walk(ast.Module(top, [])):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names | {node.name for node in module.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def hidden(code):
    """Functions and classes that another one of the same name, in the same body, hides; a decorator may have taken the first."""
    for parent in ast.walk(code):
        for body in (getattr(parent, "body", None), getattr(parent, "orelse", None)):
            seen = set()
            for node in body if isinstance(body, list) else ():
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    if node.name in seen and not node.decorator_list:
                        yield node
                    seen.add(node.name)


class Names(unittest.TestCase):
    def test_what_is_taken_is_there(self):
        modules = {}
        for path in glob.glob(os.path.join(TESTS, "*/*.py")):
            modules.setdefault(os.path.basename(path)[:-3], []).append(path)
        offered = {name: set().union(*(bound(tree(path)) for path in paths)) for name, paths in modules.items()}
        wrong, seen = [], 0
        for path in sum(modules.values(), []):
            ours = {alias.asname or alias.name for node in nodes(path) if isinstance(node, ast.Import)
                    for alias in node.names} & set(offered)
            for node in nodes(path):
                if isinstance(node, ast.ImportFrom) and node.module in offered:
                    taken = [(node.module, alias.name) for alias in node.names]
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
                    taken = [(node.value.id, node.attr)]
                else:
                    continue
                seen += len(taken)
                wrong += [f"{os.path.relpath(path, TESTS)}:{node.lineno}: {module} has no {name}"
                          for module, name in taken if name not in offered[module] and not name.startswith("__")]
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 500)

    def test_each_class_is_run(self):
        """By unittest's own search, by tests/rig/all.py, or since a list has it."""
        paths = glob.glob(os.path.join(TESTS, "*/*.py"))
        used = {node.id if isinstance(node, ast.Name) else node.attr for path in paths for node in nodes(path)
                if isinstance(node, (ast.Name, ast.Attribute))}
        classes, forgotten = 0, []
        for path in paths:
            place, name = os.path.basename(os.path.dirname(path)), os.path.basename(path)[:-3]
            whole = place in ("edges", "redteam") or place == "python" and (name.startswith("test_") or name in used)
            itself = any(isinstance(node, ast.Attribute) and node.attr == "main" and isinstance(node.value, ast.Name)
                         and node.value.id in ("unittest", "runner") for node in nodes(path))
            if whole or itself:
                continue
            for node in tree(path).body:
                if isinstance(node, ast.ClassDef) and any(getattr(part, "name", "").startswith("test_") for part in node.body):
                    classes += 1
                    if node.name not in used:
                        forgotten.append(f"{os.path.relpath(path, TESTS)}: {node.name}")
        self.assertEqual(forgotten, [])
        self.assertGreater(classes, 40)

    def test_nothing_is_hidden(self):
        paths = glob.glob(os.path.join(TESTS, "*/*.py"))
        self.assertEqual([f"{os.path.relpath(path, TESTS)}:{node.lineno}: a second {node.name}"
                          for path in paths for node in hidden(tree(path))], [])
        self.assertGreater(len(paths), 100)


if __name__ == "__main__":
    unittest.main()

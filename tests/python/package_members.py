# SPDX-License-Identifier: MIT
"""Every member that the schemas promise makes a difference to what the package gives, `raw` aside."""
import dataclasses
import json
import os

from common import TOP, Case

from dsandbox import Result
from dsandbox.results import HistoryEntry, SessionInfo, file_info, variable

# They have but one value.
CONSTANT = {"schema", "stdout_encoding", "stderr_encoding"}


class Schema:
    """Samples of a schema: `at` names a member, which has another value then."""

    def __init__(self, name, *path):
        with open(os.path.join(TOP, "doc", name), encoding="utf-8") as file:
            self.root = json.load(file)
        self.top = self.find(path)

    def find(self, path):
        node = self.root
        for part in path:
            node = self.resolve(node)[part]
        return node

    def resolve(self, node):
        while "$ref" in node:
            path = node["$ref"].split("/")[1:]
            node = self.root
            for part in path:
                node = node[part]
        return next((one for one in node["oneOf"] if one["type"] != "null"), node) if "oneOf" in node else node

    def leaves(self, node=None, at=()):
        """Paths of all members that have none of their own."""
        node = self.resolve(self.top if node is None else node)
        if "items" in node:
            yield from self.leaves(node["items"], at)
        elif "properties" in node:
            for name, inner in node["properties"].items():
                yield from self.leaves(inner, (*at, name))
        else:
            yield at

    def sample(self, changed=None, node=None, at=()):
        node = self.resolve(self.top if node is None else node)
        if "items" in node:
            return [self.sample(changed, node["items"], at)]
        if "properties" in node:
            return {name: self.sample(changed, inner, (*at, name)) for name, inner in node["properties"].items()}
        return self.leaf(node, at, at == changed)

    def leaf(self, node, at, other):
        kind = node.get("type")
        kind = kind if isinstance(kind, str) else next((one for one in kind or () if one != "null"), None)
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return node["enum"][other]
        if at[-1].endswith("_base64"):
            return "Yg==" if other else None  # it takes the place of the text
        if kind == "object":
            inner = node.get("additionalProperties", {"type": "string"})
            return {"text/plain": self.leaf(inner, at, other)}
        return {"boolean": other, "integer": 1 + other, "number": 1.0 + other, "string": "ab"[other]}[kind]


def given(value):
    return dataclasses.replace(value, raw={}) if hasattr(value, "raw") else value


class Members(Case):
    def reachable(self, schema, parse, constant=()):
        before, leaves = given(parse(schema.sample())), list(schema.leaves())
        self.assertGreater(len(leaves), 3)
        for at in leaves:
            with self.subTest(".".join(at)):
                same = given(parse(schema.sample(at))) == before
                self.assertEqual(same, at[-1] in constant, "it is nowhere in what is given")

    def test_result(self):
        self.reachable(Schema("result.schema.json"), Result.from_json, CONSTANT)

    def test_session(self):
        self.reachable(Schema("openapi.json", "components", "schemas", "session"), SessionInfo.from_json)

    def test_lists(self):
        """What is in them; whether they are cut is asked where there is a service."""
        for name, inner, parse in (("history", "executions", HistoryEntry.from_json), ("vars", "vars", variable), ("file_list", "files", file_info)):
            schema = Schema("openapi.json", "components", "schemas", name, "properties", inner, "items")
            self.reachable(schema, parse)
            self.assertEqual(set(schema.find(("components", "schemas", name, "properties"))), {inner, "truncated"}, name)

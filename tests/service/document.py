# SPDX-License-Identifier: MIT
"""doc/openapi.json by itself: what generators of clients need."""
import json
import os
import unittest

from harness import OPENAPI, TOP


def nodes(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


class Document(unittest.TestCase):
    def operations(self):
        for path, methods in OPENAPI.root["paths"].items():
            for method, operation in methods.items():
                yield f"{method} {path}", operation

    def test_it_needs_nothing_else(self):
        references = [node["$ref"] for node in nodes(OPENAPI.root) if isinstance(node, dict) and isinstance(node.get("$ref"), str)]
        self.assertGreater(len(references), 100)
        for reference in references:
            self.assertTrue(reference.startswith("#/components/"), reference)
            OPENAPI.resolve(reference, OPENAPI.root)

    def test_its_result_is_the_schema_of_results(self):
        with open(os.path.join(TOP, "doc/result.schema.json"), encoding="utf-8") as source:
            alone = json.loads(source.read().replace("#/$defs/", "#/components/schemas/result_"))
        schemas = OPENAPI.root["components"]["schemas"]
        for name, schema in alone.pop("$defs").items():
            self.assertEqual(schemas["result_" + name], schema)
        self.assertEqual(schemas["result"], {key: value for key, value in alone.items() if not key.startswith("$")})

    def test_operations(self):
        names = [operation["operationId"] for _, operation in self.operations()]
        self.assertEqual(len(set(names)), len(names))
        for name, operation in self.operations():
            with self.subTest(name):
                self.assertEqual(len(operation["tags"]), 1)
                self.assertLess({"400", "401", "default"}, set(operation["responses"]))
                for status, answer in operation["responses"].items():
                    if status.startswith("2"):  # one kind of answer: no client has to guess
                        self.assertEqual(len(answer["content"]), 1)
                for link in operation["responses"].get("201", {}).get("links", {}).values():
                    self.assertIn(link["operationId"], names)

    def test_names(self):
        """`file` is a type of its own in generated clients."""
        self.assertNotIn("file", OPENAPI.root["components"]["schemas"])

    def test_what_may_be_left_out(self):
        """A default makes a member mandatory in some generated clients."""
        for name in ("create", "execute", "run", "gc"):
            for member, schema in OPENAPI.root["components"]["schemas"][name]["properties"].items():
                self.assertNotIn("default", schema, f"{name}.{member}")


CASES = (Document,)

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


# Operations on a session that its 201 does not link to: they need something of it that a new one does not have.
NOT_LINKED = {"executeEvents", "writeSessionStdin", "restoreVariables", "completeCode", "inspectCode"}
# What waits for its turn in a session; runs and new sessions have limits of their own.
QUEUED = {"execute", "executeEvents", "getVariables", "completeCode", "inspectCode", "resetSession", "saveVariables", "restoreVariables"}
NEW = {"run", "runEvents", "createSession"}
BUSY = {"run", "runEvents", "createSession", "writeSessionStdin", "writeStdin", "resizeTerminal", "answerCall", "writeFile", "deleteFile", *QUEUED}
REFUSED = {"run", "runEvents", "createSession", "execute", "executeEvents", "deleteSession", "deleteFile", "collectGarbage"}
CHANGES_A_FILE = {"readFile", "writeFile", "deleteFile"}


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

    def test_named_answers(self):
        """Those that a client can do something about. That no others come is asked of each answer (openapi.py)."""
        for name, operation in self.operations():
            one, answers = operation["operationId"], operation["responses"]
            with self.subTest(name):
                self.assertEqual("404" in answers, "{" in name or one == "createSession")
                self.assertEqual("409" in answers, one in BUSY)
                self.assertEqual("412" in answers, one in CHANGES_A_FILE)
                self.assertEqual("413" in answers, "requestBody" in operation)
                self.assertEqual("422" in answers, one in REFUSED)
                self.assertEqual("429" in answers, one in QUEUED | NEW)
                for status in ("401", "404", "409", "410", "412", "413", "422", "429"):
                    if status in answers:
                        answer = OPENAPI.resolve(answers[status]["$ref"], OPENAPI.root)[0] if "$ref" in answers[status] else answers[status]
                        self.assertEqual(answer["content"]["application/json"]["schema"], {"$ref": "#/components/schemas/error"})
                        self.assertEqual("Retry-After" in answer.get("headers", {}), status == "429")

    def test_links(self):
        """What can be asked of a session that was made."""
        links = OPENAPI.root["paths"]["/v1/sessions"]["post"]["responses"]["201"]["links"]
        able = {operation["operationId"] for name, operation in self.operations() if "{session}" in name and "{path}" not in name}
        self.assertEqual({link["operationId"] for link in links.values()}, able - NOT_LINKED)
        for link in links.values():
            self.assertEqual(link["parameters"], {"session": "$response.body#/id"})

    def test_examples(self):
        """Of each body that is JSON, each part of a path, and of an error. They are right."""
        for name, operation in self.operations():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            with self.subTest(name):
                if body is not None:
                    OPENAPI.check(body["example"], body["schema"])
                for parameter in operation.get("parameters", ()):
                    if "$ref" in parameter:
                        parameter, _ = OPENAPI.resolve(parameter["$ref"], OPENAPI.root)
                    if parameter["in"] == "path":
                        OPENAPI.check(parameter["example"], parameter["schema"])
        error = OPENAPI.root["components"]["responses"]["invalid"]["content"]["application/json"]
        OPENAPI.check(error["example"], error["schema"])

    def test_names(self):
        """`file` is a type of its own in generated clients."""
        self.assertNotIn("file", OPENAPI.root["components"]["schemas"])

    def test_what_may_be_left_out(self):
        """A default makes a member mandatory in some generated clients."""
        for name in ("create", "execute", "run", "gc"):
            for member, schema in OPENAPI.root["components"]["schemas"][name]["properties"].items():
                self.assertNotIn("default", schema, f"{name}.{member}")


CASES = (Document,)

# SPDX-License-Identifier: MIT
"""JSON Schema, as much of it as this project's documents use; a keyword that is not known here is an error."""
import json
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMED = {400, 401, 404, 409, 410, 412, 413, 422, 429}  # these are named where they occur
IGNORED = {"$schema", "$id", "$defs", "title", "description", "default", "format", "examples"}
TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list), "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


class Mismatch(AssertionError):
    pass


class Document:
    def __init__(self, name):
        self.dir = os.path.join(TOP, "doc")
        self.files = {}
        self.root = self.load(name)

    def load(self, name):
        if name not in self.files:
            with open(os.path.join(self.dir, name), encoding="utf-8") as source:
                self.files[name] = json.load(source)
        return self.files[name]

    def resolve(self, ref, root):
        name, _, pointer = ref.partition("#")
        root = self.load(name) if name else root
        node = root
        for part in filter(None, pointer.split("/")):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node, root

    def check(self, value, schema, root=None, at="$"):
        """Raises Mismatch when the value does not fit."""
        root = self.root if root is None else root
        if "$ref" in schema:
            inner, inner_root = self.resolve(schema["$ref"], root)
            self.check(value, inner, inner_root, at)
        for keyword, wanted in schema.items():
            if keyword in IGNORED or keyword == "$ref":
                continue
            checker = getattr(self, "on_" + keyword, None)
            if checker is None:
                raise NotImplementedError(f"schema keyword {keyword} at {at}")
            checker(value, wanted, schema, root, at)

    @staticmethod
    def fail(at, value, why):
        raise Mismatch(f"{at}: {str(value)[:200]!r} {why}")

    def on_type(self, value, wanted, _schema, _root, at):
        names = wanted if isinstance(wanted, list) else [wanted]
        if not any(TYPES[name](value) for name in names):
            self.fail(at, value, f"is no {' or '.join(names)}")

    def on_enum(self, value, wanted, _schema, _root, at):
        if value not in wanted:
            self.fail(at, value, f"is none of {wanted}")

    def on_const(self, value, wanted, _schema, _root, at):
        if value != wanted:
            self.fail(at, value, f"is not {wanted}")

    def on_pattern(self, value, wanted, _schema, _root, at):
        if isinstance(value, str) and not re.search(wanted, value):
            self.fail(at, value, f"does not match {wanted}")

    def on_minimum(self, value, wanted, _schema, _root, at):
        if TYPES["number"](value) and value < wanted:
            self.fail(at, value, f"is less than {wanted}")

    def on_maximum(self, value, wanted, _schema, _root, at):
        if TYPES["number"](value) and value > wanted:
            self.fail(at, value, f"is more than {wanted}")

    def on_exclusiveMinimum(self, value, wanted, _schema, _root, at):
        if TYPES["number"](value) and value <= wanted:
            self.fail(at, value, f"is not more than {wanted}")

    def on_exclusiveMaximum(self, value, wanted, _schema, _root, at):
        if TYPES["number"](value) and value >= wanted:
            self.fail(at, value, f"is not less than {wanted}")

    def sized(self, kind, value, at, least=0, most=float("inf")):
        if isinstance(value, kind) and not least <= len(value) <= most:
            self.fail(at, value, f"has {len(value)} of them")

    def on_minLength(self, value, wanted, _schema, _root, at):
        self.sized(str, value, at, least=wanted)

    def on_maxLength(self, value, wanted, _schema, _root, at):
        self.sized(str, value, at, most=wanted)

    def on_minItems(self, value, wanted, _schema, _root, at):
        self.sized(list, value, at, least=wanted)

    def on_maxItems(self, value, wanted, _schema, _root, at):
        self.sized(list, value, at, most=wanted)

    def on_minProperties(self, value, wanted, _schema, _root, at):
        self.sized(dict, value, at, least=wanted)

    def on_maxProperties(self, value, wanted, _schema, _root, at):
        self.sized(dict, value, at, most=wanted)

    def on_propertyNames(self, value, wanted, _schema, root, at):
        for name in value if isinstance(value, dict) else ():
            self.check(name, wanted, root, at)

    def on_allOf(self, value, wanted, _schema, root, at):
        for schema in wanted:
            self.check(value, schema, root, at)

    def on_required(self, value, wanted, _schema, _root, at):
        missing = [name for name in wanted if isinstance(value, dict) and name not in value]
        if missing:
            self.fail(at, value, f"lacks {missing}")

    def on_properties(self, value, wanted, _schema, root, at):
        for name, schema in wanted.items():
            if isinstance(value, dict) and name in value:
                self.check(value[name], schema, root, f"{at}.{name}")

    def on_additionalProperties(self, value, wanted, schema, root, at):
        if not isinstance(value, dict):
            return
        for name in value.keys() - schema.get("properties", {}).keys():
            if wanted is False:
                self.fail(f"{at}.{name}", value[name], "is not in the schema")
            elif isinstance(wanted, dict):
                self.check(value[name], wanted, root, f"{at}.{name}")

    def on_items(self, value, wanted, _schema, root, at):
        for i, item in enumerate(value if isinstance(value, list) else []):
            self.check(item, wanted, root, f"{at}[{i}]")

    def fits(self, value, schema, root, at):
        try:
            self.check(value, schema, root, at)
            return True
        except Mismatch:
            return False

    def on_oneOf(self, value, wanted, _schema, root, at):
        n = sum(self.fits(value, schema, root, at) for schema in wanted)
        if n != 1:
            self.fail(at, value, f"fits {n} of the alternatives")

    def on_anyOf(self, value, wanted, _schema, root, at):
        if not any(self.fits(value, schema, root, at) for schema in wanted):
            self.fail(at, value, "fits none of the alternatives")


class OpenApi(Document):
    """The document of the service: which answer may come from which request."""

    def __init__(self):
        super().__init__("openapi.json")
        self.templates = []
        for template in self.root["paths"]:
            pattern = re.sub(r"\\\{path\\\}", ".+", re.escape(template))
            pattern = re.sub(r"\\\{[a-z]+\\\}", "[^/]+", pattern)
            self.templates.append((re.compile(pattern + r"\Z"), template))
        self.used = set()

    def operation(self, method, path):
        path = path.partition("?")[0]
        for pattern, template in self.templates:
            if pattern.match(path):
                return template, self.root["paths"][template].get(method.lower())
        return None, None

    def check_answer(self, method, path, status, kind, body):
        if kind == "text/event-stream" and not path.endswith("/events"):
            path += "/events"  # Accept has chosen that operation
        template, operation = self.operation(method, path)
        if operation is None:
            responses = {"default": {"$ref": "#/components/responses/error"}}
        else:
            responses = operation["responses"]
            self.used.add((method, template, str(status) if str(status) in responses else "default"))
        answer = responses.get(str(status))
        if answer is None:
            if status < 400 or (operation is not None and status in NAMED):
                raise Mismatch(f"{method} {path}: status {status} is not in the document")
            answer = responses["default"]
        if "$ref" in answer:
            answer, _ = self.resolve(answer["$ref"], self.root)
        if "content" not in answer:
            if kind is not None or body:
                raise Mismatch(f"{method} {path}: {status} has a content")
            return
        content = answer["content"].get(kind)
        if content is None:
            raise Mismatch(f"{method} {path}: {status} with content type {kind} is not in the document")
        if kind == "application/json":
            self.check(json.loads(body), content["schema"], at=f"{method} {path} {status} ")

    def check_request(self, method, path, body):
        _, operation = self.operation(method, path)
        self.check(body, operation["requestBody"]["content"]["application/json"]["schema"], at=f"{method} {path} request ")

    def check_event(self, name, data):
        if name == "result":
            self.check(data, self.root["components"]["schemas"]["result"], at="event result ")
        elif name == "error":
            self.check(data, self.root["components"]["schemas"]["error"], at="event error ")

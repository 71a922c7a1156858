# SPDX-License-Identifier: MIT
"""JSON, strictly, and the subset of JSON Schema that the project's schemas use. Anything else in a schema is an error."""
import json
import re

TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "default", "type", "required", "properties", "items", "enum", "const",
         "oneOf", "minimum", "maximum", "pattern", "additionalProperties", "minProperties"}


def loads(text):
    """As json.loads, but no NaN, no key twice, no number that is infinite."""

    def constant(word):
        raise ValueError(f"{word} is not JSON")

    def pairs(items):
        result = dict(items)
        if len(result) != len(items):
            raise ValueError(f"a key is there twice: {[k for k, _ in items]}")
        return result

    def number(digits):
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise ValueError(f"{digits} is out of range")
        return value

    return json.loads(text, parse_constant=constant, object_pairs_hook=pairs, parse_float=number)


def is_type(value, name):
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def problems(value, schema, root=None, place="$"):
    """What of `value` does not fit, one text for each."""
    root = root or schema
    unknown = set(schema) - KNOWN
    if unknown:
        raise ValueError(f"{place}: this validator does not know {sorted(unknown)}")
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return problems(value, target, root, place)
    found = []
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_type(value, t) for t in types):
        return [f"{place}: {value!r:.100} is not {' or '.join(types)}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r:.100} is none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r:.100} is not {schema['const']!r}")
    if "oneOf" in schema:
        tries = [problems(value, s, root, place) for s in schema["oneOf"]]
        if sum(not t for t in tries) != 1:
            found.append(f"{place}: fits {sum(not t for t in tries)} of oneOf: {tries}")
    if is_type(value, "number"):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            found.append(f"{place}: {value} is out of range")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{place}: {value!r:.100} does not match {schema['pattern']}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            found += problems(item, schema["items"], root, f"{place}[{i}]")
    if isinstance(value, dict):
        found += [f"{place}: {key} is missing" for key in schema.get("required", []) if key not in value]
        if len(value) < schema.get("minProperties", 0):
            found.append(f"{place}: has too few members")
        for key, member in value.items():
            more = schema.get("additionalProperties", True)
            if key in schema.get("properties", {}):
                found += problems(member, schema["properties"][key], root, f"{place}.{key}")
            elif more is False:
                found.append(f"{place}: {key} is not known")
            elif isinstance(more, dict):
                found += problems(member, more, root, f"{place}.{key}")
    return found

# SPDX-License-Identifier: MIT
"""schema.py SCHEMA[#/POINTER] FILE...: validate JSON files (or lines of JSON in *.jsonl).

Stricter than the schema itself: what it does not describe is an error, so that nothing stays
undocumented.
"""
import json
import sys

import jsonschema


def close(node):
    """Forbid unknown properties in each object that is described, in place."""
    if isinstance(node, list):
        for item in node:
            close(item)
        return
    if not isinstance(node, dict):
        return
    for value in node.values():
        close(value)
    if "properties" in node:
        node["unevaluatedProperties"] = False


def unclose_parts(schema):
    """What others are composed of must let their properties pass."""
    parts = set()

    def collect(node):
        if isinstance(node, dict):
            for part in node.get("allOf", []):
                parts.add(part["$ref"].rsplit("/", 1)[1])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(schema)
    for name in parts:
        schema["$defs"][name].pop("unevaluatedProperties", None)


def documents(path):
    with open(path, encoding="utf-8") as file:
        if path.endswith(".jsonl"):
            return [json.loads(line) for line in file]
        return [json.load(file)]


def main():
    name, _, pointer = sys.argv[1].partition("#")
    with open(name, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    close(schema)
    unclose_parts(schema)
    if pointer:
        part = pointer.rsplit("/", 1)[1]
        schema = {"$defs": schema["$defs"], "$ref": "#" + pointer, "unevaluatedProperties": False}
        schema["$defs"][part].pop("unevaluatedProperties", None)
    validator = jsonschema.Draft202012Validator(schema)
    count = failed = 0
    for path in sys.argv[2:]:
        for document in documents(path):
            count += 1
            for error in validator.iter_errors(document):
                failed += 1
                where = "/".join(str(part) for part in error.absolute_path)
                print(f"{path}: at /{where}: {error.message[:300]}")
    print(f"{count} documents, {failed} errors")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())

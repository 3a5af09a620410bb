"""Reads NaN and infinities with the models that openapi-generator has made.

Every model gets an example made from its schema. With the address of a server
as the second argument, the models also read what that server answers about
each of its experiments.
"""
import json
import re
import sys
import urllib.error
import urllib.request
from itertools import cycle

from openapi_client import models

document = json.load(open(sys.argv[1]))
schemas = document["components"]["schemas"]
doubles = cycle(["NaN", "Infinity", "-Infinity", 1.5])


def example(schema, depth=0):
    """Makes a value that has every field, as deep as makes sense."""
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        return next(doubles) if name == "DoubleValue" else example(schemas[name], depth + 1)
    if "oneOf" in schema:
        return next(doubles)
    if "enum" in schema:
        return schema["enum"][-1]
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        required = schema.get("required", [])
        out = {k: example(v, depth + 1) for k, v in fields.items() if depth < 5 or k in required}
        if isinstance(extra := schema.get("additionalProperties"), dict) and depth < 5:
            out["key"] = example(extra, depth + 1)
        return out
    if kind == "array":
        count = max(4 if depth < 3 else 1, schema.get("minItems", 0))
        return [example(schema["items"], depth + 1) for _ in range(count)]
    if schema.get("format") == "date-time":
        return "2026-01-31T12:00:00.123456789Z"
    if "pattern" in schema:
        return "9007199254740993" if schema["pattern"].endswith("+$") else "1.5s"
    return {"integer": max(1, schema.get("minimum", 1)), "boolean": True, "string": "a"}.get(kind, "a")


def count_of(value):
    """Counts the values that are not finite."""
    return len(re.findall(r'"(?:NaN|-?Infinity)"', json.dumps(value)))


# The generated models do not write what is read-only.
read_only = any(f.get("readOnly") for s in schemas.values() for f in s.get("properties", {}).values())
seen = 0
for name, schema in schemas.items():
    if schema.get("type") != "object":
        continue
    value = example(schema)
    model = getattr(models, name, None)
    if model is None:
        continue  # an object without fields, or one whose name Python reserves
    got = model.from_json(json.dumps(value))
    if not read_only and count_of(json.loads(got.to_json())) != count_of(value):
        sys.exit(f"{name} has read {value} as {got.to_json()}")
    seen += count_of(value)
print(f"{len(schemas)} schemas, {seen} values that are not finite")
if seen == 0:
    sys.exit("no schema holds a double")

if len(sys.argv) > 2:
    def get(path):
        with urllib.request.urlopen(sys.argv[2] + path) as answer:
            return answer.read()

    live = 0
    for run in json.loads(get("/v1/experiments?page_size=1000"))["experiments"]:
        for path, item in document["paths"].items():
            content = item.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
            if re.findall(r"{(\w+)}", path) != ["run_id"] or "application/json" not in content:
                continue
            try:
                text = get(path.replace("{run_id}", run["run_id"]))
            except urllib.error.HTTPError:
                continue  # what the run's Viewer does not have
            name = content["application/json"]["schema"]["$ref"].split("/")[-1]
            getattr(models, name).from_json(text)
            live += count_of(json.loads(text))
    print(f"{live} values that are not finite read from {sys.argv[2]}")
    if live == 0:
        sys.exit("the server has no such value")

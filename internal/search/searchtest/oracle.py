"""Computes which runs a filter selects, and in which order, from their files. It is slow.

It shares no code with the server. Each line of standard input is a request, a JSON object;
each line of output is the response, a list of run ids.

    runs    [{"id", "events", "dir", "table"}]: the event file, the folder of the other
            files, and whether only the merged table of 0.5 is served
    filter  ["and" | "or", a, b], ["not", a], ["has", field] or ["compare", field, op, literal]
    order   [[field, descending], ...]

A field is ["metrics", name, part], ["summary", key] or ["config", key, key, ...], a literal
["number", digits], ["text", text] or ["boolean", value].
"""

import functools
import json
import math
import operator
import os
import re
import sys

OPERATORS = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
NOTHING = None  # a missing value


def is_int64(value):
    return type(value) is int and -(2**63) <= value < 2**63


def number(value):
    """A number in the form in which it is compared: exact up to 64 bits, else a double."""
    if type(value) is int and not is_int64(value):
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    return value


def is_number(value):
    return type(value) in (int, float)


def step_of(data):
    """The step of a line of metrics, converted as by int(); None if there is none."""
    value = data.get("global_step")
    if value is None:
        value = data.get("step")
    if type(value) is bool:
        return int(value)
    if type(value) is str:
        value = int(value) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) else None
    if type(value) is float:
        value = int(value) if math.isfinite(value) else None
    return value if is_int64(value) else None


def parse(line):
    try:
        return json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None


def cells_by_step(path):
    """The merged values of the lines of each step; the last line of a value wins."""
    steps = {}
    if not os.path.exists(path):
        return steps
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    for line in lines:  # the last one may lack a newline: the run has ended
        event = parse(line)
        if not isinstance(event, dict) or event.get("type") != "metrics" or not isinstance(event.get("data"), dict):
            continue
        data = event["data"]
        step = step_of(data)
        if step is None:
            continue
        cells = steps.setdefault(step, {})
        for name, value in data.items():
            if name in ("global_step", "time") or (name == "step" and data.get("global_step") is None):
                continue
            if not isinstance(value, (dict, list)):
                cells[name] = value  # null too: it removes an earlier value
    return steps


def read_object(path):
    if not os.path.exists(path):
        return {}
    with open(path, "rb") as file:
        value = json.loads(file.read())
    return value if isinstance(value, dict) else {}


def nested(values, keys):
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return NOTHING
        values = values[key]
    return values


class Run:
    def __init__(self, where):
        self.table = where["table"]
        self.steps = cells_by_step(where["events"])
        self.summary, config = {}, {}
        if not self.table:  # 0.5 serves neither
            self.summary = read_object(os.path.join(where["dir"], "summary.json"))
            config = read_object(os.path.join(where["dir"], "assets.json")).get("config") or {}
        self.configs = [config.get("args") or {}, config.get("extra") or {}]

    def value(self, field):
        kind, *keys = field
        if kind == "metrics":
            return self.metric(*keys)
        if kind == "summary":
            return number(nested(self.summary, keys))
        return next((number(v) for v in (nested(c, keys) for c in self.configs) if v is not NOTHING), NOTHING)

    def metric(self, name, part):
        points = []
        for step in sorted(self.steps):
            value = number(self.steps[step].get(name))
            if value is NOTHING:
                continue
            if self.table and (name in ("epoch", "step") or is_number(value) and not math.isfinite(value)):
                continue
            points.append((step, value))
        finite = [float(v) for _, v in points if is_number(v) and math.isfinite(v)]
        if not points:
            return NOTHING
        return {
            "last": points[-1][1],
            "count": len(points),
            "first_step": points[0][0],
            "last_step": points[-1][0],
            "min": min(finite, default=NOTHING),
            "max": max(finite, default=NOTHING),
        }[part]


def literal_of(kind, value):
    if kind == "number":
        return int(value) if re.fullmatch(r"-?[0-9]+", value) else float(value)
    return value


def are_alike(a, b):
    """Whether two values have the same kind. NaN has none."""
    if is_number(a) and is_number(b):
        return a == a and b == b
    return type(a) is type(b) and type(a) in (str, bool)


def matches(run, test):
    kind, *rest = test
    if kind == "not":
        return not matches(run, rest[0])
    if kind == "and":
        return matches(run, rest[0]) and matches(run, rest[1])
    if kind == "or":
        return matches(run, rest[0]) or matches(run, rest[1])
    value = run.value(rest[0])
    if kind == "has":
        return value is not NOTHING
    wanted = literal_of(*rest[2])
    return are_alike(value, wanted) and OPERATORS[rest[1]](value, wanted)


def rank(value):
    """The rank of a kind in an order; None for kinds that are sorted last."""
    if is_number(value):
        return None if value != value else 1
    return {str: 2, bool: 3}.get(type(value))


def compare(order, a, b):
    """Compares two pairs of id and run."""
    for field, descending in order:
        x, y = a[1].value(field), b[1].value(field)
        if rank(x) is None or rank(y) is None:
            result = (rank(x) is None) - (rank(y) is None)
        else:
            x, y = (rank(x), x), (rank(y), y)
            result = ((x > y) - (x < y)) * (-1 if descending else 1)
        if result:
            return result
    return (a[0] > b[0]) - (a[0] < b[0])


known = {}  # the state of the files and the run, by request entry


def read(where):
    def stamp(path):
        try:
            stat = os.stat(path)
            return stat.st_size, stat.st_mtime_ns
        except FileNotFoundError:
            return None

    paths = [where["events"], *(os.path.join(where["dir"], name) for name in ("summary.json", "assets.json"))]
    key, now = json.dumps(where), [stamp(path) for path in paths]
    if key not in known or known[key][0] != now:
        known[key] = now, Run(where)
    return known[key][1]


for line in sys.stdin:
    request = json.loads(line)
    runs = [(where["id"], read(where)) for where in request["runs"]]
    selected = [pair for pair in runs if matches(pair[1], request["filter"])]
    selected.sort(key=functools.cmp_to_key(functools.partial(compare, request["order"])))
    print(json.dumps([run_id for run_id, _ in selected]), flush=True)

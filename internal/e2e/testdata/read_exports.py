"""Reads exports with the readers that people use, and prints what they say.

Arguments: files called RUN.FORMAT.LAYOUT. Output: one JSON object, per file a
list of [metric, step, time or null, kind, value, digits]. The kind is "raw" in
CSV, whose values are texts.
"""

import csv
import io
import json
import math
import sys

import pandas
import pyarrow.ipc
import pyarrow.parquet


def number(value):
    """A Python number as [kind, value, digits of an integer that a double rounds]."""
    try:
        rounded = float(value)
    except OverflowError:
        rounded = math.copysign(math.inf, value)
    digits = ""
    if isinstance(value, int) and (math.isinf(rounded) or int(rounded) != value):
        digits = str(value)
    return ["number", repr(rounded), digits]


def typed(value, is_non_finite=False):
    if isinstance(value, bool):
        return ["boolean", repr(float(value)), ""]
    if isinstance(value, str) and is_non_finite:
        return number(float(value))
    if isinstance(value, str):
        return ["text", value, ""]
    return number(value)


def read_csv(path, layout):
    text = open(path, newline="", encoding="utf-8").read()
    rows = list(csv.reader(io.StringIO(text)))
    titles, rows = rows[0], rows[1:]
    check_pandas(path, titles, rows)
    if layout == "long":
        return [[row[1], int(row[0]), float(row[3]) if row[3] else None, "raw", row[2], ""] for row in rows]
    # csv does not tell "" from nothing: texts that are empty are not compared.
    return [[title, int(row[0]), None, "raw", cell, ""]
            for row in rows for title, cell in zip(titles[1:], row[1:]) if cell != ""]


def check_pandas(path, titles, rows):
    """pandas must see the same numbers as csv."""
    frame = pandas.read_csv(path)
    assert list(frame.columns) == titles, (list(frame.columns), titles)
    assert len(frame) == len(rows), (len(frame), len(rows))
    for i, title in enumerate(titles):
        column = frame[title]
        if column.dtype.kind not in "if":
            continue
        for value, row in zip(column, rows):
            if column.dtype.kind == "i":
                want = int(row[i])
            else:
                want = float(row[i]) if row[i] != "" else math.nan
            assert value == want or math.isnan(value) and math.isnan(want), (title, value, row[i])


def read_table(table, layout):
    rows = table.to_pylist()
    frame = table.to_pandas()
    assert len(frame) == len(rows)
    if layout == "long":
        return [[r["metric"], r["step"], r["time"]] + long_cell(r) for r in rows]
    titles = [t for t in table.column_names if t != "step"]
    out = []
    for r in rows:
        for title in titles:
            name, _, suffix = title.rpartition("#")
            if r[title] is None or suffix == "exact" and name in r:
                continue
            cell = typed(r[title])
            if cell[0] == "number":
                cell[2] = r.get(title + "#exact") or ""
            out.append([name if name in r and suffix in ("boolean", "text") else title, r["step"], None] + cell)
    return out


def long_cell(r):
    for column in ("text", "boolean", "value"):
        if r[column] is not None:
            cell = typed(r[column])
            return [cell[0], cell[1], r["exact"] or ""]
    raise ValueError(f"a point without a value: {r}")


def read_json(path):
    out = []
    for experiment in json.load(open(path, encoding="utf-8"))["experiments"]:
        for series in experiment["series"]:
            is_number = series["kind"] == "number"
            assert len(series["steps"]) == len(series["times"]) == len(series["values"])
            for step, value in zip(series["steps"], series["values"]):
                out.append([series["metric"], step, None] + typed(value, is_number))
    return out


def read_lines(path):
    out = []
    for line in open(path, encoding="utf-8"):
        event = json.loads(line, parse_constant=lambda c: 1 / 0)
        if event["type"] != "metrics":
            continue
        for name, value in event["metrics"].items():
            if value is not None:
                out.append([name, event["step"], event.get("time")] + typed(value, name in event.get("nonfinite", [])))
    return out


def read(path):
    _, form, layout = path.rsplit(".", 2)
    if form == "csv":
        return read_csv(path, layout)
    if form == "arrow":
        return read_table(pyarrow.ipc.open_stream(path).read_all(), layout)
    if form == "arrow_file":
        table = pyarrow.ipc.open_file(path).read_all()
        assert pandas.read_feather(path).equals(table.to_pandas())
        return read_table(table, layout)
    if form == "parquet":
        return read_table(pyarrow.parquet.read_table(path), layout)
    if form == "json":
        return read_json(path)
    return read_lines(path)


print(json.dumps({path: read(path) for path in sys.argv[1:]}))

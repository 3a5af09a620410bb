"""Points: series of one metric as columns, and tables of them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

from . import _contract

if TYPE_CHECKING:
    from .types import MetricKind

Layout = Literal["wide", "long"]
Progress = Union[bool, Callable[[int, Union[int, None]], object], None]  # or a function of the amount done and the total (None: unknown)


class Point(NamedTuple):
    """One logged value. step is as logged, time is in unix seconds; value is a
    float (NaN and infinities included), a bool or a text."""

    viewer: str
    run_id: str
    metric: str
    step: int
    time: float
    value: float | bool | str


class Series:
    """The points of one metric of one run that have the same kind ("number",
    "boolean", "text"), as columns of equal length, in the order of the request
    (by default, of logging)."""

    def __init__(self, viewer: str, run_id: str, message: Any) -> None:
        self.viewer = viewer
        self.run_id = run_id
        self.metric = str(message.metric_name)
        self.kind: MetricKind = _contract.enum_name(message.DESCRIPTOR.fields_by_name["kind"].enum_type, message.kind)
        self.texts: list[str] = []
        self.exact: dict[int, int] = {}
        self.returned_count: int | None = None
        self.total_count: int | None = None
        self.indeterminate_cell_count: int | None = None
        self._length = 0
        self._packed: dict[str, list[bytes]] = {name: [] for name in _contract.RAW_COLUMNS}
        self._columns: dict[str, Any] = {}
        self._add(message)

    def _add(self, message: Any) -> None:
        """Appends the points of a message."""
        for name, parts in self._packed.items():
            parts.extend(getattr(message, name))
        size = len(message.texts) if self.kind == "text" else sum(map(len, message.values)) // 8
        for integer in message.exact:
            self.exact[self._length + integer.index] = int(integer.decimal)
        self.texts.extend(message.texts)
        self._length += size
        for name in ("returned_count", "total_count", "indeterminate_cell_count"):
            if message.HasField(name):
                setattr(self, name, getattr(message, name))
        self._columns.clear()

    def _bytes(self, name: str) -> bytes:
        parts = self._packed[name]
        if len(parts) > 1:
            self._packed[name] = parts = [b"".join(parts)]
        return parts[0] if parts else b""

    def _column(self, name: str, code: str) -> Any:
        if name not in self._columns:
            if code == "d":
                column = array("d")
                column.frombytes(self._bytes(name))
                if sys.byteorder == "big":
                    column.byteswap()
                else:
                    self._packed[name] = [column]  # type: ignore[list-item]  # frees the packed copy
            else:
                column = array("q", _contract.unpack_integers(name, self._bytes(name)))
            self._columns[name] = column
        return self._columns[name]

    def __len__(self) -> int:
        return self._length

    @property
    def steps(self) -> array[int]:
        """The step of each point, int64."""
        return self._column("steps", "q")

    @property
    def times(self) -> array[float]:
        """The time of each point in unix seconds, float64."""
        return self._column("times", "d")

    @property
    def values(self) -> Sequence[Any]:
        """The value of each point: float64 for numbers, else a list of bools or
        texts. Integers beyond 2^53 are rounded; `exact` has their exact values, by
        index."""
        if self.kind == "text":
            return self.texts
        column = self._column("values", "d")
        return [value != 0 for value in column] if self.kind == "boolean" else column

    @property
    def positions(self) -> array[int]:
        """The byte offset of each point's line in the event file, int64; empty
        unless requested with positions=True."""
        return self._column("positions", "q")

    def __iter__(self) -> Iterator[Point]:
        for step, time, value in zip(self.steps, self.times, self.values):
            yield Point(self.viewer, self.run_id, self.metric, step, time, value)

    def __repr__(self) -> str:
        return f"<Series {self.metric!r} of {self.run_id}: {len(self):,} {self.kind} points>"


def _numpy_values(series: Series) -> Any:
    import numpy as np

    if series.kind == "text":
        return np.array(series.texts, dtype=object)
    column = np.frombuffer(series._column("values", "d"), "f8")
    return column != 0 if series.kind == "boolean" else column


class Column(NamedTuple):
    """A column of a table, as numpy arrays. present is a mask of the cells with a
    value; None if all have one."""

    name: str
    values: Any
    present: Any = None


def long_columns(series: Sequence[Series]) -> list[Column]:
    """One row per point, in the order of series. value is empty for texts, text for the others."""
    import numpy as np

    lengths = [len(s) for s in series]
    is_text = np.repeat([s.kind == "text" for s in series], lengths) if series else np.empty(0, bool)
    total, text, start = sum(lengths), None, 0
    value = np.full(total, np.nan)
    if is_text.any():
        text = np.full(total, None, dtype=object)
    for s in series:
        target = text if s.kind == "text" and text is not None else value
        target[start : start + len(s)] = _numpy_values(s)
        start += len(s)

    def joined(column: str, code: str) -> Any:
        return np.concatenate([np.frombuffer(s._column(column, code), code) for s in series]) if series else np.empty(0, code)

    def labels(attribute: str) -> Any:
        return np.repeat(np.array([getattr(s, attribute) for s in series], dtype=object), lengths)

    columns = [Column("viewer", labels("viewer")), Column("run_id", labels("run_id")), Column("metric", labels("metric")),
               Column("step", joined("steps", "q")), Column("time", joined("times", "d")), Column("value", value, None if text is None else ~is_text)]
    return columns if text is None else [*columns, Column("text", text, is_text)]


def wide_columns(series: Sequence[Series], many: bool) -> list[Column]:
    """One row per run and step, ascending, and a column per metric, ordered by name,
    with the same names as in exports. If a step has several points, the last one
    counts. A metric of several kinds has NAME#boolean and NAME#text in addition to
    its numbers, and NAME#exact has integers that a float64 rounds. With many runs,
    the run id is the first column."""
    import numpy as np

    runs: dict[tuple[str, str], list[Series]] = {}
    for s in series:
        runs.setdefault((s.viewer, s.run_id), []).append(s)
    indexes = [_index(part) for part in runs.values()]
    columns = [Column("step", np.concatenate(indexes) if indexes else np.empty(0, "q"))]
    if many:
        ids = [run_id for _, run_id in runs]
        labels = [run_id if ids.count(run_id) == 1 else f"viewers/{viewer}/experiments/{run_id}" for viewer, run_id in runs]
        columns.insert(0, Column("run_id", np.repeat(np.array(labels, dtype=object), [len(index) for index in indexes])))
    used = {c.name for c in columns}
    for metric, kinds in _kinds(series).items():
        for i, kind in enumerate(kinds):
            name = metric if i == 0 else f"{metric}#{kind}"
            while name in used:
                name += "#"
            used.add(name)
            parts = [_reindexed(next((s for s in part if (s.metric, s.kind) == (metric, kind.replace("exact", "number"))), None), kind, index)
                     for part, index in zip(runs.values(), indexes)]
            present = np.concatenate([p.present if p.present is not None else np.ones(len(p.values), bool) for p in parts])
            columns.append(Column(name, parts[0].values if len(parts) == 1 else np.concatenate([p.values for p in parts]), None if present.all() else present))
    return columns


def _kinds(series: Sequence[Series]) -> dict[str, list[str]]:
    """Returns the kinds of each metric, in the order of their columns."""
    found: dict[str, set[str]] = {}
    for s in series:
        found.setdefault(s.metric, set()).update([s.kind, "exact"] if s.exact else [s.kind])
    return {metric: sorted(found[metric], key=["number", "exact", "boolean", "text"].index) for metric in sorted(found)}


def _index(series: Sequence[Series]) -> Any:
    """Returns the steps at which a run has points, ascending."""
    import numpy as np

    first = series[0]
    for other in series[1:]:
        if other._bytes("steps") == first._bytes("steps"):
            other._columns["steps"] = first.steps  # equal columns are unpacked once: most metrics are logged together
    steps = [np.frombuffer(s.steps, "q") for s in {id(s.steps): s for s in series}.values()]
    if len(steps) == 1 and bool((np.diff(steps[0]) > 0).all()):
        return steps[0]
    return np.unique(np.concatenate(steps))


def _reindexed(series: Series | None, kind: str, index: Any) -> Column:
    """Returns the values of a series at the steps of the index; the last one of each step."""
    import numpy as np

    dtype = {"number": "f8", "boolean": "?"}.get(kind, "O")
    empty = {"number": np.nan, "boolean": False}.get(kind)
    if series is None:
        return Column(kind, np.full(len(index), empty, dtype), np.zeros(len(index), bool))
    steps, values = np.frombuffer(series.steps, "q"), _numpy_values(series)
    if kind == "exact":
        values = np.array([str(series.exact[i]) if i in series.exact else None for i in range(len(series))], dtype=object)
    elif len(steps) == len(index) and np.array_equal(steps, index):
        return Column(kind, values)
    cells, present = np.full(len(index), empty, dtype), np.zeros(len(index), bool)
    at = np.searchsorted(index, steps)
    cells[at], present[at] = values, True  # for repeated indices numpy keeps the last value
    if kind == "exact":
        present = np.array([value is not None for value in cells], bool)
    return Column(kind, cells, None if present.all() else present)


def from_arrow(table: Any) -> list[Column]:
    """Returns the columns of an exported wide table."""
    import pyarrow as pa

    columns = []
    for name, column in zip(table.column_names, table.columns):
        present = column.is_valid().to_numpy() if column.null_count else None
        if present is not None and pa.types.is_boolean(column.type):
            column = column.fill_null(False)
        columns.append(Column(name, column.to_numpy(), present))
    return columns


def to_pandas(columns: Sequence[Column], index: Sequence[str]) -> Any:
    import pandas as pd

    data: dict[str, Any] = {}
    for name, values, present in columns:
        if present is not None and values.dtype == bool:
            data[name] = pd.arrays.BooleanArray(values, ~present)
        else:
            data[name] = values  # empty cells are already NaN or None
    frame = pd.DataFrame(data, copy=False)
    for name in ("viewer", "run_id", "metric"):
        if name in data and name not in index:
            frame[name] = frame[name].astype("category")
    return frame.set_index(list(index)) if index else frame


def to_arrow(columns: Sequence[Column]) -> Any:
    import pyarrow as pa

    def column(c: Column) -> Any:
        return pa.array(c.values, pa.string() if c.values.dtype == object else None, mask=None if c.present is None else ~c.present, from_pandas=False)

    return pa.table({c.name: column(c) for c in columns})


def to_polars(columns: Sequence[Column]) -> Any:
    import polars as pl

    def column(c: Column) -> Any:
        return pl.Series(c.name, c.values.tolist(), pl.String) if c.values.dtype == object else pl.Series(c.name, c.values)

    frame = pl.DataFrame([column(c) for c in columns])
    masked = [pl.when(pl.Series(c.present)).then(pl.col(c.name)).alias(c.name) for c in columns if c.present is not None]
    return frame.with_columns(masked) if masked else frame

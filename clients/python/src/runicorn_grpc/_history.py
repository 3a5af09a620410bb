"""Complete histories."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import _contract, _files, _html, _series
from ._files import progress_function
from ._resume import Backoff
from ._series import Layout, Series
from ._transport import BlockingTransport, Transport, finish
from .errors import ConflictError, IncompleteError, IncompleteWarning, LimitError, RunicornError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from .types import Fidelity


COUNTS = ("malformed_line_count", "lines_without_step_count")


class History(Sequence[Series]):
    """The points of one or several runs: a sequence of Series.

    history["loss"] is the series of a metric. Runs of Viewers 0.5 (`fidelity`
    "merged_table") have one value per step; all others have every point as
    logged. sampled is True if max_points or limits have removed points.
    limitations lists data that was too large to read; it is also a warning.
    """

    def __init__(self, series: list[Series], many: bool, fidelity: dict[str, Fidelity], counts: dict[str, int], limitations: list[str]) -> None:
        self.series = series
        self.fidelity = fidelity
        self.sampled = any(s.total_count is not None and s.total_count != s.returned_count for s in series)
        self.malformed_line_count = counts.get("malformed_line_count", 0)
        self.lines_without_step_count = counts.get("lines_without_step_count", 0)
        self.limitations = limitations
        self._many = many

    def __len__(self) -> int:
        return len(self.series)

    @overload
    def __getitem__(self, key: int | str) -> Series: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[Series]: ...
    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return self.series[key]
        found = [s for s in self.series if s.metric == key]
        if len(found) != 1:
            what = "several series (kinds or runs): use .series" if found else f"only {[s.metric for s in self.series]}"
            raise KeyError(f"{key!r}: the history has {what}")
        return found[0]

    def __iter__(self) -> Iterator[Series]:
        return iter(self.series)

    @property
    def point_count(self) -> int:
        """Number of points, over all series."""
        return sum(map(len, self.series))

    def _columns(self, layout: Layout) -> tuple[list[_series.Column], list[str]]:
        if layout == "long":
            return _series.long_columns(self.series), []
        if layout != "wide":
            raise ValueError(f"layout {layout!r}: want 'wide' or 'long'")
        return _series.wide_columns(self.series, self._many), ["run_id", "step"] if self._many else ["step"]

    def to_pandas(self, layout: Layout = "wide") -> pd.DataFrame:
        """Returns a pandas.DataFrame.

        "wide": index step (for several runs run_id and step), a column per metric
        (float64, bool or text; NaN where there is no value); if a step has several
        points, the last one. "long": a row per point with viewer, run_id, metric,
        step, time (unix seconds), value and, if there are text metrics, text.

        >>> client.history(run_id).to_pandas()["loss"].plot()  # doctest: +SKIP
        """
        return _series.to_pandas(*self._columns(layout))

    def to_polars(self, layout: Layout = "wide") -> pl.DataFrame:
        """Returns a polars.DataFrame like to_pandas, but with step as a column, and
        null (not NaN) where there is no value."""
        return _series.to_polars(self._columns(layout)[0])

    def to_arrow(self, layout: Layout = "wide") -> pa.Table:
        """Returns a pyarrow.Table like to_polars."""
        return _series.to_arrow(self._columns(layout)[0])

    def to_numpy(self, layout: Layout = "wide") -> dict[str, np.ndarray[Any, Any]]:
        """Returns the columns of to_polars as numpy arrays by name; NaN, False or
        None where there is no value."""
        return {c.name: c.values for c in self._columns(layout)[0]}

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for s in self.series[:100]:
            ends = (s.steps[0], s.steps[-1], s.values[-1]) if len(s) else (None, None, None)
            yield (*((s.run_id,) if self._many else ()), s.metric, s.kind, len(s), *ends)

    def __repr__(self) -> str:
        return f"<History of {len(self.series)} series, {self.point_count:,} points{', sampled' if self.sampled else ''}>"

    def _repr_html_(self) -> str:
        header = ["metric", "kind", "points", "first step", "last step", "last value"]
        return _html.table(["run"] * self._many + header, self._rows(), repr(self).strip("<>"))


class AsyncHistoryQuery:
    """A history that is read on first use.

    `to_pandas`, `to_polars`, `to_arrow` and `to_numpy` read a table. If pyarrow is
    installed, a wide table of one run is read as Arrow, which is the fastest way.
    `load` reads the points; with asyncio `await client.history(run)` does the
    same. With the blocking client, series and counts can be used directly:
    client.history(run)["loss"].
    """

    def __init__(self, transport: Transport, fields: dict[str, Any], progress: Any) -> None:
        self._transport, self._fields, self._progress = transport, fields, progress
        self._loaded: History | None = None

    async def _load(self) -> History:
        if self._loaded is None:
            self._loaded = await read_history(self._transport, self._fields, self._progress)
        return self._loaded

    async def load(self) -> History:
        """Reads all points, and stores them."""
        return await self._load()

    def __await__(self) -> Generator[Any, Any, History]:
        return self._load().__await__()

    async def to_pandas(self, layout: Layout = "wide") -> pd.DataFrame:
        """Reads the history as a pandas.DataFrame; see History.to_pandas."""
        return _series.to_pandas(*await self._columns(layout))

    async def to_polars(self, layout: Layout = "wide") -> pl.DataFrame:
        """Reads the history as a polars.DataFrame; see History.to_polars."""
        return _series.to_polars((await self._columns(layout))[0])

    async def to_arrow(self, layout: Layout = "wide") -> pa.Table:
        """Reads the history as a pyarrow.Table; see History.to_arrow."""
        return _series.to_arrow((await self._columns(layout))[0])

    async def to_numpy(self, layout: Layout = "wide") -> dict[str, np.ndarray[Any, Any]]:
        """Reads the history as numpy arrays; see History.to_numpy."""
        return {c.name: c.values for c in (await self._columns(layout))[0]}

    async def _columns(self, layout: Layout) -> tuple[list[_series.Column], list[str]]:
        given = {key for key, value in self._fields.items() if value not in (None, False)}
        plain = given <= {"run_ids", "metric_names", "metric_prefixes", "order", "viewer"} and len(self._fields["run_ids"]) == 1
        if layout != "wide" or self._loaded is not None or not plain or importlib.util.find_spec("pyarrow") is None:
            return (await self._load())._columns(layout)
        import pyarrow as pa

        fields = {key: self._fields[key] for key in ("metric_names", "metric_prefixes", "viewer")}
        fields |= {"run_id": self._fields["run_ids"][0], "format": "arrow", "layout": "wide"}
        source = _files.Pulled()
        part = _files.Part(self._transport, "ExportExperiment", fields, source, progress_function(self._progress, "history", "B"), checked=False)
        try:
            if isinstance(self._transport, BlockingTransport):
                source.more = lambda: finish(part.more())  # the table is built while the file is received
            else:
                while await part.more():
                    pass
            table = pa.ipc.open_stream(pa.PythonFile(source, "r")).read_all()
            while await part.more():
                pass
        except (LimitError, UnsupportedError, ConflictError):  # such as no temporary space, or a run that grew; reading points avoids both
            return (await self._load())._columns(layout)
        finally:
            part.cancel()
        _warn(part.trailer.limitations)
        return _series.from_arrow(table), ["step"]

    def _now(self) -> History:
        if not isinstance(self._transport, BlockingTransport):
            raise TypeError("the history is not read yet: use `history = await client.history(...)`")
        return finish(self._load())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(History, name) and name not in ("series", "fidelity", "sampled", "malformed_line_count", "lines_without_step_count", "limitations"):
            raise AttributeError(name)
        return getattr(self._now(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._now()[key]

    def __iter__(self) -> Iterator[Series]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return f"<History of {', '.join(self._fields['run_ids'])}, not read yet>" if self._loaded is None else repr(self._loaded)

    def _repr_html_(self) -> str:
        return _html.table([repr(self)], []) if self._loaded is None and not isinstance(self._transport, BlockingTransport) else self._now()._repr_html_()


async def read_history(transport: Transport, fields: dict[str, Any], progress: Any) -> History:
    """Reads a history; after a failure it is read again from its start."""
    method = _contract.METHODS["StreamMetrics"]
    request = _contract.build(method.request, fields)
    show = progress_function(progress, "history", "points")
    backoff = Backoff(transport.settings.retries)
    while True:
        try:
            return await _read_once(transport, method, request, show)
        except RunicornError as error:
            await transport.sleep(backoff.delay(error, "history"))


async def _read_once(transport: Transport, method: _contract.Method, request: Any, show: Any) -> History:
    series: dict[tuple[str, str, str, int], Series] = {}
    fidelity: dict[str, Fidelity] = {}
    count = 0
    stream = await transport.open(method, request)
    try:
        while (message := await stream.next(None)) is not None:
            if message.HasField("trailer"):
                trailer = message.trailer
                break
            batch = message.batch
            for part in batch.series:
                key = (message.viewer, message.run_id, part.metric_name, part.kind)
                if key in series:
                    series[key]._add(part)
                else:
                    series[key] = Series(message.viewer, message.run_id, part)
            fidelity[message.run_id] = _contract.enum_name(_contract.message_class("MetricBatch").DESCRIPTOR.fields_by_name["fidelity"].enum_type, batch.fidelity)
            if show is not None:
                count = sum(map(len, series.values()))
                show(count, None)
        else:
            raise IncompleteError("the history is truncated: it has no trailer", code="DATA_LOSS")
        if await stream.next(None) is not None:
            raise IncompleteError("the history continues after its trailer", code="DATA_LOSS")
    finally:
        stream.cancel()
    history = History(list(series.values()), len(request.run_ids) > 1, fidelity, {n: getattr(trailer, n) for n in COUNTS}, list(trailer.limitations))
    _warn(history.limitations)
    if history.point_count != trailer.point_count:
        raise IncompleteError(f"the history is truncated: received {history.point_count} of {trailer.point_count} points", code="DATA_LOSS")
    if show is not None:
        show(history.point_count, history.point_count)
    return history


def _warn(limitations: Any) -> None:
    if limitations:
        warnings.warn(f"the history is incomplete: {' '.join(limitations)}", IncompleteWarning, stacklevel=3)


def from_metrics(message: Any) -> History:
    """Returns the history in an answer of GetMetrics."""
    series = [Series(message.viewer, message.run_id, part) for part in message.series]
    fidelity = _contract.enum_name(message.DESCRIPTOR.fields_by_name["fidelity"].enum_type, message.fidelity)
    _warn(message.limitations)
    return History(series, False, {message.run_id: fidelity}, {n: getattr(message, n) for n in COUNTS}, list(message.limitations))

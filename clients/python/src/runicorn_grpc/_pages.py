"""Lists that fetch their pages automatically, and unary calls."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _contract, _html
from ._resume import Backoff
from ._transport import BlockingTransport, Transport, finish
from .errors import IncompleteWarning, RunicornError

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

    from .types import ExperimentResult as ExperimentResult
    from .types import UnreachableViewer as UnreachableViewer

T = TypeVar("T")
PAGE_SIZE = 500
# Columns that tables in notebooks omit.
NOISE = {"resource_name", "etag", "view", "viewer_status", "lossy_text", "update_time", "missing", "metadata", "process_id"}


async def call(transport: Transport, rpc: str, fields: dict[str, Any]) -> Any:
    """Makes a unary call. Reads are retried after connection failures; changes
    never are."""
    method = _contract.METHODS[rpc]
    request = _contract.build(method.request, fields)
    backoff = Backoff(transport.settings.retries if method.reads else 0)
    while True:
        try:
            return await transport.unary(method, request, transport.settings.timeout)
        except RunicornError as error:
            await transport.sleep(backoff.delay(error, rpc))


class AsyncPages(Generic[T]):
    """A list on the server. Each iteration reads it again, page by page.

    page: the last answer, as a record; None before the first.
    total_size: number of entries over all pages; None if the server does not
        return it.
    unreachable: Viewers whose entries are missing.
    not_read: experiments whose metrics could not be read.

    An iteration that ends with Viewers in unreachable or experiments in not_read
    issues an IncompleteWarning.
    """

    def __init__(self, transport: Transport, rpc: str, items: str, limit: int | None, fields: dict[str, Any]) -> None:
        self._transport, self._rpc, self._items, self._limit, self._fields = transport, rpc, items, limit, fields
        self._owner: Any = None  # of an iterator: the list that it iterates over
        self._buffer: list[T] = []
        self._token: str | None = ""
        self._count = 0
        self.page: Any = None
        self.total_size: int | None = None
        self.unreachable: list[UnreachableViewer] = []
        self.not_read: list[ExperimentResult] = []

    def __aiter__(self) -> Self:
        if self._owner is not None:
            return self
        self.unreachable, self.not_read = [], []
        iterator = copy.copy(self)
        iterator._owner, iterator._buffer, iterator._token, iterator._count = self, [], "", 0
        return iterator

    async def __anext__(self) -> T:
        if self._limit is not None and self._count >= self._limit:
            raise StopAsyncIteration
        while not self._buffer:
            if self._token is None:
                raise StopAsyncIteration
            await self._next_page()
        self._count += 1
        return self._buffer.pop()

    async def _next_page(self) -> None:
        size = PAGE_SIZE if self._limit is None else max(1, min(PAGE_SIZE, self._limit - self._count))
        answer = _contract.wrap(await call(self._transport, self._rpc, self._fields | {"page_size": size, "page_token": self._token}))
        self._buffer = getattr(answer, self._items)[::-1]
        self._token = answer.next_page_token or None
        owner = self._owner or self
        owner.page, owner.total_size = answer, getattr(answer, "total_size", None)
        for name in ("unreachable", "not_read"):
            known = getattr(owner, name)
            known.extend(part for part in getattr(answer, name, []) if part not in known)
        if self._token is None and (owner.unreachable or owner.not_read):
            lost = [f"viewer {u.viewer}: {u.error}" for u in owner.unreachable] + [f"run {r.run_id}: {r.error}" for r in owner.not_read]
            warnings.warn(f"the list is incomplete: {'; '.join(lost)}", IncompleteWarning, stacklevel=4)

    async def _all(self) -> list[T]:
        iterator, found = AsyncPages.__aiter__(self), []
        try:
            while True:
                found.append(await AsyncPages.__anext__(iterator))
        except StopAsyncIteration:
            return found

    async def to_list(self) -> list[T]:
        """Returns all entries."""
        return await self._all()

    async def to_pandas(self) -> pd.DataFrame:
        """Returns a pandas.DataFrame with a row per entry and a column per field.
        Nested fields have the names of the filter language: best_metric.value,
        summary.KEY, metrics.NAME.last."""
        import pandas as pd

        records: Any = await self._all()
        return pd.DataFrame(_contract.rows(records))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._rpc}{'' if self.total_size is None else f', {self.total_size:,} entries'}>"

    def _repr_html_(self) -> str:
        if not isinstance(self._transport, BlockingTransport):
            return _html.table([repr(self)], [])
        start = copy.copy(self)
        start._limit, start._token, start._count = 50, "", 0
        finish(start._next_page())
        records: Any = start._buffer[::-1]
        columns = {k: v for k, v in _contract.rows(records).items() if k not in NOISE and any(x not in (None, "", [], "unspecified") for x in v)}
        of = "" if start.total_size is None else f" of {start.total_size:,}"
        return _html.table(list(columns), zip(*columns.values()), f"{len(records)}{of} {self._items.replace('_', ' ')}")

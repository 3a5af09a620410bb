"""Live streams that resume automatically."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, Union

from . import _contract
from ._resume import Backoff
from ._series import Point, Series
from ._transport import Stream, Transport
from .errors import NotFoundError, RunicornError

if TYPE_CHECKING:
    from typing_extensions import Self

    from .types import EndReason, ExperimentStatus, Fidelity, LogResetReason
    from .types import Experiment as Experiment
    from .types import Heartbeat as Heartbeat
    from .types import UnreachableViewer as UnreachableViewer
    from .types import WatchHeartbeat as WatchHeartbeat

HEARTBEAT = 15.0  # seconds, the server's default


class LogLine(NamedTuple):
    """One line of a log, without its newline. offset is the byte offset of its
    start in the file (None on 0.5). partial: the line has no newline yet, and is
    sent again with the same offset. lossy: bytes were not UTF-8, or the line was
    truncated to 1 MiB."""

    text: str
    offset: int | None
    lossy: bool
    partial: bool


@dataclasses.dataclass(frozen=True)
class Event:
    """An event of a run. token resumes after it."""

    viewer: str
    run_id: str
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Points(Event):
    """Points, by series; each series in the order of logging. Iterates over points."""

    series: list[Series]
    fidelity: Fidelity

    def __iter__(self) -> Iterator[Point]:
        for series in self.series:
            yield from series


@dataclasses.dataclass(frozen=True)
class Lines(Event):
    """Lines of the log, in order. Iterates over lines."""

    lines: list[LogLine]

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self.lines)


@dataclasses.dataclass(frozen=True)
class CaughtUp(Event):
    """The history of this run has been sent; later points are live."""


@dataclasses.dataclass(frozen=True)
class LogReset(Event):
    """Discard the points or lines received of this run: its log was truncated or
    replaced, and is sent again from the start."""

    reason: LogResetReason


@dataclasses.dataclass(frozen=True)
class StatusChange(Event):
    """The run has a new status."""

    status: ExperimentStatus
    viewer_status: str


@dataclasses.dataclass(frozen=True)
class End(Event):
    """No more events of this run follow."""

    reason: EndReason
    viewer_status: str


TailEvent = Union[Points, CaughtUp, LogReset, StatusChange, End]
LogEvent = Union[Lines, CaughtUp, LogReset, StatusChange, End]
E = TypeVar("E", bound=Event)
I = TypeVar("I", Point, LogLine)


class LogResetError(RunicornError):
    """A log was truncated or replaced, so the points or lines received of it are
    invalid. To continue instead, iterate over events, or pass on_event."""


def _enum(message: Any, field: str) -> Any:
    return _contract.enum_name(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


_EVENTS: dict[str, Callable[[tuple[str, str, str], Any], Event]] = {
    "caught_up": lambda at, m: CaughtUp(*at),
    "log_reset": lambda at, m: LogReset(*at, _enum(m, "reason")),
    "status_change": lambda at, m: StatusChange(*at, _enum(m, "status"), m.viewer_status),
    "end": lambda at, m: End(*at, _enum(m, "reason"), m.viewer_status),
}


class AsyncResuming:
    """A stream that is resumed after the last received message when it fails."""

    token: str  # resumes after the last event that the caller has received

    def __init__(self, transport: Transport, rpc: str, fields: dict[str, Any], token: str, give_up_after: int | None) -> None:
        self._transport = transport
        self._method = _contract.METHODS[rpc]
        self._fields = fields
        self.token = self._next_token = token
        self._silence = 2 * float(fields.get("heartbeat_interval") or HEARTBEAT)
        self._give_up_after = give_up_after
        # Before the first message, retries are limited: the address or the request may be wrong.
        self._backoff = Backoff(transport.settings.retries)
        self._stream: Stream | None = None
        self._messages = 0  # of this stream
        self._ended = False

    def _request(self) -> Any:
        fields = dict(self._fields)
        if self._next_token:
            # Runs and selections are sent together with the token: proxies route
            # by the runs, and the token does not contain the selections.
            fields |= {"resume_token": self._next_token, "start": None, "last_lines": None}
        return _contract.build(self._method.request, fields)

    async def _receive(self) -> Any:
        """Returns the next message, or None at the end of the stream."""
        while not self._ended:
            try:
                if self._stream is None:
                    self._stream, self._messages = await self._transport.open(self._method, self._request()), 0
                message = await self._stream.next(self._silence)
            except RunicornError as error:
                self._broken()
                await self._transport.sleep(self._backoff.delay(error, self._method.name))
                continue
            except BaseException:
                self._broken()  # interrupted; a later call resumes the stream
                raise
            if message is None:
                self._ended = True
                return None
            self._backoff.limit = self._give_up_after
            self._messages += 1
            if self._messages > 1 or message.WhichOneof("event") != "heartbeat":
                self._backoff.succeeded()  # the first heartbeat is no progress: each connection begins with one
            return message
        return None

    def _broken(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def cancel(self) -> None:
        """Ends the stream. `token` resumes it later."""
        self._ended = True
        self._broken()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the event loop may be closed, or __init__ may have failed
            self._broken()


class AsyncEvents(AsyncResuming, Generic[E]):
    """An iterator of events, the base of the tails of metrics and logs.

    token: resumes after the events that the iterator has returned; store it
        together with their data.
    health: the newest heartbeat, which reports whether the Viewer answers and how
        fresh the stream is; None before the first.
    """

    health: Heartbeat | None = None

    async def _next_event(self) -> Event | None:
        while (message := await self._receive()) is not None:
            self._next_token = message.resume_token
            kind = message.WhichOneof("event")
            at = (message.viewer, message.run_id, message.resume_token)
            if kind == "heartbeat":
                self.health = _contract.wrap(message.heartbeat)
                self.token = message.resume_token
            elif kind == "batch":
                return self._batch(at, message.batch)
            elif kind in _EVENTS:
                return _EVENTS[kind](at, getattr(message, kind))
        return None

    def _batch(self, at: tuple[str, str, str], batch: Any) -> Event:
        if self._method.name == "TailLogs":
            return Lines(*at, [LogLine(m.text, m.offset if m.HasField("offset") else None, m.lossy, m.partial) for m in batch.lines])
        return Points(*at, [Series(at[0], at[1], m) for m in batch.series], _enum(batch, "fidelity"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        event = await self._next_event()
        if event is None:
            raise StopAsyncIteration
        self.token = event.token
        return event  # type: ignore[return-value]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()


class AsyncTail(AsyncEvents[TailEvent]):
    """Events of runs as they are logged: Points, CaughtUp, LogReset, StatusChange, End."""

    def points(self, on_event: Callable[[Event], object] | None = None) -> AsyncPointIterator:
        """Returns an iterator over the points, one by one.

        on_event is called with every other event. Without it, a LogReset raises
        LogResetError, and a run that does not exist raises NotFoundError.

        >>> for point in client.tail(run_id).points():  # doctest: +SKIP
        ...     print(point.step, point.metric, point.value)
        """
        return self._transport.twin_of(AsyncPointIterator)(self, on_event)


class AsyncLogTail(AsyncEvents[LogEvent]):
    """Events of a run's log: Lines, CaughtUp, LogReset, StatusChange, End."""

    def lines(self, on_event: Callable[[Event], object] | None = None) -> AsyncLineIterator:
        """Returns an iterator over the lines (LogLine), one by one; on_event: see
        Tail.points.

        >>> for line in client.logs(run_id).lines():  # doctest: +SKIP
        ...     print(line.text)
        """
        return self._transport.twin_of(AsyncLineIterator)(self, on_event)


class AsyncItemIterator(Generic[I]):
    """The items of a tail's batches, one by one. The tail's token advances when the
    last item of a batch is returned."""

    def __init__(self, tail: AsyncEvents[Any], on_event: Callable[[Event], object] | None) -> None:
        self.tail = tail
        self._on_event = on_event
        self._items: list[Any] = []
        self._batch_token = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> I:
        while not self._items:
            event = await self.tail._next_event()
            if event is None:
                raise StopAsyncIteration
            if isinstance(event, (Points, Lines)):
                self._items = list(event)[::-1]
                self._batch_token = event.token
                continue
            self.tail.token = event.token
            if self._on_event is not None:
                self._on_event(event)
            elif isinstance(event, LogReset):
                raise LogResetError(f"the log of {event.run_id} was {event.reason}; the data received of it is invalid", code="ABORTED")
            elif isinstance(event, End) and event.reason == "not_found":
                raise NotFoundError(f"there is no run {event.run_id}", code="NOT_FOUND", reason="RUN_NOT_FOUND", metadata={"run_id": event.run_id})
        item: I = self._items.pop()
        if not self._items:
            self.tail.token = self._batch_token
        return item


class AsyncPointIterator(AsyncItemIterator[Point]):
    """The points of a tail (Point), one by one."""


class AsyncLineIterator(AsyncItemIterator[LogLine]):
    """The lines of a log (LogLine), one by one."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of a watched list. kind is "created" (new, or now matches the
    filter), "updated", "deleted" (removed, or no longer matches; experiment is its
    last known state) or "synced" (the list is complete; experiment is None)."""

    kind: str
    experiment: Experiment | None


class AsyncWatch(AsyncResuming):
    """The experiments that match a filter, and each change of them once.

    experiments: the experiments that match now, by resource name.
    unreachable: Viewers that did not answer when the stream last connected.
    """

    def __init__(self, transport: Transport, fields: dict[str, Any], give_up_after: int | None) -> None:
        AsyncResuming.__init__(self, transport, "WatchExperiments", fields, "", give_up_after)
        self.experiments: dict[str, Experiment] = {}
        self.unreachable: list[UnreachableViewer] = []
        self.health: WatchHeartbeat | None = None
        self._changes: list[Change] = []
        self._snapshot: dict[str, Any] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            message = await self._receive()
            if message is None:
                raise StopAsyncIteration
            self._changes = self._apply(message)[::-1]
        return self._changes.pop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()

    def _broken(self) -> None:
        AsyncResuming._broken(self)
        self._snapshot = None

    def _apply(self, message: Any) -> list[Change]:
        """Returns the changes in a message. Each connection begins with a snapshot,
        which is compared with the known experiments."""
        kind = message.WhichOneof("event")
        if kind == "snapshot":
            self._snapshot = self._snapshot or {}
            self._snapshot.update({e.resource_name: e for e in message.snapshot.experiments})
            return []
        if kind == "synced":
            self.unreachable = _contract.wrap(message.synced).unreachable
            away = {u.viewer for u in self.unreachable}
            found, self._snapshot = self._snapshot or {}, None
            gone = [name for name, e in self.experiments.items() if name not in found and e.viewer not in away]
            changes = [self._put(e) for e in found.values()] + [Change("deleted", self.experiments.pop(name)) for name in gone]
            return [c for c in changes if c is not None] + [Change("synced", None)]
        if kind in ("created", "updated"):
            change = self._put(getattr(message, kind))
            return [] if change is None else [change]
        if kind == "deleted" and message.deleted.resource_name in self.experiments:
            return [Change("deleted", self.experiments.pop(message.deleted.resource_name))]
        if kind == "heartbeat":
            self.health = _contract.wrap(message.heartbeat)
        return []

    def _put(self, message: Any) -> Change | None:
        before = self.experiments.get(message.resource_name)
        if before is not None and before.proto == message:
            return None
        self.experiments[message.resource_name] = experiment = _contract.wrap(message)
        return Change("created" if before is None else "updated", experiment)

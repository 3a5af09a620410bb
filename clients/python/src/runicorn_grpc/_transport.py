"""Channels and calls, blocking and with asyncio: the only code that exists twice.

All other code is written once, with async and await, on top of Transport. Over
the blocking transport no await ever suspends, so a coroutine completes in one
step; see twin.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import ipaddress
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

# Without this variable grpc cannot be used after a fork. grpc reads it when it is loaded.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

import grpc  # noqa: E402
import grpc.aio  # noqa: E402

from ._contract import Method, message_class  # noqa: E402
from ._version import __version__  # noqa: E402
from .errors import ConnectionError, RunicornError, from_rpc  # noqa: E402

T = TypeVar("T")
DEFAULT_ADDRESS = "127.0.0.1:23310"
DEFAULT_PORT = 23310


def _is_local(address: str) -> bool:
    """Returns whether an address is always on this machine."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        return host in ("localhost", "unix") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Silent(ConnectionError):
    """A stream had no message for longer than its heartbeat interval allows."""


class Settings:
    """The address of the server, and the options of connections and calls."""

    def __init__(self, address: str | None, token: str | None, tls: bool | None, ca_file: str | None, timeout: float, retries: int) -> None:
        address = address or os.environ.get("RUNICORN_GRPC_ADDRESS") or DEFAULT_ADDRESS
        scheme, _, rest = address.rpartition("://")
        if scheme not in ("", "http", "https", "grpc", "grpcs", "dns", "unix"):
            raise ValueError(f"address {address!r}: want host:port")
        self.address = address if scheme in ("dns", "unix") else rest.rstrip("/")
        local = _is_local(self.address)
        if ":" not in self.address.rpartition("]")[2]:
            self.address += f":{DEFAULT_PORT}"
        self.token = token if token is not None else os.environ.get("RUNICORN_GRPC_TOKEN", "")
        if tls is None:
            tls = scheme in ("https", "grpcs") or ca_file is not None or (bool(self.token) and not local)
        self.tls, self.ca_file, self.timeout, self.retries = tls, ca_file, timeout, retries
        self.metadata = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        self.options: list[tuple[str, Any]] = [
            ("grpc.primary_user_agent", f"runicorn-grpc-python/{__version__}"),
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.enable_retries", 0),  # this package decides on retries
            ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.min_reconnect_backoff_ms", 10_000), ("grpc.max_reconnect_backoff_ms", 5000),
            ("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 20_000), ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.lookahead_bytes", 16 << 20),  # a window large enough for histories and files at full speed
            ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
            ("grpc.enable_http_proxy", 0 if local else 1),
        ]

    def credentials(self) -> grpc.ChannelCredentials:
        roots = None
        if self.ca_file is not None:
            with open(self.ca_file, "rb") as file:
                roots = file.read()
        return grpc.ssl_channel_credentials(roots)

    def __repr__(self) -> str:  # without the token
        return f"{self.address!r}{', tls=True' if self.tls else ''}"


class Stream(Protocol):
    async def next(self, limit: float | None) -> Any:
        """Returns the next message, or None at the end with status OK. After limit
        seconds without a message it cancels the call and raises Silent."""

    def cancel(self) -> None: ...


class Transport(Protocol):
    settings: Settings

    async def unary(self, method: Method, request: Any, timeout: float) -> Any: ...
    async def open(self, method: Method, request: Any) -> Stream: ...
    async def sleep(self, seconds: float) -> None: ...
    async def close(self) -> None: ...
    def twin_of(self, kind: type[T]) -> type[T]: ...


def _codecs(method: Method) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    return message_class(method.request).SerializeToString, message_class(method.response).FromString


class _Connection:
    """A channel that is closed when neither the transport nor a call refers to it."""

    def __init__(self, settings: Settings) -> None:
        s, self._pid = settings, os.getpid()
        self.channel = grpc.secure_channel(s.address, s.credentials(), s.options) if s.tls else grpc.insecure_channel(s.address, s.options)

    def __del__(self) -> None:
        # close waits for a thread of grpc. The garbage collector may run __del__ on
        # that thread, and it no longer exists when the interpreter ends.
        with contextlib.suppress(Exception):  # __init__ may have failed
            if self._pid == os.getpid() and not sys.is_finalizing():
                threading.Thread(target=self.channel.close, daemon=True).start()


class BlockingTransport:
    """Calls that block. Safe for concurrent use, and after a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._pid = 0
        self._closed = False
        self._connection: _Connection | None = None
        self._watchdog = Watchdog()

    def _connected(self) -> _Connection:
        """Returns the connection, which the first call of a process opens."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._pid != os.getpid():
                self._connection, self._watchdog, self._pid = None, Watchdog(), os.getpid()
            if self._connection is None:
                self._connection = _Connection(self.settings)
            return self._connection

    async def unary(self, method: Method, request: Any, timeout: float) -> Any:
        connection = self._connected()  # the reference keeps it open during the call
        call = connection.channel.unary_unary(method.path, *_codecs(method))
        try:
            return call(request, timeout=timeout, metadata=self.settings.metadata)
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.address) from None

    async def open(self, method: Method, request: Any) -> BlockingStream:
        connection = self._connected()
        call = connection.channel.unary_stream(method.path, *_codecs(method))(request, metadata=self.settings.metadata)
        return BlockingStream(self, connection, call, self._watchdog)

    def renew(self, connection: _Connection) -> None:
        """Makes the next call open a new connection; calls on the old one continue."""
        with self._lock:
            if self._connection is connection:
                self._connection = None

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def close(self) -> None:
        with self._lock:
            connection, self._connection, self._closed = self._connection, None, True
        if connection is not None and self._pid == os.getpid():
            self._watchdog.close()
            connection.channel.close()

    def twin_of(self, kind: type[T]) -> type[T]:
        made: type[T] = twin(kind)  # type: ignore[arg-type]
        return made


class BlockingStream:
    def __init__(self, transport: BlockingTransport, connection: _Connection, call: Any, watchdog: Watchdog) -> None:
        self._transport, self._connection, self._call, self._watchdog = transport, connection, call, watchdog
        self.deadline: float | None = None
        self.silent = False

    async def next(self, limit: float | None) -> Any:
        if limit is not None:
            self.deadline = time.monotonic() + limit
            self._watchdog.add(self)
        try:
            return next(self._call)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            if self.silent:
                self._transport.renew(self._connection)
                raise Silent(f"no message for {limit:.0f} s", code="UNAVAILABLE") from None
            raise from_rpc(error, self._transport.settings.address) from None
        finally:
            self.deadline = None

    def cut(self) -> None:
        self.silent = True
        self._call.cancel()

    def cancel(self) -> None:
        self.deadline = None
        self._call.cancel()


class Watchdog:
    """Cancels streams without messages: one thread for all streams of a transport,
    which ends when there are no streams."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._streams: weakref.WeakSet[BlockingStream] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, stream: BlockingStream) -> None:
        with self._changed:
            self._streams.add(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="runicorn-grpc-watchdog", daemon=True)
                self._thread.start()

    def close(self) -> None:
        with self._changed:
            thread = self._thread
            self._streams.clear()
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(0.5)
                if not self._streams:
                    self._thread = None
                    return
                late = [s for s in self._streams if s.deadline is not None and s.deadline < time.monotonic()]
            for stream in late:
                stream.cut()
            del late


class AsyncTransport:
    """Calls with asyncio: one channel for each process and event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[int, Any]] = weakref.WeakKeyDictionary()

    def _connected(self) -> Any:
        if self._closed:
            raise RuntimeError("the client is closed")
        loop = asyncio.get_running_loop()
        pid, channel = self._channels.get(loop, (0, None))
        if channel is None or pid != os.getpid():
            s = self.settings
            channel = grpc.aio.secure_channel(s.address, s.credentials(), s.options) if s.tls else grpc.aio.insecure_channel(s.address, s.options)
            self._channels[loop] = os.getpid(), channel
        return channel

    async def unary(self, method: Method, request: Any, timeout: float) -> Any:
        call = self._connected().unary_unary(method.path, *_codecs(method))(request, timeout=timeout, metadata=self.settings.metadata)
        try:
            return await call
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.address) from None
        except asyncio.CancelledError:
            raise await _cancelled(call) from None

    async def open(self, method: Method, request: Any) -> AsyncStream:
        channel = self._connected()
        return AsyncStream(self, channel, channel.unary_stream(method.path, *_codecs(method))(request, metadata=self.settings.metadata))

    def renew(self, channel: Any) -> None:
        """Makes the next call open a new connection; calls on the old one continue."""
        loop = asyncio.get_running_loop()
        if self._channels.get(loop, (0, None))[1] is channel:
            del self._channels[loop]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._closed = True
        pid, channel = self._channels.pop(asyncio.get_running_loop(), (0, None))
        if channel is not None and pid == os.getpid():
            await channel.close()

    def twin_of(self, kind: type[T]) -> type[T]:
        return kind


class AsyncStream:
    def __init__(self, transport: AsyncTransport, channel: Any, call: Any) -> None:
        self._transport, self._channel, self._call = transport, channel, call

    async def next(self, limit: float | None) -> Any:
        try:
            message = await asyncio.wait_for(self._call.read(), limit)
        except asyncio.TimeoutError:
            self._call.cancel()
            self._transport.renew(self._channel)
            raise Silent(f"no message for {limit:.0f} s", code="UNAVAILABLE") from None
        except grpc.RpcError as error:
            raise from_rpc(error, self._transport.settings.address) from None
        except asyncio.CancelledError:
            raise await _cancelled(self._call) from None
        return None if message is grpc.aio.EOF else message

    def cancel(self) -> None:
        self._call.cancel()


async def _cancelled(call: Any) -> BaseException:
    """Returns the exception of a canceled call: RunicornError if the other side
    canceled the call, CancelledError if the task was canceled. grpc raises
    CancelledError for both."""
    if call.done() and "ocally cancelled" not in (await call.details() or ""):
        return RunicornError(await call.details() or "the call was cancelled", code="CANCELLED")
    call.cancel()
    return asyncio.CancelledError()


# Blocking versions of asynchronous classes.

_NAMES = {"__aiter__": "__iter__", "__anext__": "__next__", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine over the blocking transport, which never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a blocking call tried to wait for an event loop")


def _blocking(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return finish(function(*args, **kwargs))
        except StopAsyncIteration:
            raise StopIteration from None

    return call


@functools.lru_cache(maxsize=None)
def twin(kind: Any) -> Any:
    """Returns the blocking version of an asynchronous class: the same methods,
    without await, and the name without "Async"."""
    members: dict[str, Any] = {}
    for name, member in vars(kind).items():
        if name in ("__dict__", "__weakref__"):
            continue
        public = name in _NAMES or not name.startswith("_")  # other methods await the private ones, so these stay coroutines
        members[_NAMES.get(name, name)] = _blocking(member) if public and inspect.iscoroutinefunction(member) else member
    members["__qualname__"] = kind.__name__.removeprefix("Async")
    bases = tuple(base if base is object or not base.__name__.startswith("Async") else twin(base) for base in kind.__bases__)
    return type(members["__qualname__"], bases, members)

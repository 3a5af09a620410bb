"""Exports and downloads: files that are resumed after failures, and verified."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import _contract
from ._resume import Backoff
from ._transport import Stream, Transport
from .errors import ConflictError, IncompleteError, RunicornError


@dataclasses.dataclass(frozen=True)
class File:
    """A saved file. limitations lists data that its format cannot represent;
    missing_files lists files that a zip lacks because the Viewer has lost them."""

    path: Path
    size_bytes: int
    sha256: str
    content_type: str
    limitations: list[str]
    missing_files: list[str]


def progress_function(progress: Any, what: str, unit: str) -> Any:
    """Returns the function that is called with progress, or None. If progress is
    None, it is a bar in notebooks, if tqdm (the extra "progress") is installed."""
    if callable(progress):
        return progress
    if progress is None:
        progress = "ipykernel" in sys.modules and importlib.util.find_spec("tqdm") is not None
    if not progress:
        return None
    from tqdm.auto import tqdm

    bar = tqdm(desc=what, unit=unit, unit_scale=True)

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


class Part:
    """A file that is being received, with as many calls as necessary. A call that
    made progress does not count as failed."""

    def __init__(self, transport: Transport, rpc: str, fields: dict[str, Any], file: Any, show: Any, checked: bool = True) -> None:
        self._transport, self._method, self._fields = transport, _contract.METHODS[rpc], fields
        self._backoff = Backoff(transport.settings.retries)
        self._stream: Stream | None = None
        self.file, self.show, self.checked = file, show, checked
        self.header: Any = None
        self.trailer: Any = None
        self.sum = hashlib.sha256()  # of the whole file
        self.received = 0

    async def more(self) -> bool:
        """Receives a message; returns False if the file is complete."""
        if self.trailer is not None:
            return False
        try:
            stream = self._stream = self._stream or await self._open()
            self._take(await stream.next(None))
        except ConflictError:
            self.cancel()
            if self.received == 0:
                raise
            self._restart()  # the file has changed
        except RunicornError as error:
            self.cancel()
            if self.received > self._begun and self.header.etag:
                self._backoff.succeeded()
            await self._transport.sleep(self._backoff.delay(error, self._method.name))
            if self.header is None or not self.header.etag:
                self._restart()
        except BaseException:
            self.cancel()
            raise
        return True

    async def _open(self) -> Stream:
        fields = self._fields
        if self.received:
            fields = fields | {"offset": self.received, "if_match": self.header.etag}
        # The checksum of the trailer covers the bytes of this call, usually the whole file.
        self._begun, self._sent = self.received, hashlib.sha256() if self.received else self.sum
        return await self._transport.open(self._method, _contract.build(self._method.request, fields))

    def _take(self, message: Any) -> None:
        if message is None:
            raise IncompleteError("the file is truncated: it has no trailer", code="DATA_LOSS")
        kind = message.WhichOneof("part")
        if kind == "header":
            if message.header.offset != self.received:
                raise IncompleteError(f"the file continues at byte {message.header.offset} instead of {self.received}", code="DATA_LOSS")
            self.header = message.header
        elif kind == "chunk":
            self._add(message.chunk)
        elif kind == "trailer":
            if (self.checked and message.trailer.sha256 != self._sent.hexdigest()) or message.trailer.size_bytes != self.received:
                raise IncompleteError("the file is damaged: it does not match its SHA-256 and size", code="DATA_LOSS")
            self.trailer = message.trailer
            self.cancel()

    def _add(self, chunk: bytes) -> None:
        self.file.write(chunk)
        if self.checked:
            self.sum.update(chunk)
            if self._sent is not self.sum:
                self._sent.update(chunk)
        self.received += len(chunk)
        if self.show is not None:
            self.show(self.received, self.header.size_bytes if self.header.HasField("size_bytes") else None)

    def _restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.header, self.sum, self.received = None, hashlib.sha256(), 0

    def cancel(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None


class Pulled:
    """A file in memory whose reader calls more() until enough has been written. It
    can be read once."""

    closed = False

    def __init__(self) -> None:
        self.more: Callable[[], bool] = lambda: False
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._read = False

    def write(self, piece: bytes) -> None:
        self._pieces.append(memoryview(piece))
        self._size += len(piece)

    def read(self, size: int) -> bytes:
        while self._size < size and self.more():
            pass
        parts = []
        while size > 0 and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
            parts.append(piece[:size])
            size -= len(parts[-1])
            self._size -= len(parts[-1])
        self._read = True
        return b"".join(parts)

    def seek(self, _: int) -> None:
        if self._read:
            raise ConflictError("the file changed while it was read", code="ABORTED")

    def truncate(self) -> None:
        self._pieces.clear()
        self._size = 0


async def save(transport: Transport, rpc: str, fields: dict[str, Any], path: str | os.PathLike[str], progress: Any) -> File:
    """Saves a file at path or, if path is a folder, in it under the name that the
    server gives. Until it is complete and verified it is called path.part."""
    target = Path(path)
    partial = target / f".runicorn-{os.getpid()}.part" if target.is_dir() else target.with_name(target.name + ".part")
    try:
        with partial.open("w+b") as file:
            part = Part(transport, rpc, fields, file, progress_function(progress, target.name, "B"))
            while await part.more():
                pass
        header = part.header
        if target.is_dir():
            target /= Path(header.file_name).name or rpc
        partial.replace(target)
        if part.show is not None:
            part.show(part.received, part.received)
        return File(target, part.received, part.sum.hexdigest(), header.content_type, [*header.limitations, *part.trailer.limitations], list(part.trailer.missing_files))
    finally:
        partial.unlink(missing_ok=True)

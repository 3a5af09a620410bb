"""Exports and downloads: files that are resumed where they broke, and checked."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from . import _contract
from ._resume import Backoff
from ._transport import Transport
from .errors import ConflictError, IncompleteError, RunicornError


@dataclasses.dataclass(frozen=True)
class File:
    """A file that was saved. limitations says what its format cannot hold of the
    data; missing_files names what a zip lacks because the Viewer lost it."""

    path: Path
    size_bytes: int
    sha256: str
    content_type: str
    limitations: list[str]
    missing_files: list[str]


def progress_function(progress: Any, what: str, unit: str) -> Any:
    """Returns the function to tell progress to. None: a bar in a notebook, if
    there is tqdm (the extra "progress")."""
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
    """One file on its way: what came of it so far."""

    def __init__(self, file: Any, show: Any, checked: bool = True) -> None:
        self.file, self.show, self.checked = file, show, checked
        self.header: Any = None
        self.sum = hashlib.sha256()  # of the whole file
        self.received = 0

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.header, self.sum, self.received = None, hashlib.sha256(), 0

    def begin(self, header: Any) -> None:
        if header.offset != self.received:
            raise IncompleteError(f"the file continues at byte {header.offset} instead of {self.received}", code="DATA_LOSS")
        self.header = header

    def add(self, chunk: bytes) -> None:
        self.file.write(chunk)
        if self.checked:
            self.sum.update(chunk)
        self.received += len(chunk)
        if self.show is not None:
            self.show(self.received, self.header.size_bytes if self.header.HasField("size_bytes") else None)


async def save(transport: Transport, rpc: str, fields: dict[str, Any], path: str | os.PathLike[str], progress: Any) -> File:
    """Saves a file under path; into a folder under the name that the server gives
    it. Until it is complete and checked it is called path.part."""
    target = Path(path)
    partial = target / f".runicorn-{os.getpid()}.part" if target.is_dir() else target.with_name(target.name + ".part")
    try:
        with partial.open("w+b") as file:
            part = Part(file, progress_function(progress, target.name, "B"))
            trailer = await receive(transport, rpc, fields, part)
        header = part.header
        if target.is_dir():
            target /= Path(header.file_name).name or rpc
        partial.replace(target)
        if part.show is not None:
            part.show(part.received, part.received)
        return File(target, part.received, part.sum.hexdigest(), header.content_type, [*header.limitations, *trailer.limitations], list(trailer.missing_files))
    finally:
        partial.unlink(missing_ok=True)


async def receive(transport: Transport, rpc: str, fields: dict[str, Any], part: Part) -> Any:
    """Receives a file in as many calls as it takes. A call that got further
    counts as none of those that failed."""
    backoff = Backoff(transport.settings.retries)
    while True:
        before = part.received
        try:
            return await _call(transport, rpc, fields, part)
        except ConflictError:
            if part.received == 0:
                raise
            part.restart()  # it has changed since
        except RunicornError as error:
            if part.received > before and part.header.etag:
                backoff.succeeded()
            await transport.sleep(backoff.delay(error, rpc))
            if part.header is None or not part.header.etag:
                part.restart()


async def _call(transport: Transport, rpc: str, fields: dict[str, Any], part: Part) -> Any:
    method = _contract.METHODS[rpc]
    if part.received:
        fields = fields | {"offset": part.received, "if_match": part.header.etag}
    # The trailer speaks of this call's bytes, which most often are all.
    sent = hashlib.sha256() if part.received else part.sum
    stream = await transport.open(method, _contract.build(method.request, fields))
    try:
        while (message := await stream.next(None)) is not None:
            kind = message.WhichOneof("part")
            if kind == "header":
                part.begin(message.header)
            elif kind == "chunk":
                part.add(message.chunk)
                if part.checked and sent is not part.sum:
                    sent.update(message.chunk)
            elif kind == "trailer":
                if (part.checked and message.trailer.sha256 != sent.hexdigest()) or message.trailer.size_bytes != part.received:
                    raise IncompleteError("the file is damaged: it does not match its SHA-256 and size", code="DATA_LOSS")
                return message.trailer
    finally:
        stream.cancel()
    raise IncompleteError("the file was cut: it has no trailer", code="DATA_LOSS")

"""A client of runicorn-grpc, the gRPC endpoint in front of Runicorn Viewers.

>>> import runicorn_grpc
>>> client = runicorn_grpc.Client()  # connects at the first call
"""

from . import types
from ._compare import Comparison
from ._files import File
from ._filter import quote
from ._history import AsyncHistoryQuery, History
from ._pages import AsyncPages
from ._series import Point, Series
from ._sync import Client, HistoryQuery, LineIterator, LogTail, Pages, PointIterator, Tail, Watch
from ._tail import (
    AsyncLineIterator, AsyncLogTail, AsyncPointIterator, AsyncTail, AsyncWatch, CaughtUp, Change, End, Event, Lines, LogLine, LogReset,
    LogResetError, Points, StatusChange,
)
from ._version import __version__
from .client import AsyncClient
from .errors import (
    AuthenticationError, BadRequestError, ConflictError, ConnectionError, HostKeyError, IncompleteError, IncompleteWarning, LimitError, NotFoundError,
    OutcomeUnknownError, PermissionError, RunicornError, ServerError, StateError, TimeoutError, UnsupportedError,
)

__all__ = [
    "AsyncClient", "AsyncHistoryQuery", "AsyncLineIterator", "AsyncLogTail", "AsyncPages", "AsyncPointIterator", "AsyncTail", "AsyncWatch", "AuthenticationError",
    "BadRequestError", "CaughtUp", "Change", "Client", "Comparison", "ConflictError", "ConnectionError", "End", "Event", "File", "History", "HistoryQuery",
    "HostKeyError", "IncompleteError", "LimitError", "LineIterator", "Lines", "LogLine", "LogReset", "LogResetError", "LogTail",
    "NotFoundError", "OutcomeUnknownError", "Pages", "IncompleteWarning", "PermissionError", "Point", "PointIterator", "Points",
    "RunicornError", "Series", "ServerError", "StateError", "StatusChange", "Tail", "TimeoutError", "UnsupportedError", "Watch",
    "__version__", "quote", "types",
]

"""The exceptions of calls. Every error is a RunicornError; its class is its kind.

RunicornError
├── ConnectionError          the server, a Viewer or an SSH server does not answer
│   └── TimeoutError         it is too slow
├── NotFoundError            no such run, artifact, asset, viewer, connection
├── BadRequestError          the request is invalid
│   └── StateError           valid, but not allowed in the current state
│       ├── ConflictError    an etag is not the current one, or a file has changed
│       └── HostKeyError     an SSH host key is unknown, or has changed
├── ServerError              the server or a Viewer failed
│   ├── UnsupportedError     this Viewer's generation does not support the call
│   ├── IncompleteError      an answer was truncated, or does not match its SHA-256
│   └── OutcomeUnknownError  a change was sent, but no answer arrived
├── LimitError               a limit is reached, or the answer is too large
└── AuthenticationError      a token or a login is refused
    └── PermissionError      the token's role is insufficient, or the server forbids it
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from . import _contract

DOMAIN = "runicorn-grpc"


class RunicornError(Exception):
    """An error of a call.

    code: the gRPC status, such as "NOT_FOUND".
    reason: the machine-readable reason, such as "RUN_NOT_FOUND"; "" if the error
        is not that of runicorn-grpc, but of a proxy or the connection.
    metadata: details of the reason by name, such as {"run_id": …}.
    retry_after: minimum delay before a retry in seconds; None if the server gave
        none.
    violations: descriptions of the invalid fields of the request, by field.
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", reason: str = "", metadata: dict[str, str] | None = None,
                 retry_after: float | None = None, violations: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = metadata or {}
        self.retry_after = retry_after
        self.violations = violations or {}

    def __reduce__(self) -> Any:
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def resumable(self) -> bool:
        """Whether a read may be retried, and a stream resumed: the status is
        UNAVAILABLE, or the connection failed (proxies report a killed server as
        INTERNAL, UNKNOWN or CANCELLED without a reason)."""
        return self.code == "UNAVAILABLE" or (not self.reason and self.code in ("INTERNAL", "UNKNOWN", "CANCELLED"))


class ConnectionError(RunicornError):
    """The server, a Viewer or an SSH server cannot be reached."""


class TimeoutError(ConnectionError):
    """A deadline has passed: the caller's or one of the server's."""


class NotFoundError(RunicornError):
    """The requested resource does not exist."""


class BadRequestError(RunicornError):
    """The request is invalid; `violations` describes the fields."""


class StateError(BadRequestError):
    """The request is valid, but the current state of its resource does not allow it."""


class ConflictError(StateError):
    """The resource has changed: an etag is not the current one."""


class HostKeyError(StateError):
    """An SSH server's key is unknown, or has changed.

    No key is accepted automatically. Compare `fingerprint` with the one that the
    server's owner publishes, then call `accept_host_key(error.host_key)` and
    connect again.
    """

    host_key: Any = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that the server presents: "SHA256:…"."""
        return str(self.host_key.fingerprint_sha256)

    @property
    def expected_fingerprint(self) -> str:
        """The fingerprint that was accepted before; "" for a new server."""
        return str(self.host_key.expected_fingerprint_sha256)


class ServerError(RunicornError):
    """The server or a Viewer failed."""


class UnsupportedError(ServerError):
    """This Viewer's generation does not support the call; metadata["instead"] names
    an alternative if there is one."""


class IncompleteError(ServerError):
    """An answer was truncated, or is damaged. No part of it was returned."""


class IncompleteWarning(UserWarning):
    """An answer is incomplete: Viewers of a list did not answer, experiments could
    not be read, or lines of an event file are too large. The message names them."""


class OutcomeUnknownError(ServerError):
    """A change was sent but no answer arrived, so it may have been made. See
    metadata["check"] before a retry."""


class LimitError(RunicornError):
    """A limit is reached, or the answer is too large."""


class AuthenticationError(RunicornError):
    """The server, a Viewer or an SSH server refused the token or the login."""


class PermissionError(AuthenticationError):
    """The token's role is insufficient, or the server runs without the flag that
    allows the call."""


CODES = ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED "
         "FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED").split()

_BY_CODE: dict[str, type[RunicornError]] = {
    "CANCELLED": ConnectionError, "UNAVAILABLE": ConnectionError, "DEADLINE_EXCEEDED": TimeoutError, "NOT_FOUND": NotFoundError,
    "INVALID_ARGUMENT": BadRequestError, "OUT_OF_RANGE": BadRequestError, "FAILED_PRECONDITION": StateError,
    "ALREADY_EXISTS": ConflictError, "ABORTED": ConflictError, "UNIMPLEMENTED": UnsupportedError, "DATA_LOSS": IncompleteError,
    "RESOURCE_EXHAUSTED": LimitError, "UNAUTHENTICATED": AuthenticationError, "PERMISSION_DENIED": PermissionError,
}
_BY_REASON: dict[str, type[RunicornError]] = {
    "OUTCOME_UNKNOWN": OutcomeUnknownError, "HOST_KEY_UNKNOWN": HostKeyError, "HOST_KEY_CHANGED": HostKeyError,
}


def from_code(code: str, message: str, details: Any = ()) -> RunicornError:
    """Returns the error of a call for a status code, a message and status details."""
    found: dict[str, Any] = {}
    host_key = None
    for detail in details:
        name = detail.TypeName()
        if name == "google.rpc.ErrorInfo":
            info = _unpack(detail)
            if info.domain == DOMAIN:
                found |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif name == "google.rpc.RetryInfo":
            found["retry_after"] = _unpack(detail).retry_delay.ToTimedelta() / dt.timedelta(seconds=1)
        elif name == "google.rpc.BadRequest":
            found["violations"] = {v.field: v.description for v in _unpack(detail).field_violations}
        elif name == _contract.PACKAGE + "HostKey":
            host_key = _contract.wrap(_unpack(detail))
    kind = _BY_REASON.get(found.get("reason", ""), _BY_CODE.get(code, ServerError))
    error = kind(message or code, code=code, **found)
    if isinstance(error, HostKeyError):
        error.host_key = host_key
    return error


def _unpack(detail: Any) -> Any:
    return _contract.message_class(detail.TypeName()).FromString(detail.value)


def from_status(status: Any) -> RunicornError:
    """Returns the error for a google.rpc.Status in an answer."""
    code = CODES[status.code] if 0 <= status.code < len(CODES) else "UNKNOWN"
    return from_code(code, status.message, status.details)


def from_rpc(error: Any, address: str) -> RunicornError:
    """Returns the error of a call for an error of grpc."""
    details: Any = ()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            details = _contract.message_class("google.rpc.Status").FromString(value).details
    made = from_code(error.code().name, error.details() or "", details)
    if not made.reason and made.code == "UNAVAILABLE":
        made.args = (f"{address} does not answer ({made}); is runicorn-grpc running there?",)
    return made


def _restored(kind: type[RunicornError], args: tuple[str], state: dict[str, Any]) -> RunicornError:
    error = kind(*args)
    error.__dict__.update(state)
    return error

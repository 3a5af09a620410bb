"""The contract: messages in a private descriptor pool, and their Python form.

The wheel contains one FileDescriptorSet and no generated code, so it works with
every protobuf runtime, and its private pool cannot collide with other packages.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib.resources
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from . import _html

PACKAGE = "runicornapi.v1."

# Columns of MetricSeries that are kept packed as bytes: unpacking each message
# would take most of the time of a history. The fields stay repeated, because a
# packed field may arrive in several parts.
RAW_COLUMNS = ("steps", "times", "values", "positions")


class Method:
    """One RPC: its path, its messages, whether it streams, and whether it only reads."""

    def __init__(self, service: str, method: descriptor_pb2.MethodDescriptorProto) -> None:
        self.name = method.name
        self.path = f"/{PACKAGE}{service}/{method.name}"
        self.request = method.input_type.rpartition(".")[2]
        self.response = method.output_type.rpartition(".")[2]
        self.streams = method.server_streaming
        self.reads = method.options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


def _load() -> tuple[Any, dict[str, Method]]:
    pool = descriptor_pool.DescriptorPool()
    methods = {}
    packed = importlib.resources.files(__package__).joinpath("contract.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(packed).file:
        for message in file.message_type:
            if message.name == "MetricSeries":
                for field in message.field:
                    if field.name in RAW_COLUMNS:
                        field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
        for service in file.service:
            methods.update({m.name: Method(service.name, m) for m in service.method})
        pool.AddSerializedFile(file.SerializeToString())
    columns = descriptor_pb2.FileDescriptorProto(name="runicorn_grpc.proto", package="runicorn_grpc", syntax="proto3")
    message = columns.message_type.add(name="Columns")
    for number, (name, kind) in enumerate((("steps", "SINT64"), ("positions", "INT64")), 1):
        message.field.add(name=name, number=number, label=3, type="TYPE_" + kind)
    pool.AddSerializedFile(columns.SerializeToString())
    return pool, methods


POOL, METHODS = _load()


@functools.cache
def message_class(name: str) -> Any:
    """Returns the class of a message by its full name, or by its name in the contract."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name if "." in name else PACKAGE + name))


def unpack_integers(column: str, packed: bytes) -> Any:
    """Unpacks a column of integers; column is "steps" or "positions"."""
    size, length = len(packed), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    tag = b"\x0a" if column == "steps" else b"\x12"
    return getattr(message_class("runicorn_grpc.Columns").FromString(tag + bytes(length) + packed), column)


# Requests: Python values to messages.


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _enum_prefix(enum: Any) -> str:
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


def enum_number(enum: Any, value: str) -> int:
    """Returns the number of an enum's value by its short name, such as "running"."""
    prefix = _enum_prefix(enum)
    found = enum.values_by_name.get(prefix + value.upper())
    if found is None:
        known = ", ".join(repr(v.name.removeprefix(prefix).lower()) for v in enum.values if v.number)
        raise ValueError(f"{value!r} is no {enum.name}; these are: {known}")
    return int(found.number)


def enum_name(enum: Any, number: int) -> Any:
    """Returns the short name, or the number as text if this package does not know
    the value."""
    found = enum.values_by_number.get(number)
    return str(number) if found is None else str(found.name.removeprefix(_enum_prefix(enum)).lower())


def build(name: str, fields: Mapping[str, Any]) -> Any:
    """Returns a message of the contract with these fields; None omits a field."""
    message = message_class(name)()
    for key, value in fields.items():
        if value is not None:
            _set(message, message.DESCRIPTOR.fields_by_name[key], value)
    return message


def _set(message: Any, field: Any, value: Any) -> None:
    if _is_repeated(field):
        if isinstance(value, str):
            raise TypeError(f"{field.name}: want a list, not the text {value!r}")
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        _fill(getattr(message, field.name), value, field.name)
    elif field.enum_type is not None:
        setattr(message, field.name, enum_number(field.enum_type, value))
    else:
        setattr(message, field.name, value)


def _fill(message: Any, value: Any, name: str) -> None:
    kind = message.DESCRIPTOR.full_name
    message.SetInParent()
    if isinstance(value, Record):
        message.CopyFrom(value.proto)
    elif kind == "google.protobuf.Duration":
        message.FromTimedelta(value if isinstance(value, dt.timedelta) else dt.timedelta(seconds=value))
    elif kind == "google.protobuf.FieldMask":
        message.paths.extend(value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if part is not None:
                _set(message, message.DESCRIPTOR.fields_by_name[key], part)
    else:
        raise TypeError(f"{name}: want a mapping or {kind}, not {type(value).__name__}")


# Answers: messages to Python values.


def _value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None:
        return None
    found = getattr(message, kind)
    return json.loads(found) if kind == "json" else found


def _status(message: Any) -> Any:
    from .errors import from_status

    return from_status(message)


_PYTHON: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": lambda m: m.ToDatetime(tzinfo=dt.timezone.utc),
    "google.protobuf.Duration": lambda m: m.ToTimedelta(),
    "google.rpc.Status": _status,
    PACKAGE + "Value": _value,
}


def wrap(message: Any) -> Any:
    """Returns a message's Python form: a Record, or for some messages a Python
    type, such as datetime."""
    special = _PYTHON.get(message.DESCRIPTOR.full_name)
    return special(message) if special else record_class(message.DESCRIPTOR.name)(message)


def _reader(field: Any) -> Callable[[Any], Any]:
    """Returns a function that reads a field of a message as a Python value."""
    name, enum, kind = field.name, field.enum_type, field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = kind.fields_by_name["value"]
        if value.message_type is None:
            return lambda m: dict(getattr(m, name))
        return lambda m: {key: wrap(part) for key, part in getattr(m, name).items()}
    if _is_repeated(field):
        if kind is not None:
            return lambda m: [wrap(part) for part in getattr(m, name)]
        return lambda m: list(getattr(m, name))
    if kind is not None:
        return lambda m: wrap(getattr(m, name)) if m.HasField(name) else None
    if enum is not None:
        return lambda m: enum_name(enum, getattr(m, name))
    if field.has_presence:
        return lambda m: getattr(m, name) if m.HasField(name) else None
    return lambda m: getattr(m, name)


class Record:
    """One message of the server, read-only, with Python values.

    Times are datetimes in UTC, durations are timedeltas, enums are their short
    names as text ("running"), absent fields are None, errors are exceptions.
    `proto` is the message itself, with nanoseconds and unknown fields.
    """

    __slots__ = ("proto",)
    _readers: dict[str, Callable[[Any], Any]] = {}

    def __init__(self, message: Any) -> None:
        self.proto = message

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self.proto == other.proto)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _restore, (self.proto.DESCRIPTOR.name, self.proto.SerializeToString())

    def _present(self) -> dict[str, Any]:
        return {field.name: self._readers[field.name](self.proto) for field, _ in self.proto.ListFields()}

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields by name; nested records are dicts, too."""
        return {name: _plain(reader(self.proto)) for name, reader in self._readers.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._present().items())})"

    def _repr_html_(self) -> str:
        return _html.table(["field", "value"], self._present().items())


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _restore(name: str, serialized: bytes) -> Any:
    return wrap(message_class(name).FromString(serialized))


@functools.cache
def record_class(name: str) -> type[Record]:
    """Returns the Record class of a message, with a property for each field."""
    descriptor = message_class(name).DESCRIPTOR
    readers = {field.name: _reader(field) for field in descriptor.fields}

    def property_of(read: Callable[[Any], Any]) -> property:
        return property(lambda self: read(self.proto))

    members: dict[str, Any] = {key: property_of(read) for key, read in readers.items()}
    members |= {"__slots__": (), "__module__": __package__ + ".types", "_readers": readers}
    members["__doc__"] = f"{name} of the contract, with {', '.join(readers) or 'no fields'}."
    return type(name, (Record,), members)


def flat(record: Record) -> dict[str, Any]:
    """Returns a record as one row of a table. Nested fields get the dotted names of
    the filter language: summary.KEY, metrics.NAME.last."""
    row: dict[str, Any] = {}
    for key, read in record._readers.items():
        value = read(record.proto)
        if isinstance(value, Record):
            row.update({f"{key}.{k}": v for k, v in flat(value).items()})
        elif isinstance(value, dict):
            row.update({f"{key}.{k}": v for k, v in value.items()})
        elif key == "metrics" and isinstance(value, list):
            for m in value:
                parts = {"last": m.last_value, "min": m.min_value, "max": m.max_value, "count": m.count, "last_step": m.last_step}
                row.update({f"metrics.{m.metric_name}.{part}": v for part, v in parts.items() if v is not None})
        else:
            row[key] = value
    return row


def rows(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Returns records as columns of equal length; absent values are None."""
    table = [flat(record) for record in records]
    names = dict.fromkeys(name for row in table for name in row)
    nested = {name.partition(".")[0] for name in names if "." in name}
    return {name: [row.get(name) for row in table] for name in names if name not in nested}

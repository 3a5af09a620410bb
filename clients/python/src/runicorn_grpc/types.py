"""Records of the server's messages, by the contract's names; types.pyi has their
fields. An enum is a typing.Literal of its short names."""

from typing import Any, Literal

from . import _contract


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        found: Any = _contract.record_class(name)
    except KeyError:
        try:
            enum = _contract.POOL.FindEnumTypeByName(_contract.PACKAGE + name)
        except KeyError:
            raise AttributeError(f"the contract has no {name}") from None
        found = Literal[tuple(_contract.enum_name(enum, value.number) for value in enum.values)]
    globals()[name] = found
    return found

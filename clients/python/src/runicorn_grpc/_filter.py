"""Quoting of values in filters."""

from __future__ import annotations

_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "*": "\\*", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quote(value: str) -> str:
    """Returns a value, or a name such as that of a metric, quoted for a filter.

    >>> print("name = " + quote('a "b" OR c*'))
    name = "a \\"b\\" OR c\\*"
    """
    return '"' + value.translate(_ESCAPES) + '"'


def join(filter: str, **equal: str | None) -> str:
    """Returns a filter that also requires these fields to equal these values.

    >>> print(join("alias:* OR tags:prod", project="a b", status="running"))
    (alias:* OR tags:prod) AND project = "a b" AND status = RUNNING
    """
    terms = [f"({filter})"] if filter.strip() else []
    for field, value in equal.items():
        if value is not None:
            terms.append(f"{field} = {value.upper() if field == 'status' and value.isidentifier() else quote(value)}")
    return " AND ".join(terms) if len(terms) > 1 or not filter.strip() else filter

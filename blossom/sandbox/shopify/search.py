"""Shopify's search syntax, as far as our operations use it: `field:value`, comparisons, quotes, AND (or nothing), OR.

Unlike Shopify, which passes over what it doesn't know, a field or an operator that isn't here is an error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

_TERM = re.compile(r"\s*(?:(?P<word>AND|OR)\b|(?P<field>\w+):\s*(?P<op>>=|<=|>|<)?\s*(?:'(?P<q>[^']*)'|(?P<v>\S+)))")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "": operator.eq,
}

Value = datetime | int | str | None


def matcher(query: str | None) -> Callable[[Mapping[str, Value]], bool]:
    """Says of a thing's values by field whether it is found. ValueError for what can't be read."""
    alternatives: list[list[tuple[str, Callable[[Any, Any], bool], str]]] = [[]]
    position, text = 0, (query or "").strip()
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise ValueError(f"the search can't be read at {text[position : position + 20]!r}")
        position = found.end()
        if found["word"] == "OR":
            alternatives.append([])
        elif found["field"]:
            value = found["q"] if found["q"] is not None else found["v"]
            alternatives[-1].append((found["field"], _COMPARE[found["op"] or ""], value))
    return lambda values: any(all(_holds(values, *term) for term in terms) for terms in alternatives)


def _holds(values: Mapping[str, Value], field: str, compare: Callable[[Any, Any], bool], wanted: str) -> bool:
    if field not in values:
        raise ValueError(f"nothing is searched by {field} here; there are {', '.join(values)}")
    value = values[field]
    if value is None:
        return False
    if isinstance(value, datetime):
        at = datetime.fromisoformat(wanted)
        return compare(value, at if at.tzinfo else at.replace(tzinfo=UTC))
    if isinstance(value, int):
        return compare(value, int(wanted))
    return compare(value.lower(), wanted.lower())

"""A shop's segments, and who is in them: a query over customers, answered anew each time, as at Shopify.

The language is ShopifyQL's, as far as a merchant's usual segments go: `number_of_orders >= 3`, `amount_spent > 100`,
`customer_tags CONTAINS 'vip'` (or `NOT CONTAINS`), `customer_countries CONTAINS 'GR'`, `sms_subscription_status =
'SUBSCRIBED'`, joined by AND, which binds closer, and OR. What it doesn't know is an error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blossom.sandbox.shopify.customers import Customer

_TERM = re.compile(
    r"\s*(?P<field>[a-z_]+)\s*(?P<op>NOT CONTAINS|CONTAINS|>=|<=|!=|=|>|<)"
    r"\s*(?:'(?P<text>[^']*)'|(?P<number>\d+(?:\.\d+)?))"
)
_JOIN = re.compile(r"\s+(AND|OR)\b")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
    "CONTAINS": lambda values, value: value in values,
    "NOT CONTAINS": lambda values, value: value not in values,
}
_FIELDS: Mapping[str, Callable[[Customer], Any]] = {
    "number_of_orders": lambda person: person.orders,
    "amount_spent": lambda person: person.amount_spent / 100,
    "customer_tags": lambda person: person.tags,
    "customer_countries": lambda person: [person.country],
    "sms_subscription_status": lambda person: person.consent.state,
    "customer_language": lambda person: person.locale,
}


@dataclass
class Segment:
    """`query` as the merchant wrote it."""

    id: int
    name: str
    query: str

    def __post_init__(self) -> None:
        matcher(self.query)  # a faulty one is refused when it is made

    @property
    def gid(self) -> str:
        """Its id in GraphQL."""
        return f"gid://shopify/Segment/{self.id}"


def matcher(query: str) -> Callable[[Customer], bool]:
    """Says of a customer whether they are in. ValueError for a query that can't be read."""
    alternatives: list[list[tuple[Callable[[Customer], Any], Callable[[Any, Any], bool], Any]]] = [[]]
    position = 0
    while True:
        found = _TERM.match(query, position)
        if found is None or found["field"] not in _FIELDS:
            raise ValueError(f"the segment's query can't be read at {query[position : position + 20]!r}")
        is_list = found["field"] in ("customer_tags", "customer_countries")
        if is_list != ("CONTAINS" in found["op"]):
            raise ValueError(f"{found['field']} can't be compared by {found['op']}")
        value: Any = found["text"] if found["text"] is not None else float(found["number"])
        alternatives[-1].append((_FIELDS[found["field"]], _COMPARE[found["op"]], value))
        position = found.end()
        if not query[position:].strip():
            return lambda person: any(
                all(is_so(of(person), value) for of, is_so, value in each) for each in alternatives
            )
        joined = _JOIN.match(query, position)
        if joined is None:
            raise ValueError(f"the segment's query can't be read at {query[position : position + 20]!r}")
        if joined[1] == "OR":
            alternatives.append([])
        position = joined.end()


def members(segment: Segment, customers: Mapping[int, Customer]) -> list[Customer]:
    """Who is in it now, in the order of their ids."""
    is_in = matcher(segment.query)
    return sorted((person for person in customers.values() if is_in(person)), key=lambda person: person.id)

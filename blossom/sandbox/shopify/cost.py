"""What a GraphQL call costs, and the bucket that it is paid from.

Shopify's rules (shopify.dev, “GraphQL Admin API rate limits”): an object 1 point, a connection 2 and the objects of its
page, a mutation 10, scalars and enums nothing; no call above 1,000. Shopify charges large pages less than their sum,
by a rule that it doesn't publish; the plain sum is the stricter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import graphql
from graphql import language

if TYPE_CHECKING:
    from blossom.sandbox.shopify.state import Shop

MOST_POINTS = 1_000
MUTATION_POINTS = 10
BUCKET_SECONDS = 20.0

POINTS_A_SECOND = {"basic": 100, "advanced": 200, "plus": 1000, "enterprise": 2000}
"""What a shop's plan gives back, a second."""


@dataclass
class Bucket:
    """A shop's points: `points` were there at `at`, and `rate` come back a second, until there are `most`."""

    rate: float
    most: float
    points: float
    at: datetime | None = None

    @classmethod
    def of_plan(cls, plan: str) -> Bucket:
        """A full one. ValueError for a plan that isn't."""
        if plan not in POINTS_A_SECOND:
            raise ValueError(f"plan is one of {', '.join(POINTS_A_SECOND)}")
        rate = float(POINTS_A_SECOND[plan])
        return cls(rate, rate * BUCKET_SECONDS, rate * BUCKET_SECONDS)

    def available(self, now: datetime) -> float:
        """The points that are there now."""
        if self.at is not None:
            self.points = min(self.most, self.points + self.rate * max(0.0, (now - self.at).total_seconds()))
        self.at = now
        return self.points

    def spend(self, points: float, now: datetime) -> None:
        """Take points out."""
        self.points = self.available(now) - points

    def drain(self, now: datetime, left: float = 0.0) -> None:
        """Leave only so many."""
        self.points = min(self.available(now), left)

    def status(self, now: datetime) -> dict[str, float]:
        """`throttleStatus`."""
        return {
            "maximumAvailable": self.most,
            "currentlyAvailable": float(math.floor(self.available(now))),
            "restoreRate": float(self.rate),
        }


def described(shop: Shop, asked: int, charged: int | None, now: datetime) -> dict[str, Any]:
    """`extensions.cost`; `charged` is None where nothing was done."""
    return {
        "requestedQueryCost": asked,
        "actualQueryCost": charged,
        "throttleStatus": shop.bucket.status(now),
    }


def asked(schema: graphql.GraphQLSchema, operation: language.OperationDefinitionNode, given: Asked) -> int:
    """What the operation may cost at most."""
    if operation.operation is language.OperationType.MUTATION:
        return MUTATION_POINTS * len(operation.selection_set.selections)
    assert schema.query_type is not None
    return given.of(schema.query_type, operation.selection_set)


Parent = graphql.GraphQLObjectType | graphql.GraphQLInterfaceType


class Asked:
    """Adds up a selection, with a document's fragments and a call's variables."""

    def __init__(
        self,
        schema: graphql.GraphQLSchema,
        fragments: dict[str, language.FragmentDefinitionNode],
        variables: dict[str, Any],
    ) -> None:
        self._schema, self._fragments, self._variables = schema, fragments, variables

    def of(self, parent: Parent, selection: language.SelectionSetNode, page: int = 1) -> int:
        """The points of all fields in the selection. `page`: the size of the connection that it is of."""
        total = 0
        for node in selection.selections:
            if isinstance(node, language.FieldNode):
                total += self._field(parent, node, page)
            elif isinstance(node, language.FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                inner = self._schema.type_map[fragment.type_condition.name.value]
                assert isinstance(inner, Parent)
                total += self.of(inner, fragment.selection_set, page)
            elif isinstance(node, language.InlineFragmentNode):
                inner = self._schema.type_map[node.type_condition.name.value] if node.type_condition else parent
                assert isinstance(inner, Parent)
                total += self.of(inner, node.selection_set, page)
        return total

    def _field(self, parent: Parent, node: language.FieldNode, page: int) -> int:
        definition = parent.fields.get(node.name.value)
        named = graphql.get_named_type(definition.type) if definition else None
        if not isinstance(named, Parent) or node.selection_set is None:
            return 0
        if isinstance(named, graphql.GraphQLInterfaceType):
            return len(self._ids(node)) * (1 + self.of(named, node.selection_set))
        if is_connection(named):
            return 2 + self.of(named, node.selection_set, self._page_size(node))
        inside = self.of(named, node.selection_set)
        if node.name.value == "nodes":
            return page * (1 + inside)
        if node.name.value == "edges":
            return page * inside  # the edge is free, its node an object
        return inside if node.name.value == "pageInfo" else 1 + inside

    def _ids(self, node: language.FieldNode) -> list[Any]:
        """Whom `nodes(ids:)` asks for."""
        for argument in node.arguments or ():
            value = graphql.value_from_ast_untyped(argument.value, self._variables)
            if isinstance(value, list):
                return value
        return []

    def _page_size(self, node: language.FieldNode) -> int:
        for argument in node.arguments or ():
            if argument.name.value in ("first", "last"):
                value = graphql.value_from_ast_untyped(argument.value, self._variables)
                return value if isinstance(value, int) else 0
        return 0


def is_connection(type_: graphql.GraphQLNamedType) -> bool:
    """Whether it is a page of objects."""
    return type_.name.endswith("Connection")

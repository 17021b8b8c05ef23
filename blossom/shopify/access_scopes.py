"""Access scopes, of which Shopify writes one list in two ways."""

from __future__ import annotations

from collections.abc import Iterable

from blossom.platform.languages import noted

_WORDS = {
    "read_customers": noted("Read your customers: whom you may text, and in which language"),
    "write_customers": noted("Tell Shopify who agreed to texts and who opted out"),
    "read_customer_merge": noted("Learn that two customers became one"),
    "read_orders": noted("Read your orders: who bought, how often, and for how much"),
    "read_fulfillments": noted("Learn that an order was shipped"),
    "read_products": noted("Read your products: who bought which"),
    "read_inventory": noted("Learn that a product is in stock again"),
    "read_discounts": noted("Read your discounts"),
    "write_discounts": noted("Create discounts for your texts"),
}
"""What each scope of the app's is for; its name tells a merchant nothing."""


_RIGHTS = {
    "write_customers": noted("to edit customers"),
    "write_discounts": noted("to edit discounts"),
    "read_customers": noted("to see customers"),
    "read_orders": noted("to see orders"),
    "read_products": noted("to see products"),
    "read_discounts": noted("to see discounts"),
}
"""What the admin lets somebody of the staff do who has the scope."""


def right_words(scopes: Iterable[str]) -> tuple[str, ...]:
    """What these scopes let somebody of the staff do at Shopify, for `t`."""
    return tuple(_RIGHTS.get(scope, scope) for scope in scopes)


def scope_words(scopes: Iterable[str]) -> tuple[str, ...]:
    """What these scopes are for, for `t`, each once. One that the app doesn't ask for by itself stands as it is."""
    return tuple(dict.fromkeys(_WORDS.get(scope, scope) for scope in scopes))


def spelled_out(scopes: Iterable[str]) -> list[str]:
    """Each scope once, in order, and beside each to write the one to read, which it includes: a token's answer leaves
    that out, a webhook may name it."""
    named = set(scopes)
    return sorted(named | {f"read_{scope.removeprefix('write_')}" for scope in named if scope.startswith("write_")})

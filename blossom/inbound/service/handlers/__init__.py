"""What is done about each topic of Shopify's. A topic that isn't here has no consumer: its webhooks are stored, ignored
and forgotten.

A handler opens its own transactions, holds none while it calls Shopify, bears being called again for the same webhook
after any part of its work, and in any order of webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from blossom.inbound.rules.webhooks import Result, Webhook
from blossom.inbound.service.handlers import customers, installation, privacy


@dataclass(frozen=True, slots=True)
class Handler:
    """`asks`: it calls Shopify, so it waits in the queue for what is as slow as others are. `together`: handles several
    webhooks of one shop at once, and tells the end of each in the same order; one's fault is not another's. Where it
    raises, each is handled by itself, unless Shopify or the database is away."""

    handle: Callable[[Webhook], Result]
    asks: bool = False
    together: Callable[[Sequence[Webhook]], list[Result | Exception]] | None = None


_CHANGED = Handler(customers.changed, asks=True, together=customers.changed_together)

BY_TOPIC: Mapping[str, Handler] = {
    "app/uninstalled": Handler(installation.uninstalled),
    "app/scopes_update": Handler(installation.scopes_changed),
    "customers/create": _CHANGED,
    "customers/update": _CHANGED,
    "customers_marketing_consent/update": _CHANGED,
    "customers/merge": Handler(customers.merged, asks=True),
    "customers/delete": Handler(customers.deleted),
    "bulk_operations/finish": Handler(customers.export_ended),
    "customers/data_request": Handler(privacy.customer_asked),
    "customers/redact": Handler(privacy.redact_customer),
    "shop/redact": Handler(privacy.redact_shop),
}

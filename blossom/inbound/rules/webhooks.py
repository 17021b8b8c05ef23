"""Shopify's webhooks: what their headers may look like, the states of one, and when it is tried again. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from blossom.inbound import errors
from blossom.shopify import domains

HMAC_HEADER = "X-Shopify-Hmac-Sha256"

NEEDED_SCOPE: Mapping[str, str | None] = {
    "app/uninstalled": None,
    "app/scopes_update": None,
    "customers/create": "read_customers",
    "customers/update": "read_customers",
    "customers/delete": "read_customers",
    "customers/merge": "read_customer_merge",
    "customers_marketing_consent/update": "read_customers",
    "orders/create": "read_orders",
    "orders/paid": "read_orders",
    "orders/fulfilled": "read_orders",
    "orders/cancelled": "read_orders",
    "refunds/create": "read_orders",
    "fulfillments/create": "read_fulfillments",
    "fulfillments/update": "read_fulfillments",
    "checkouts/create": "read_orders",
    "checkouts/update": "read_orders",
    "inventory_levels/update": "read_inventory",
    "products/update": "read_products",
    "bulk_operations/finish": None,
    "app_subscriptions/update": None,
    "app_purchases_one_time/update": None,
}
"""The topics that we want, and the scope without which Shopify takes no subscription to one and sends none (its
reference of `WebhookSubscriptionTopic`)."""

SUBSCRIBED = frozenset(NEEDED_SCOPE)
"""What `shopify.app.toml` subscribes to (a test holds the two together)."""

COMPLIANCE = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
"""What Shopify sends to every app, whether it asks for it or not."""

RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=20),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=12),
)
"""The wait after the first failed try, the second, …: a day in all. After the last of them comes one more try."""

IN_HAND = timedelta(minutes=5)
"""A webhook that a worker took and said nothing of for so long has lost it. Longer than any handler takes."""

AHEAD = timedelta(days=2)
"""An opt-out counts as due since so long before it came, and so is handled next of its shop's: an import of twenty
thousand comes back from Shopify as forty thousand webhooks, and nobody is to be texted because of those before theirs.
More than any other waits, with all its tries."""

CONSENT = "customers_marketing_consent/update"


def tells_of_an_opt_out(topic: str, body: bytes) -> bool:
    """By its look, for it is not read yet: one that only looks so goes ahead, and does no harm."""
    return topic == CONSENT and b"unsubscribed" in body.lower()


PAYLOAD_KEPT = timedelta(days=3)
"""How long the payload of a webhook that is done with is kept, so that a mistake of ours can be looked into."""

ROW_KEPT = timedelta(days=30)
"""And the row without it. Shopify repeats a webhook for 4 hours: until then, at least, it must be known."""


class WebhookState(StrEnum):
    NEW = "new"  # to be handled at `next_try_at`
    DONE = "done"
    IGNORED = "ignored"  # nothing is to be done, `outcome` says why
    DEAD = "dead"  # given up, `fault` says why; an operator may replay it


class Outcome(StrEnum):
    """What became of a webhook, beyond its state."""

    # done
    APPLIED = "applied"
    KNOWN_ALREADY = "known_already"  # it says nothing that we didn't know
    # ignored
    NO_CONSUMER = "no_consumer"  # a topic that we subscribe to, for a part that is not built yet
    UNKNOWN_TOPIC = "unknown_topic"
    UNKNOWN_SHOP = "unknown_shop"  # nobody's key could seal the payload, so it was not kept
    SHOP_REDACTED = "shop_redacted"  # the shop's keys are destroyed
    PERSON_REDACTED = "person_redacted"  # it spoke of somebody who is forgotten by now
    SHOP_LEFT = "shop_left"  # uninstalled: there is nothing to read it with, and no reason to
    INSTALLED_SINCE = "installed_since"  # about an installation that was followed by another


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of a webhook say. Shopify signs the body only, so this is no more than a claim: a handler that
    destroys compares it with the body. `triggered_at` is None when it is missing or can't be read."""

    shop_domain: str
    topic: str
    webhook_id: str
    event_id: str | None
    api_version: str | None
    triggered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a handler gets. `triggered_at` is when it came, if Shopify didn't say when it was made."""

    shop_id: int
    shop_domain: str
    topic: str
    triggered_at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a handler came to."""

    state: WebhookState
    outcome: Outcome


APPLIED = Result(WebhookState.DONE, Outcome.APPLIED)
KNOWN_ALREADY = Result(WebhookState.DONE, Outcome.KNOWN_ALREADY)


def ignored(outcome: Outcome) -> Result:
    return Result(WebhookState.IGNORED, outcome)


class HeaderLookup(Protocol):
    """A request's headers by name, without case. A header that came twice reads `a,b`, as WSGI has it."""

    def get(self, name: str, /) -> str | None:
        """Its value, None if there is none."""


_TOPIC = re.compile(r"[a-z0-9_]{1,60}/[a-z0-9_]{1,60}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"[a-z0-9-]{1,20}")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_MOMENT = 64
_YEARS = range(2006, 2200)


def envelope(headers: HeaderLookup) -> Envelope:
    """Raises `errors.OddHeader`, which names the header, for a value that Shopify would not send."""
    domain = domains.shop_domain(headers.get("X-Shopify-Shop-Domain"))
    if domain is None:
        raise errors.OddHeader("X-Shopify-Shop-Domain")
    moment = headers.get("X-Shopify-Triggered-At")
    if moment is not None and (len(moment) > _LONGEST_MOMENT or not moment.isascii()):
        raise errors.OddHeader("X-Shopify-Triggered-At")
    return Envelope(
        shop_domain=domain,
        topic=_needed(headers, "X-Shopify-Topic", _TOPIC),
        webhook_id=_needed(headers, "X-Shopify-Webhook-Id", _ID),
        event_id=_formed(headers, "X-Shopify-Event-Id", _ID),
        api_version=_formed(headers, "X-Shopify-API-Version", _VERSION),
        triggered_at=read_moment(moment),
    )


def _needed(headers: HeaderLookup, name: str, form: re.Pattern[str]) -> str:
    value = _formed(headers, name, form)
    if value is None:
        raise errors.OddHeader(name)
    return value


def _formed(headers: HeaderLookup, name: str, form: re.Pattern[str]) -> str | None:
    value = headers.get(name)
    if value is not None and form.fullmatch(value) is None:
        raise errors.OddHeader(name)
    return value


def read_moment(given: Any) -> datetime | None:
    """A moment as Shopify writes it (`2026-11-20T12:00:00.123456789Z`), aware, of a year in which there is Shopify;
    None for anything else. (The last hours of the year 9999 in another zone are none that Python could read back.)"""
    found = _MOMENT.fullmatch(given) if isinstance(given, str) and len(given) <= _LONGEST_MOMENT else None
    if found is None:
        return None
    seconds, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6].ljust(6, '0')}{zone}")
    except ValueError:  # the 31st of February
        return None
    return moment if moment.year in _YEARS else None


def next_try(tries: int, now: datetime) -> datetime | None:
    """When a webhook that failed `tries` times is tried again; None: no more."""
    return now + RETRY_AFTER[tries - 1] if tries <= len(RETRY_AFTER) else None


_NUMBER = re.compile(r"[0-9]{1,18}")


def whole_number(given: Any) -> int | None:
    """An id of Shopify's, as a number or in digits; None for anything else."""
    if isinstance(given, str):
        return int(given) if _NUMBER.fullmatch(given) and given.isascii() else None
    return given if type(given) is int and 0 < given < 10**18 else None


def customer_id(payload: Mapping[str, Any]) -> int | None:
    """Whom a payload about a customer is about: the `customer` in it, a `customer_id`, or its own `id`."""
    own = payload.get("customer")
    if isinstance(own, Mapping):
        return whole_number(own.get("id"))
    return whole_number(payload.get("customer_id", payload.get("id")))


def check_shop(webhook: Webhook, named: Any) -> None:
    """Raise `Hopeless` unless the signed body names (`named`) the shop that the unsigned header does."""
    if domains.shop_domain(named if isinstance(named, str) else None) != webhook.shop_domain:
        raise errors.Hopeless("shop_mismatch")


REDACTED_AFTER = timedelta(hours=48)
"""Shopify asks to redact a shop so long after it uninstalled the app."""


def is_of_a_former_installation(asked_at: datetime, granted_at: datetime | None) -> bool:
    """Whether a `shop/redact` of `asked_at` can't be about the installation that was given tokens at `granted_at`."""
    return granted_at is not None and asked_at < granted_at + REDACTED_AFTER

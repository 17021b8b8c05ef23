"""A shop's customers as Shopify keeps them: the person, the phone with its consent, the e-mail, the figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

STATES = ("NOT_SUBSCRIBED", "PENDING", "SUBSCRIBED", "UNSUBSCRIBED", "REDACTED")
OPT_IN_LEVELS = ("SINGLE_OPT_IN", "CONFIRMED_OPT_IN", "UNKNOWN")


@dataclass
class Consent:
    """To marketing by SMS. `state` is one of STATES, `level` one of OPT_IN_LEVELS."""

    state: str = "NOT_SUBSCRIBED"
    level: str = "SINGLE_OPT_IN"
    updated_at: datetime | None = None
    collected_from: str = "OTHER"


@dataclass
class Customer:
    """`phone` is E.164 and unique in the shop, as `email` is. `amount_spent`: hundredths of the shop's currency."""

    id: int
    created_at: datetime
    updated_at: datetime
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    consent: Consent = field(default_factory=Consent)
    locale: str = "en"
    tags: list[str] = field(default_factory=list)
    country: str | None = None
    timezone: str | None = None
    orders: int = 0
    amount_spent: int = 0
    last_order_at: datetime | None = None

    @property
    def gid(self) -> str:
        """Its id in GraphQL."""
        return f"gid://shopify/Customer/{self.id}"


_CROWD_SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def of_crowd(number: int) -> Customer:
    """A customer computed from its number, so that a million take no memory: 1 of 10 has no phone, 2 no consent."""
    at = _CROWD_SINCE + timedelta(seconds=number)
    agreed = number % 10 < 7
    return Customer(
        id=9_000_000_000_000 + number,
        created_at=at,
        updated_at=at,
        first_name=f"Eleni{number % 97}",
        last_name="Crowd",
        email=f"crowd{number}@example.com",
        phone=None if number % 10 == 9 else f"+30690{number:07}",
        consent=Consent("SUBSCRIBED", "SINGLE_OPT_IN", at, "SHOPIFY") if agreed else Consent(),
        locale="el",
        tags=["crowd"],
        country="GR",
        timezone="Europe/Athens",
        orders=number % 4,
        amount_spent=number % 4 * 1990,
    )

"""A shop's customers as Shopify keeps them: the person, the phone with its consent, the e-mail, the figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

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
    city: str | None = None
    orders: int = 0
    amount_spent: int = 0
    last_order_at: datetime | None = None

    @property
    def gid(self) -> str:
        """Its id in GraphQL."""
        return f"gid://shopify/Customer/{self.id}"

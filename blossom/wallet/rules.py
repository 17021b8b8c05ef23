"""What money is made of. Pure: no database, no clock. Every amount is an int in credits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

ANY_COUNTRY = "*"
"""The price of every country that a list does not name."""


class EntryKind(StrEnum):
    """Why the balance moved. The sign of the amount follows from it (`adjustment` may go either way)."""

    TOP_UP = "top_up"  # + bought or given
    CAPTURE = "capture"  # - spent on texts that left
    REFUND = "refund"  # + given back for a text that failed
    REVERSAL = "reversal"  # - a refund taken back: the text was delivered after all
    ADJUSTMENT = "adjustment"  # ± by an operator, with the reason in `details`


class ReservationState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class Balance:
    """A shop's credits at one moment. `available` is what a new reservation may take; it is never negative."""

    balance: int
    reserved: int

    @property
    def available(self) -> int:
        return self.balance - self.reserved


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. `balance_after` is the balance once it was written."""

    id: int
    kind: EntryKind
    amount: int
    balance_after: int
    at: datetime
    reference: str
    reservation_id: int | None
    dispatch_id: int | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Posting:
    """What a call that writes to the ledger did.

    `amount` is signed, as it stands in the ledger; `credits` is the same without the sign.
    `repeated`: the reference was known, nothing was written, and `entry_id` and `amount` are those of the first call.
    A call for 0 credits writes nothing: `entry_id` is None.
    """

    entry_id: int | None
    amount: int
    repeated: bool = False

    @property
    def credits(self) -> int:
        return abs(self.amount)


NOTHING = Posting(entry_id=None, amount=0)


@dataclass(frozen=True)
class Reservation:
    """Credits held for one purpose. `amount = captured + released + outstanding`; closed means nothing outstanding."""

    id: int
    shop_id: int
    reference: str
    amount: int
    captured: int
    released: int
    state: ReservationState
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    closed_at: datetime | None

    @property
    def outstanding(self) -> int:
        return self.amount - self.captured - self.released


@dataclass(frozen=True)
class PriceList:
    """What a segment of a text costs, by country of the recipient. Never changes once made, so it can be pinned.

    `prices`: ISO 3166-1 alpha-2 in capitals, or `*`, to credits a segment (each > 0; `*` must be there).
    `refund_failed`: a text that the network could not deliver is given back to the merchant.
    """

    id: int
    shop_id: int | None  # None: the installation's own, for every shop without one
    name: str
    valid_from: datetime
    refund_failed: bool
    prices: Mapping[str, int] = field(hash=False)

    def __post_init__(self) -> None:
        faults = faults_of_prices(self.prices)
        if faults:
            raise ValueError(f"price list {self.name!r}: " + "; ".join(faults.values()))

    def per_segment(self, country: str | None) -> int:
        """Credits a segment to `country` (any case; None or a country not listed: the price of `*`)."""
        return self.prices.get((country or ANY_COUNTRY).upper(), self.prices[ANY_COUNTRY])

    def credits(self, country: str | None, segments: int) -> int:
        """Credits of one text of `segments` parts to `country`. 0 segments cost nothing."""
        if segments < 0:
            raise ValueError(f"a text can't have {segments} segments")
        return self.per_segment(country) * segments


def faults_of_prices(prices: Mapping[str, int]) -> dict[str, str]:
    """What is wrong with a price list's figures: country → sentence. Empty when it can be used."""
    faults = {}
    if ANY_COUNTRY not in prices:
        faults[ANY_COUNTRY] = "“*”, the price of all other countries, is missing"
    for country, price in prices.items():
        if country != ANY_COUNTRY and not (
            len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()
        ):
            faults[country] = f"{country!r} is not a country code of two capitals"
        elif isinstance(price, bool) or not isinstance(price, int) or price <= 0:
            faults[country] = f"the price of {country} must be a whole number of credits above 0"
    return faults

"""Months of a shop, and what a text would cost. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from blossom.message_templates.rules import segments
from blossom.messaging.rules.states import DispatchKind
from blossom.platform.languages import noted
from blossom.wallet.rules import ANY_COUNTRY, PriceList

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_FIRST_YEAR, _LAST_YEAR = 2020, 2199


@dataclass(frozen=True, order=True)
class Month:
    """A month of the calendar, as a shop's zone has it."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime, zone: str) -> Month:
        there = at.astimezone(ZoneInfo(zone))
        return cls(there.year, there.month)

    @classmethod
    def read(cls, text: str) -> Month | None:
        """From `2026-11`; None for anything else."""
        found = _MONTH.fullmatch(text)
        if found is None or not _FIRST_YEAR <= int(found[1]) <= _LAST_YEAR:
            return None
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    def next(self) -> Month:
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def before(self) -> Month:
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def first_day(self) -> date:
        return date(self.year, self.month, 1)

    def begins_at(self, zone: str) -> datetime:
        """Its first moment in that zone, in UTC."""
        return datetime(self.year, self.month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)


PURPOSES = {
    DispatchKind.TEST: noted("Test texts"),
    DispatchKind.AUTOMATION: noted("Automatic texts"),
    DispatchKind.REPLY: noted("Answers to what people texted"),
    DispatchKind.STOP_REPLY: noted("Confirmations that texts have ended"),
    DispatchKind.CONFIRMATION: noted("Texts that ask to confirm a sign-up"),
}
"""What a dispatch that is no campaign's was for."""


@dataclass(frozen=True)
class Cost:
    """What one text to `people` in one country takes. `size` is of the text as it was typed."""

    size: segments.TextSize
    people: int
    each: int  # credits a text

    @property
    def credits(self) -> int:
        return self.people * self.each


def cost_of(text: str, people: int, country: str, prices: PriceList) -> Cost:
    size = segments.count(text)
    return Cost(size, people, size.segments * price_in(country, prices.prices))


def price_in(country: str, prices: Mapping[str, int]) -> int:
    """Credits a part to numbers of that country."""
    return prices.get(country, prices[ANY_COUNTRY])

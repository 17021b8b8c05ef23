"""Figures of 30 days, day by day, and the small pictures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from blossom.platform.languages import noted

DAYS = 30
HEIGHT = 32.0
STEP = 4.0
"""Units of a picture: it is `HEIGHT` high, and `STEP` wide a day."""


@dataclass(frozen=True)
class Day:
    """What happened on a day of the shop's. `sent`: texts that left, with those that failed; `delivered`, `failed`: of
    these."""

    day: date
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    opt_outs: int = 0
    credits: int = 0

    @property
    def noon(self) -> datetime:
        """A moment of that day, for what writes days by moments."""
        return datetime.combine(self.day, time(12), UTC)


@dataclass(frozen=True)
class Bar:
    """A day in a picture."""

    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Trend:
    """A figure of all days, and its picture. `share`: it is a share in percent, None with nothing to divide by;
    `number` is then what it is the share of."""

    key: str
    label: str
    number: int
    bars: Sequence[Bar]
    share: float | None = None
    is_share: bool = False


def days_of(last: date, known: Mapping[date, Mapping[str, int]]) -> list[Day]:
    """The 30 days up to `last`, those of which nothing is known empty."""
    days = [last - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    return [Day(day, **known.get(day, {})) for day in days]


def trends(days: Sequence[Day]) -> list[Trend]:
    """The figures of the home page, in its order."""
    sent, delivered = sum(day.sent for day in days), sum(day.delivered for day in days)
    return [
        Trend("sent", noted("Texts sent"), sent, _bars([day.sent for day in days])),
        Trend(
            "delivered",
            noted("Delivered"),
            delivered,
            _bars([100 * day.delivered / day.sent if day.sent else 0 for day in days], most=100),
            share=100 * delivered / sent if sent else None,
            is_share=True,
        ),
        Trend("opt_outs", noted("Opted out"), sum(day.opt_outs for day in days), _bars([day.opt_outs for day in days])),
        Trend(
            "credits", noted("Credits spent"), sum(day.credits for day in days), _bars([day.credits for day in days])
        ),
    ]


def _bars(values: Sequence[float], most: float | None = None) -> list[Bar]:
    """A bar a day; the smallest that is anything can be seen."""
    top = most or max([*values, 0])
    bars = []
    for place, value in enumerate(values):
        if value > 0 and top > 0:
            height = max(1.5, round(HEIGHT * min(value / top, 1.0), 2))
            bars.append(Bar(place * STEP, round(HEIGHT - height, 2), height))
    return bars

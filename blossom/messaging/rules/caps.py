"""Frequency caps: how many marketing texts a person may get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LONGEST_DISPATCH = timedelta(days=37)
"""How long after its audience was fixed a dispatch's texts may still count: 30 days of pauses and quiet hours, and the
week of the cap."""


@dataclass(frozen=True)
class Caps:
    """At most this many marketing texts to one person in 24 hours and in 7 days; None: no cap."""

    daily: int | None = 1
    weekly: int | None = 3

    @property
    def any(self) -> bool:
        return self.daily is not None or self.weekly is not None


def is_capped(now: datetime, earlier: Sequence[datetime], caps: Caps) -> bool:
    """Whether one more text now would pass a cap, given the moments of the earlier ones."""
    return any(
        cap is not None and sum(1 for moment in earlier if now - moment < span) >= cap
        for cap, span in ((caps.daily, DAY), (caps.weekly, WEEK))
    )

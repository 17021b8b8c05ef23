"""Frequency caps: how many marketing texts a person may get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LONGEST_DISPATCH = timedelta(days=37)
"""How long after it was begun a dispatch's texts may still count: 30 days of pauses and quiet hours, and the
week of the cap. Texts of a dispatch that is resumed or sent again later than that count for nobody's cap."""


@dataclass(frozen=True)
class Caps:
    """At most this many marketing texts to one person in 24 hours and in 7 days; None: no cap."""

    daily: int | None = 1
    weekly: int | None = 3

    @property
    def any(self) -> bool:
        return self.daily is not None or self.weekly is not None

"""How many numbers a shop may send test texts to: they need no consent, so they must stay a way of trying a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

MOST_TESTED_A_DAY = 200
"""Numbers, of one shop, in any 24 hours. A number that is tried twice counts twice."""

A_DAY = timedelta(hours=24)


def left(tested: Sequence[int]) -> int:
    """How many more numbers there may be, after those of the last day's test sends."""
    return max(0, MOST_TESTED_A_DAY - sum(tested))


def seconds_until(numbers: int, tested: Sequence[tuple[datetime, int]], now: datetime) -> int:
    """Until so many numbers (at most a day's) may be tested: `tested` is the last day's, the oldest first."""
    sent = sum(count for _, count in tested)
    for at, count in tested:
        sent -= count
        if sent + numbers <= MOST_TESTED_A_DAY:
            return max(1, math.ceil((at + A_DAY - now).total_seconds()))
    return 1

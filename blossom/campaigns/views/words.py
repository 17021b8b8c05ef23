"""What the campaigns' pages say of things that code names."""

from __future__ import annotations

from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.states import Priority
from blossom.platform import languages, localised
from blossom.platform.languages import noted, tn

REASON_WORDS = {
    "not_opted_in": noted("have not agreed to texts"),
    "opted_out": noted("opted out"),
    "capped": noted("have had enough texts lately"),
    "no_phone": noted("have no phone number"),
}

PRIORITY_WORDS = {
    Priority.HIGH: noted("High: before your other campaigns"),
    Priority.NORMAL: noted("Normal"),
    Priority.LOW: noted("Low: after your other campaigns"),
}


def city(zone: str) -> str:
    """What people call a time zone: `Athens`."""
    return localised.city(zone, languages.reader())


def decided_after(test: AbTest) -> str:
    """How long after the test's last text its winner is decided; empty where somebody chooses."""
    return minutes(round(test.after.total_seconds() / 60)) if test.after else ""


def minutes(number: int) -> str:
    """A stretch of time: `45 minutes`, `2 hours`."""
    if number % 60:
        return tn("%(num)s minute", "%(num)s minutes", number)
    return tn("%(num)s hour", "%(num)s hours", number // 60)

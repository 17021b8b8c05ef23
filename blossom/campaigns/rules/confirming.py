"""The question that stands between a campaign and its recipients: what it says, and what counts as a yes. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from blossom.campaigns.rules.states import CampaignState
from blossom.messaging.rules.states import SkipReason
from blossom.platform.languages import noted

LARGE = 1_000
"""From so many recipients on, a yes takes the number typed."""


class Deed(StrEnum):
    """What a yes does."""

    SEND = "send"  # a draft, now
    SCHEDULE = "schedule"  # a draft, at the hour that was chosen for it
    SEND_NOW = "send_now"  # a planned one, now instead


def deed_of(state: CampaignState, *, has_hour: bool) -> Deed | None:
    """What can be asked of a campaign in `state`; None: it is on its way already, or has ended. `has_hour`: its draft
    is meant for a time."""
    if state is CampaignState.SCHEDULED:
        return Deed.SEND_NOW
    if state is CampaignState.DRAFT:
        return Deed.SCHEDULE if has_hour else Deed.SEND
    return None


LEFT_OUT_WORDS = {
    SkipReason.NOT_OPTED_IN.value: noted("have not agreed to marketing texts"),
    SkipReason.OPTED_OUT.value: noted("opted out"),
    SkipReason.NO_PHONE.value: noted("have no phone number"),
    SkipReason.CAPPED.value: noted("have had as many texts as your limits allow"),
    SkipReason.MISSING_VALUE.value: noted("lack a value that the text needs"),
}
"""Why people of the audience get nothing; completes "12 people …"."""


@dataclass(frozen=True)
class LocalMoment:
    """When a text leaves, on the clocks of who gets it. `is_now`: as soon as it is sent."""

    at: datetime
    zone: str
    is_now: bool


def ends(due: Iterable[tuple[datetime, str, int]], now: datetime) -> tuple[LocalMoment, LocalMoment] | None:
    """The first and the last text. `due`: moment, zone and how many people; of zones at one moment the one with most.
    None when nobody gets one."""
    by_moment: dict[datetime, tuple[int, str]] = {}
    for at, zone, people in due:
        by_moment[at] = max(by_moment.get(at, (0, "")), (people, zone))
    if not by_moment:
        return None
    first, last = min(by_moment), max(by_moment)
    return (
        LocalMoment(first, by_moment[first][1], first <= now),
        LocalMoment(last, by_moment[last][1], last <= now),
    )


def later(due: Iterable[tuple[datetime, str, int]], now: datetime) -> dict[datetime, int]:
    """Moment → people, of those who are not texted at once, the first of them first."""
    found: dict[datetime, int] = {}
    for at, _, people in sorted(due):
        if at > now:
            found[at] = found.get(at, 0) + people
    return found


def mark(facts: Mapping[str, Any]) -> str:
    """A name for all that was shown: it changes with any of it, and tells nothing of it."""
    written = json.dumps({name: str(value) for name, value in facts.items()}, sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()[:32]


_BETWEEN_DIGITS = re.compile(r"[\s.,'’_\u00a0\u202f]")
_DIGITS = re.compile(r"[0-9]{1,12}")


def typed_number(given: str) -> int | None:
    """A number as a person types it, with or without what stands between thousands; None for what is none."""
    digits = _BETWEEN_DIGITS.sub("", given)
    return int(digits) if _DIGITS.fullmatch(digits) else None

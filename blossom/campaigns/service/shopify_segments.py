"""Shopify's own segments in the audiences of campaigns: asked for in time, and looked at before anything is promised.

Their members are read by jobs (`customers`); nothing here calls Shopify. That a campaign is sent with members of just
now is seen to by messaging (`freshness`), whatever was shown before.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from blossom.campaigns.queries import shopify_segments as shopifys
from blossom.customers import service as customers
from blossom.platform import clock, queue
from blossom.platform.languages import noted
from blossom.segments import queries as segments
from blossom.segments.rules import Audience, Reading, ReadingState

CHOSEN_AGE = timedelta(hours=1)
"""One that is chosen for a campaign is read if it was read longer ago."""

KEPT_AGE = timedelta(hours=6)
"""One that a draft or a planned campaign names is read so often by itself."""

DRAFTS_OF = timedelta(days=14)
"""Drafts that nobody has touched for longer keep nothing fresh."""

SOON = timedelta(minutes=4)
"""So long before its hour a planned campaign's segments are read once more: it need not wait for that then."""

WAITED_FOR = 5_000
"""A question waits until a segment of so many members is read, which takes seconds; of a larger one it shows what was
read before."""


def readings_of(shop_id: int, audience: Audience | None) -> list[Reading]:
    """How those of its segments stand that are Shopify's, by name."""
    found = segments.readings(shop_id, audience.named) if audience else {}
    return sorted(found.values(), key=lambda each: each.name.casefold())


def note_choice(shop_id: int, audience: Audience | None) -> None:
    """A campaign is to go to this audience: have read what was not read lately. Flushed."""
    if audience is not None:
        customers.ask_for_members(shop_id, audience.named, CHOSEN_AGE)


def look(shop_id: int, audience: Audience) -> list[Reading]:
    """As they stand; what is not fresh is read by a job, for somebody is about to say yes. Writes nothing itself."""
    found, now = readings_of(shop_id, audience), clock.now()
    wanted = [each.segment_id for each in found if not (each.is_fresh(now) or each.is_open or each.gone_at)]
    if wanted:
        segment_ids = sorted(wanted)
        queue.enqueue(
            "customers.read_segments", queue="sync", unless_waiting=True, shop_id=shop_id, segment_ids=segment_ids
        )
    return found


def must_wait(readings: list[Reading], now: datetime) -> bool:
    """Whether numbers shown now would be none, or would be others in some seconds."""
    return any(
        not each.is_fresh(now)
        and each.state is not ReadingState.FAILED
        and (each.read_at is None or (not each.fault and max(each.members or 0, each.expected or 0) <= WAITED_FOR))
        for each in readings
    )


def reasons_against(readings: list[Reading]) -> list[dict[str, Any]]:
    """Why a campaign to them can't be sent: gone at Shopify, or never read and given up."""
    reasons: list[dict[str, Any]] = []
    for each in readings:
        if each.gone_at:
            reasons.append(
                {
                    "code": "segment_gone",
                    "message": noted("The segment “%(name)s” was deleted at Shopify.", name=each.name),
                    "actionable": noted("Choose another audience."),
                }
            )
        elif each.read_at is None and each.state is ReadingState.FAILED:
            reasons.append(
                {
                    "code": "segment_unread",
                    "message": noted("Shopify could not be asked who is in the segment “%(name)s”.", name=each.name),
                    "actionable": noted("Look at the segment's page, and have it read again there."),
                }
            )
    return reasons


def is_stale(shop_id: int, audience: Audience) -> bool:
    """Whether its segments of Shopify's are read anew before anybody is texted, so that nothing can be counted yet."""
    now = clock.now()
    return any(not each.is_fresh(now) for each in segments.readings(shop_id, audience.named).values())


def keep_fresh(now: datetime) -> int:
    """Have those read that campaigns to come will need; how many. Flushed."""
    wanted = defaultdict(list)
    for shop_id, segment_id in shopifys.needed_segments(now, kept=KEPT_AGE, soon=SOON, drafts=DRAFTS_OF):
        wanted[shop_id].append(segment_id)
    for shop_id, segment_ids in wanted.items():
        customers.ask_for_members(shop_id, segment_ids)
    return sum(map(len, wanted.values()))

"""Who is in a segment of Shopify's is read anew before an audience is fixed with it, unless that was just done.

A dispatch waits for that without holding anything: each sweep looks again, and asks for what nobody has asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import structlog

from blossom.customers import service as customers
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.service import dispatches
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.languages import noted
from blossom.segments import queries as segments
from blossom.segments.rules import ACCEPTED_AGE, Audience, Reading, ReadingState

log = structlog.get_logger()

GONE = noted(
    "A segment of this campaign was deleted at Shopify, so it can't be told who gets it. Nothing was sent. Choose "
    "another audience."
)
UNREAD = noted(
    "Shopify could not be asked who is in a segment of this campaign, and an older list is not used. Nothing was sent. "
    "The segment's page says why. Resume the campaign to have it tried again, or cancel it."
)


def is_readable(dispatch: Dispatch, audience: Audience) -> bool:
    """Whether the audience can be fixed now: what Shopify says of its segments is new enough (`_stale`), and stays as
    it is until the transaction ends.

    Else it waits until they are read. One that was deleted at Shopify fails the dispatch; one that could not be read,
    in nine tries over half an hour, or for a reason that no further try helps against, pauses it.
    """
    now, shop_id = clock.now(), dispatch.shop_id
    readings = segments.readings(shop_id, audience.named)
    if any(each.gone_at for each in readings.values()):
        dispatches.fail_dispatch(shop_id, dispatch.id, "segment_gone", GONE)
        return False
    stale = _stale(readings.values(), dispatch, now)
    if not stale:
        held = segments.readings(shop_id, audience.named, hold=True).values()
        return not _stale(held, dispatch, now) and all(each.gone_at is None for each in held)
    if failed := [each for each in stale if _failed_for(each, dispatch)]:
        for each in failed:
            customers.note_failure_told(shop_id, each.segment_id)
        _pause(dispatch)
        return False
    customers.ask_for_members(shop_id, [each.segment_id for each in stale if not each.is_open], ACCEPTED_AGE)
    return False


def _stale(readings: Collection[Reading], dispatch: Dispatch, now: datetime) -> list[Reading]:
    """Those that are to be read anew first: whose reading ended longer than `ACCEPTED_AGE` ago.

    But not one that was read for this dispatch since another one's reading began, which has just ended or goes on: that
    one's first pages are no newer. Else two that take long would grow old in turn, each while the other is read.
    """
    begun = [each.wanted_at for each in readings if each.wanted_at and (each.is_open or each.is_fresh(now))]
    since = max(min(begun, default=now), dispatch.created_at)
    return [each for each in readings if not each.is_fresh(now) and (each.read_at is None or each.read_at < since)]


def _failed_for(reading: Reading, dispatch: Dispatch) -> bool:
    """Whether it was this dispatch's wish that failed, and not one of before: then it is to be tried anew."""
    wanted_at = reading.wanted_at
    return reading.state is ReadingState.FAILED and wanted_at is not None and wanted_at >= dispatch.created_at


def _pause(dispatch: Dispatch) -> None:
    locked = dispatches.lock(dispatch.shop_id, dispatch.id)
    if locked.state != DispatchState.PREPARING:
        return
    locked.state = DispatchState.PAUSED.value
    locked.failure_code, locked.failure_text = "segment_unread", str(UNREAD)
    session.flush()
    dispatches.tell_owner(locked)
    log.warning("dispatch.segment_unread", dispatch_id=dispatch.id, shop_id=dispatch.shop_id)

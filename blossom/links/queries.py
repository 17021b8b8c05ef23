"""Where links lead, and how often they were opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text

from blossom.links.models import LinkCount, LinkTarget
from blossom.links.rules.codes import Codes
from blossom.platform import crypto
from blossom.platform.db import session


def codes(shop_id: int) -> Codes:
    """The shop's codes. Raises `SealedValueError` for a shop whose keys are gone."""
    return Codes(crypto.for_shop(shop_id).lookup)


def target(shop_id: int, dispatch_id: int, number: int) -> str | None:
    """Where this link of a dispatch leads; None if the dispatch has no such link, or is another shop's."""
    address: str | None = session.scalar(
        select(LinkTarget.address).where(
            LinkTarget.shop_id == shop_id, LinkTarget.dispatch_id == dispatch_id, LinkTarget.number == number
        )
    )
    return address


def opened(shop_id: int, dispatch_ids: Sequence[int]) -> dict[int, int]:
    """Dispatch → links that recipients have opened: each recipient's link once, however often it was opened.

    Dispatches whose texts shorten no link are not in the answer. Some rows a link are read, however many clicks.
    """
    linked = (
        select(LinkTarget.dispatch_id)
        .where(LinkTarget.shop_id == shop_id, LinkTarget.dispatch_id.in_(dispatch_ids))
        .distinct()
        .subquery("linked")
    )
    rows = session.execute(
        select(linked.c.dispatch_id, func.coalesce(func.sum(LinkCount.opened), 0))
        .outerjoin(LinkCount, LinkCount.dispatch_id == linked.c.dispatch_id)
        .group_by(linked.c.dispatch_id)
    )
    return {dispatch_id: int(opened) for dispatch_id, opened in rows}


def people_by_link(shop_id: int, dispatch_id: int) -> dict[int, int]:
    """Link of a dispatch, by its number → recipients who opened it before any other: summed over several links, each
    person counts once. Links that nobody opened first are not in the answer."""
    rows = session.execute(
        select(LinkCount.number, func.sum(LinkCount.people))
        .where(LinkCount.shop_id == shop_id, LinkCount.dispatch_id == dispatch_id)
        .group_by(LinkCount.number)
    )
    return {number: int(people) for number, people in rows if people}


_CLICKS = text("""
SELECT date_trunc('minute', first_at) AS minute, count(*) AS people
FROM (SELECT message_id, min(first_at) AS first_at FROM link_clicks
      WHERE shop_id = :shop_id AND dispatch_id = :dispatch_id GROUP BY message_id) c
GROUP BY 1 ORDER BY 1
""")


def clicks_by_minute(shop_id: int, dispatch_id: int) -> list[tuple[datetime, int]] | None:
    """How many recipients opened their first link in each minute that any did; None for a text that shortens none.
    Reads every click of the dispatch: for a job, or a small dispatch."""
    if dispatch_id not in opened(shop_id, [dispatch_id]):
        return None
    rows = session.execute(_CLICKS, {"shop_id": shop_id, "dispatch_id": dispatch_id})
    return [(row.minute, row.people) for row in rows]


_OPENED_BY = text("""
SELECT c.first_at, c.clicks, t.address FROM link_clicks c
JOIN link_targets t ON t.shop_id = c.shop_id AND t.dispatch_id = c.dispatch_id AND t.number = c.number
WHERE c.message_id = :message_id AND c.shop_id = :shop_id ORDER BY c.first_at
""")


def opened_by(shop_id: int, message_id: int) -> list[tuple[datetime, int, str]]:
    """The links that a message's recipient has opened: when first, how often, and where they lead."""
    rows = session.execute(_OPENED_BY, {"shop_id": shop_id, "message_id": message_id})
    return [(row.first_at, row.clicks, row.address) for row in rows]

"""Where links lead, and how often they were opened."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

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

"""What merchants said yes to, and no job has done yet."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from blossom.campaigns.models import Yes
from blossom.platform.db import session


def yes_to(shop_id: int, campaign_id: int) -> Yes | None:
    """The last yes that was kept for it, open or refused."""
    return session.scalars(
        select(Yes)
        .where(Yes.shop_id == shop_id, Yes.campaign_id == campaign_id)
        .execution_options(populate_existing=True)
    ).one_or_none()


def lost_yeses(before: datetime) -> list[tuple[int, int]]:
    """(Shop, campaign) of those that were said before that moment, and are open still."""
    rows = session.execute(
        select(Yes.shop_id, Yes.campaign_id).where(Yes.refused_at.is_(None), Yes.said_at < before).order_by(Yes.said_at)
    )
    return [(row.shop_id, row.campaign_id) for row in rows]

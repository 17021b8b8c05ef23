"""What a person got from the shop, each text with the campaign that it was of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from blossom.campaigns.models import Campaign
from blossom.messaging.queries.texts import TextRow
from blossom.messaging.queries.texts import texts_to as rows_to
from blossom.platform.db import session

SHOWN = 20


@dataclass(frozen=True)
class Text:
    """A text, and the campaign that it was of: (id, name); None for what was no campaign's."""

    row: TextRow
    campaign: tuple[int, str] | None


def texts_to(shop_id: int, phone_hash: bytes | None, before: int | None = None) -> tuple[Sequence[Text], int | None]:
    """A page of a phone's texts, the newest first, and the mark after which the next page begins."""
    if phone_hash is None:
        return [], None
    rows = rows_to(shop_id, phone_hash, before=before, limit=SHOWN + 1)
    if not rows:
        return [], None
    shown = rows[:SHOWN]
    found = session.execute(
        select(Campaign.dispatch_id, Campaign.id, Campaign.name).where(
            Campaign.shop_id == shop_id, Campaign.dispatch_id.in_([row.dispatch_id for row in shown])
        )
    )
    campaigns = {row.dispatch_id: (row.id, row.name) for row in found}
    texts = [Text(row, campaigns.get(row.dispatch_id)) for row in shown]
    return texts, shown[-1].dispatch_id if len(rows) > SHOWN else None

"""Reading the trail."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from blossom.audit.models import AuditEntry
from blossom.platform.db import session


def entries(shop_id: int, before_id: int | None = None, limit: int = 50) -> Sequence[AuditEntry]:
    """The newest entries first; `before_id` is the last id of the page before."""
    query = select(AuditEntry).where(AuditEntry.shop_id == shop_id).order_by(AuditEntry.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(AuditEntry.id < before_id)
    return session.scalars(query).all()

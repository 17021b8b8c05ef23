"""Writing the trail."""

from __future__ import annotations

from typing import Any

from blossom.audit.models import AuditEntry
from blossom.platform import clock
from blossom.platform.db import session


def record(
    shop_id: int,
    action: str,
    *,
    actor: str,
    subject_type: str | None = None,
    subject_id: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write down, in the caller's transaction, that `actor` did `action`; the entry stands or falls with the deed.

    `details` is JSON without personal data: an entry outlives the person it is about.
    """
    session.add(
        AuditEntry(
            shop_id=shop_id,
            at=clock.now(),
            actor=actor,
            action=action,
            subject_type=subject_type,
            subject_id=subject_id,
            details=details or {},
        )
    )

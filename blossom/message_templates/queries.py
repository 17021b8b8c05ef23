"""Reads of the saved texts."""

from __future__ import annotations

from sqlalchemy import func, select

from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules import naming
from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform.db import session
from blossom.platform.errors import NotFound


def get_template(shop_id: int, template_id: int, *, hold: bool = False) -> MessageTemplate:
    """The shop's template. Raises `NotFound`, for another shop's as well. `hold`: as it is now, and stays until the
    transaction ends."""
    query = select(MessageTemplate).where(MessageTemplate.shop_id == shop_id, MessageTemplate.id == template_id)
    if hold:
        query = query.with_for_update().execution_options(populate_existing=True)
    template: MessageTemplate | None = session.scalars(query).one_or_none()
    if template is None:
        raise NotFound("template")
    return template


def list_templates(
    shop_id: int,
    *,
    trigger: Trigger | None = None,
    words: str = "",
    before: int | None = None,
    offset: int = 0,
    limit: int = 20,
) -> list[MessageTemplate]:
    """The shop's templates, the newest first; `before` an id, or from an `offset`. `words`: what their names hold."""
    query = select(MessageTemplate).where(MessageTemplate.shop_id == shop_id)
    if trigger is not None:
        query = query.where(MessageTemplate.trigger == trigger)
    if words:
        query = query.where(MessageTemplate.name_key.contains(naming.name_key(words), autoescape=True))
    if before is not None:
        query = query.where(MessageTemplate.id < before)
    return list(session.scalars(query.order_by(MessageTemplate.id.desc()).offset(offset).limit(limit)))


def count_templates(shop_id: int, *, trigger: Trigger | None = None) -> int:
    query = select(func.count()).select_from(MessageTemplate).where(MessageTemplate.shop_id == shop_id)
    if trigger is not None:
        query = query.where(MessageTemplate.trigger == trigger)
    return session.scalar(query) or 0


def name_keys(shop_id: int) -> set[str]:
    """All names of the shop's templates, as they are compared."""
    return set(session.scalars(select(MessageTemplate.name_key).where(MessageTemplate.shop_id == shop_id)))

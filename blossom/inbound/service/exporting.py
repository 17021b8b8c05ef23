"""Gathering all that is held on a person who asks for it, sealed, for the merchant to fetch within some days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from blossom.audit import service as audit
from blossom.consent import queries as consents
from blossom.consent.models import OptInRequest
from blossom.contacts.models import Contact
from blossom.inbound.models import DataExport
from blossom.inbound.service.erasing import Person, contacts_of, phones_of
from blossom.links.models import LinkClick
from blossom.messaging.models import Batch, Dispatch, DispatchText, EarlierTry, Message
from blossom.messaging.rules.texts import SEVERAL
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.replies.models import InboundText
from blossom.shops import queries as shops

KEPT_FOR = timedelta(days=30)
"""A merchant has so long to answer a person by law; then the export goes."""


@dataclass(frozen=True)
class Listed:
    """An export as it is listed: without what is in it."""

    id: int
    customer: int | None
    asked_at: datetime
    expires_at: datetime
    fetched_at: datetime | None


def gather(shop_id: int, person: Person, *, actor: str) -> int:
    """Put together what is held on a person, also if that is nothing; the export's id. Flushes."""
    now = clock.now()
    contact_ids = contacts_of(shop_id, person)
    hashes = sorted(phones_of(shop_id, person, contact_ids))
    content = orjson.dumps(_all_of(shop_id, person.customer, contact_ids, hashes, now)).decode()
    export = DataExport(
        shop_id=shop_id,
        customer=person.customer,
        phone_hashes=hashes,
        asked_at=now,
        expires_at=now + KEPT_FOR,
        content_sealed=crypto.for_shop(shop_id).seal(content, "data_export"),
    )
    session.add(export)
    session.flush()
    details = {"expires_at": export.expires_at.isoformat()}
    audit.record(
        shop_id, "privacy.data_requested", actor=actor, subject_type="data_export", subject_id=export.id,
        details=details,
    )  # fmt: skip
    return export.id


def exports(shop_id: int) -> list[Listed]:
    """The shop's exports that have not expired, the newest first."""
    e = DataExport
    rows = session.execute(
        select(e.id, e.customer, e.asked_at, e.expires_at, e.fetched_at)
        .where(e.shop_id == shop_id, e.expires_at > clock.now())
        .order_by(e.id.desc())
    )
    return [Listed(*row) for row in rows]


def fetch(shop_id: int, export_id: int, *, actor: str) -> str:
    """What an export holds, as JSON, for the merchant to hand on; who fetched it is noted. Raises `NotFound`."""
    now = clock.now()
    export = session.scalars(
        select(DataExport).where(DataExport.shop_id == shop_id, DataExport.id == export_id, DataExport.expires_at > now)
    ).one_or_none()
    if export is None:
        raise NotFound("data_export")
    export.fetched_at = now
    audit.record(shop_id, "privacy.data_fetched", actor=actor, subject_type="data_export", subject_id=export.id)
    return str(export.content)


def prune() -> None:
    """Remove the exports that have expired. Flushes."""
    session.execute(delete(DataExport).where(DataExport.expires_at <= clock.now()))


def _all_of(
    shop_id: int, customer: int | None, contact_ids: Sequence[int], hashes: Sequence[bytes], now: datetime
) -> dict[str, Any]:
    shop = shops.get_shop(shop_id)
    return {
        "shop": shop.domain,
        "made_at": now,
        "shopify_customer_id": customer,
        "contacts": _contacts(shop_id, contact_ids),
        "consent": [_consent(shop_id, each) for each in hashes],
        "forms": _forms(shop_id, hashes),
        "texts_to_them": _texts_to(shop_id, hashes),
        "texts_from_them": _texts_from(shop_id, hashes),
    }


def _contacts(shop_id: int, contact_ids: Sequence[int]) -> list[dict[str, Any]]:
    whose = Contact.id.in_(contact_ids)
    found = session.scalars(select(Contact).where(Contact.shop_id == shop_id, whose).order_by(Contact.id))
    plain = (
        "phone", "email", "first_name", "last_name", "country", "zone", "locale", "tags", "orders_count",
        "total_spent_minor", "created_at", "updated_at",
    )  # fmt: skip
    return [{name: getattr(each, name) for name in plain} for each in found]


def _consent(shop_id: int, phone_hash: bytes) -> dict[str, Any]:
    told = ("occurred_at", "recorded_at", "from_state", "to_state", "source", "wording", "ip", "user_agent", "details")
    return {
        "state": consents.state_of(shop_id, phone_hash),
        "events": [{name: getattr(event, name) for name in told} for event in consents.events(shop_id, phone_hash)],
    }


def _forms(shop_id: int, hashes: Sequence[bytes]) -> list[dict[str, Any]]:
    r = OptInRequest
    rows = session.execute(
        select(r.requested_at, r.locale, r.wording, r.ip, r.user_agent, r.outcome, r.asked_at, r.confirmed_at)
        .where(r.shop_id == shop_id, r.phone_hash.in_(hashes))
        .order_by(r.id)
    )
    return [dict(row) for row in rows.mappings()]


def _texts_to(shop_id: int, hashes: Sequence[bytes]) -> list[dict[str, Any]]:
    """Of each text when, how it ended, its words as the merchant wrote them (names were put in as it left; None of who
    waits for the better of several texts), when its links were first opened, and how each try had ended before it was
    sent again."""
    opened = (
        select(func.array_agg(aggregate_order_by(LinkClick.first_at, LinkClick.first_at)))
        .where(LinkClick.message_id == Message.id, LinkClick.shop_id == Message.shop_id)
        .scalar_subquery()
    )
    of_several = (
        select(DispatchText.source)
        .join(Batch, (Batch.dispatch_id == DispatchText.dispatch_id) & (Batch.text_number == DispatchText.number))
        .where(Batch.dispatch_id == Message.dispatch_id, Batch.number == Message.batch_number)
        .scalar_subquery()
    )
    tried = func.jsonb_build_object(
        "state", EarlierTry.state, "sent_at", EarlierTry.sent_at, "failed_at", EarlierTry.failed_at,
        "sent_again_at", EarlierTry.again_at,
    )  # fmt: skip
    tries = (
        select(func.coalesce(func.jsonb_agg(aggregate_order_by(tried, EarlierTry.number)), text("'[]'")))
        .where(EarlierTry.message_id == Message.id, EarlierTry.shop_id == Message.shop_id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            Message.created_at, Message.sent_at, Message.delivered_at, Message.failed_at, Message.state,
            Dispatch.kind, Dispatch.sender,
            func.coalesce(of_several, func.nullif(Dispatch.source, SEVERAL)).label("words"),
            opened.label("links_opened_at"), tries.label("earlier_tries"),
        )
        .join(Dispatch, (Dispatch.shop_id == Message.shop_id) & (Dispatch.id == Message.dispatch_id))
        .where(Message.phone_hash.in_(hashes), Message.shop_id == shop_id)
        .order_by(Message.id)
    )  # fmt: skip
    return [dict(row) for row in rows.mappings()]


def _texts_from(shop_id: int, hashes: Sequence[bytes]) -> list[dict[str, Any]]:
    found = session.scalars(
        select(InboundText)
        .where(InboundText.shop_id == shop_id, InboundText.phone_hash.in_(hashes))
        .order_by(InboundText.id)
    )
    return [{"received_at": each.received_at, "from": each.phone, "text": each.text} for each in found]

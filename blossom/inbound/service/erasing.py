"""Forgetting a person, and a whole shop, as Shopify asks for: what can be at once, and the rest by a job, in batches.

What stays, and why: docs/privacy.md.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from sqlalchemy import delete, select, text

from blossom.audit import service as audit
from blossom.consent.service import erasing as consent
from blossom.contacts import queries as contact_queries
from blossom.contacts import service as contacts
from blossom.customers import service as customers
from blossom.inbound.models import Erasure
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import Outcome
from blossom.messaging.service import erasing as messaging
from blossom.platform import bulk, clock, crypto, queue, stopping
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import remove_rows, rows_changed, session, transaction
from blossom.replies.models import InboundText
from blossom.shops import service as shops

log = structlog.get_logger()

BATCH = 2_000
"""Rows that one transaction forgets."""

AT_A_TIME_SECONDS = 20.0
"""A job hands its worker back after this; what is left is the next one's."""


@dataclass(frozen=True)
class Person:
    """Whom Shopify names: by their number there, and by the hashes of their phone and of their e-mail address."""

    customer: int | None
    phone_hash: bytes | None = None
    email_hash: bytes | None = None


def contacts_of(shop_id: int, person: Person) -> list[int]:
    """The ids of a person's contacts."""
    return contact_queries.ids_of_person(
        shop_id, customer_id=person.customer, phone_hash=person.phone_hash, email_hash=person.email_hash
    )


def phones_of(shop_id: int, person: Person, contact_ids: Collection[int]) -> set[bytes]:
    """The hashes of a person's phones: of the one that was named, and those by which their contacts are or were known.
    Not of one that is another customer's by now, whose texts and consent it is found by."""
    values = {"shop": shop_id, "ids": bulk.bigint_array(contact_ids), "phone_hash": person.phone_hash}
    return set(session.scalars(_PHONES, values))


def erase_person(shop_id: int, person: Person, *, actor: str) -> None:
    """Forget a person: contact, consent, what they wrote, what was gathered for them to read; and have a job forget
    whom their texts went to. Flushes."""
    consent.erase_forms(shop_id, phones_of(shop_id, person, contacts_of(shop_id, person)))
    contacts.hold_people(shop_id)
    if person.customer is not None:
        customers.note_gone(shop_id, person.customer)
    gone = contacts_of(shop_id, person)
    hashes = phones_of(shop_id, person, gone)
    contacts.erase_contacts(shop_id, gone)
    consent.erase_people(shop_id, hashes, actor=actor)
    session.execute(delete(InboundText).where(InboundText.shop_id == shop_id, InboundText.phone_hash.in_(hashes)))
    shops.forget_trial_numbers(shop_id, hashes)
    values = {"shop": shop_id, "customer": person.customer, "phones": bulk.bytea_array(hashes)}
    session.execute(_DELETE_EXPORTS, values)
    _leave_the_rest(shop_id, person.customer, sorted(hashes))
    audit.record(shop_id, "privacy.customer_redacted", actor=actor, details={"contacts": len(gone)})


def erase_shop(shop_id: int, *, actor: str) -> None:
    """Make all of the shop's unreadable, and have a job remove it. Webhooks that wait are closed: nobody can read them
    any more. Flushes."""
    crypto.destroy_shop_keys(shop_id)
    session.execute(_CLOSE_WEBHOOKS_OF_SHOP, {"shop": shop_id, "now": clock.now(), "limit": BATCH})
    _leave_the_rest(shop_id, None, None)
    audit.record(shop_id, "privacy.shop_redacted", actor=actor)


def _leave_the_rest(shop_id: int, customer: int | None, phone_hashes: list[bytes] | None) -> None:
    session.add(Erasure(shop_id=shop_id, customer=customer, phone_hashes=phone_hashes, asked_at=clock.now()))
    session.flush()
    queue.enqueue("inbound.erase", queue="slow", unless_waiting=True)


def erase_due() -> int:
    """Do what is left of erasures, the oldest first, until none is left or the time is up; how many were ended.
    Manages its transactions. One that fails, or whose shop is just fixing an audience, costs the others nothing."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    ended = 0
    with transaction():
        waiting = session.scalars(select(Erasure.id).order_by(Erasure.id).limit(BATCH)).all()
    for erasure_id in waiting:
        try:
            ended += _end(erasure_id, ends_at)
        except Exception:
            log.exception("privacy.not_erased", erasure=erasure_id)
        if time.monotonic() > ends_at or stopping.requested():
            break
    return ended


def _end(erasure_id: int, ends_at: float) -> bool:
    """Whether nothing is left of it."""
    changed = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            erasure = session.scalars(_TAKE, {"id": erasure_id}).one_or_none()
            if erasure is None:
                return False  # another has it in hand, or has ended it
            more = _step(erasure)
            if more is not None:
                changed += more
                continue
            if not messaging.hold_audiences(erasure.shop_id):
                return False
            late = _forget_texts(erasure)
            changed += late
            if late == 0:
                session.delete(erasure)
                kind = "shop" if erasure.phone_hashes is None else "customer"
                log.warning("privacy.erased", shop_id=erasure.shop_id, what=kind, rows=changed)
                return True
    return False


def _step(erasure: Erasure) -> int | None:
    """Forget a batch; how many rows. None: nothing is left."""
    shop_id = erasure.shop_id
    if changed := _forget_texts(erasure):
        return changed
    if erasure.phone_hashes is None:
        return _erase_batch_of_shop(shop_id) or None
    closed = _forget_open_webhooks(erasure)
    if closed is not None:
        return closed
    return rows_changed(_EMPTY_WEBHOOKS, {"shop": shop_id, "limit": BATCH}) or None


def _forget_texts(erasure: Erasure) -> int:
    if erasure.phone_hashes is None:
        return messaging.forget_shop(erasure.shop_id, BATCH)
    return messaging.forget_people(erasure.shop_id, erasure.phone_hashes, BATCH)


def _erase_batch_of_shop(shop_id: int) -> int:
    changed = consent.erase_shop(shop_id, BATCH)
    for table in _OF_A_SHOP:
        changed = changed or remove_rows(table, shop_id, BATCH)
    values = {"shop": shop_id, "now": clock.now(), "limit": BATCH}
    return changed or rows_changed(_CLOSE_WEBHOOKS_OF_SHOP, values)


def _forget_open_webhooks(erasure: Erasure) -> int | None:
    """Close what waits, or was given up, and speaks of the person: sealed payloads can only be read one by one. So many
    at a time; how many were closed. None: all have been looked at."""
    values = {"shop": erasure.shop_id, "after": erasure.looked_up_to, "limit": BATCH // 10}
    rows = session.execute(_OPEN_WEBHOOKS, values).all()
    if not rows:
        return None
    erasure.looked_up_to = rows[-1].id
    spoken = [row.id for row in rows if _speaks_of(erasure, row.payload_sealed)]
    if spoken:
        session.execute(_CLOSE_WEBHOOKS, {"ids": spoken, "now": clock.now(), "outcome": Outcome.PERSON_REDACTED.value})
    return len(spoken)


def _speaks_of(erasure: Erasure, payload_sealed: bytes) -> bool:
    cipher = crypto.for_shop(erasure.shop_id)
    try:
        payload = orjson.loads(cipher.open(payload_sealed, "webhook") or "")
    except (SealedValueError, orjson.JSONDecodeError):
        return False
    if not isinstance(payload, Mapping):
        return False
    named = rules.customer_id(payload)
    if named is not None and named == erasure.customer:
        return True
    return _phone_of(payload, cipher) in _hashes(erasure)


def _hashes(erasure: Erasure) -> Collection[bytes | None]:
    return erasure.phone_hashes or ()


def _phone_of(payload: Mapping[str, Any], cipher: crypto.ShopCipher) -> bytes | None:
    phone = payload.get("phone")
    return cipher.lookup(phone) if isinstance(phone, str) else None


_TAKE = select(Erasure).where(Erasure.id == text(":id")).with_for_update(skip_locked=True)

_PHONES = text(
    """
    WITH person AS (
        SELECT id, phone_hash FROM contacts WHERE shop_id = :shop AND id = ANY(CAST(:ids AS bigint[]))
    ), phones AS (
        SELECT CAST(:phone_hash AS bytea) AS phone_hash
        UNION SELECT phone_hash FROM person
        UNION SELECT k.phone_hash FROM person p JOIN consents k ON k.shop_id = :shop AND k.contact_id = p.id
        UNION SELECT t.phone_hash FROM person p JOIN inbound_texts t ON t.shop_id = :shop AND t.contact_id = p.id
    )
    SELECT phone_hash FROM phones WHERE phone_hash IS NOT NULL AND NOT EXISTS (
        SELECT FROM contacts c WHERE c.shop_id = :shop AND c.phone_hash = phones.phone_hash
          AND c.id NOT IN (SELECT id FROM person)
    )
    """
)

_DELETE_EXPORTS = text(
    """
    DELETE FROM data_exports
    WHERE shop_id = :shop AND (customer = :customer OR phone_hashes && CAST(:phones AS bytea[]))
    """
)

# What was done with is kept for us to look into, for some days: of all of the shop's, so that none need be opened.
_EMPTY_WEBHOOKS = text(
    """
    UPDATE shopify_webhooks SET payload_sealed = NULL WHERE id = ANY(ARRAY(
        SELECT id FROM shopify_webhooks
        WHERE shop_id = :shop AND state IN ('done', 'ignored') AND payload_sealed IS NOT NULL
        ORDER BY id LIMIT :limit FOR UPDATE
    ))
    """
)
_OPEN_WEBHOOKS = text(
    """
    SELECT id, payload_sealed FROM shopify_webhooks
    WHERE shop_id = :shop AND id > :after AND state NOT IN ('done', 'ignored') AND payload_sealed IS NOT NULL
      AND topic <> 'customers/redact'
    ORDER BY id LIMIT :limit
    """
)
_CLOSE_WEBHOOKS = text(
    """
    UPDATE shopify_webhooks SET state = 'ignored', outcome = :outcome, fault = NULL, payload_sealed = NULL,
        next_try_at = NULL, in_hand_until = NULL, ended_at = :now
    WHERE id = ANY(:ids) AND state NOT IN ('done', 'ignored')
    """
)
_CLOSE_WEBHOOKS_OF_SHOP = text(
    """
    UPDATE shopify_webhooks SET payload_sealed = NULL,
        outcome = CASE WHEN state IN ('done', 'ignored') THEN outcome ELSE 'shop_redacted' END,
        state = CASE WHEN state = 'done' THEN state ELSE 'ignored' END,
        next_try_at = NULL, in_hand_until = NULL, ended_at = coalesce(ended_at, :now)
    WHERE id = ANY(ARRAY(
        SELECT id FROM shopify_webhooks
        WHERE shop_id = :shop AND payload_sealed IS NOT NULL AND in_hand_until IS NULL
        ORDER BY id LIMIT :limit FOR UPDATE
    ))
    """
)

_OF_A_SHOP = (
    "link_counts",
    "link_clicks",
    "link_targets",
    "dispatch_texts",
    "inbound_texts",
    "data_exports",
    "upload_parts",
    "uploads",
    "import_refusals",
    "contact_import_keys",
    "contact_imports",
    "segment_members",
    "shopify_segment_pages",
    "shopify_segments",
    "shopify_segment_lists",
    "contacts",
    "campaigns",
    "segments",
    "message_templates",
    "customers_gone",
    "customer_imports",
    "customer_comparisons",
    "staff_members",
    "trial_numbers",
    "api_keys",
)
"""Tables of what is a person's, or in the merchant's words. Each after what points to it."""

"""Consent that changed here, and that Shopify is to be told of: noted with the change, told by `customers`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from blossom.consent.rules import Urgency
from blossom.platform import bulk, queue
from blossom.platform.db import session


def owe(shop_id: int, phones: Mapping[bytes, Urgency], now: datetime) -> None:
    """Note, within the change's transaction, that the state of these phones (their hashes) is to be told to Shopify,
    and how urgent that is, and nudge who tells it. A shop that never had the app in Shopify owes nothing."""
    if not phones:
        return
    given = {"phone_hashes": bulk.bytea_array(phones), "urgencies": bulk.bigint_array(phones.values())}
    if session.execute(_OWE, {"shop": shop_id, "now": now, **given}).first() is not None:
        queue.enqueue("customers.push_consent", queue="shopify", unless_waiting=True)


def owed_of(shop_id: int, phone_hashes: Collection[bytes]) -> set[bytes]:
    """Which of these phones' states Shopify has not been told yet. To be asked with the phones locked
    (`changes.lock_standings`), since their changes are what owes."""
    if not phone_hashes:
        return set()
    return set(session.scalars(_OWED, {"shop": shop_id, "phone_hashes": bulk.bytea_array(phone_hashes)}))


@dataclass(frozen=True)
class Last:
    """How far the last push of a phone is: owed still, or settled, with what fault if any."""

    is_owed: bool
    fault: str | None


def pushes_of(shop_id: int, phone_hashes: Collection[bytes]) -> dict[bytes, Last]:
    """The last push of each of these phones that had one. With the phones locked, as above."""
    if not phone_hashes:
        return {}
    rows = session.execute(_PUSHES, {"shop": shop_id, "phone_hashes": bulk.bytea_array(phone_hashes)})
    return {row.phone_hash: Last(row.is_owed, row.fault) for row in rows}


_PUSHES = text(
    """
    SELECT last.* FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, next_try_at IS NOT NULL AS is_owed, fault FROM consent_pushes
        WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS last
    """
)

_OWED = text(
    """
    SELECT owed.phone_hash FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash FROM consent_pushes
        WHERE shop_id = :shop AND phone_hash = given.phone_hash AND next_try_at IS NOT NULL OFFSET 0
    ) AS owed
    """
)

# A new change is tried at once, however often the one before had failed; a worker who has the phone finishes first.
_OWE = text(
    """
    INSERT INTO consent_pushes (shop_id, phone_hash, revision, tries, urgency, owed_since, next_try_at)
    SELECT :shop, phone_hash, 1, 0, urgency, :now, :now
    FROM unnest(CAST(:phone_hashes AS bytea[]), CAST(:urgencies AS smallint[])) AS given(phone_hash, urgency)
    WHERE EXISTS (SELECT FROM installations WHERE shop_id = :shop)
    ORDER BY phone_hash
    ON CONFLICT (shop_id, phone_hash) DO UPDATE SET revision = consent_pushes.revision + 1, tries = 0, fault = NULL,
        refusal_sealed = NULL, urgency = excluded.urgency, owed_since = excluded.owed_since,
        next_try_at = excluded.next_try_at
    RETURNING shop_id
    """
)

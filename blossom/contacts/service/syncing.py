"""Contacts that follow Shopify's customers: saved as they are there now, and removed when they are gone there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from blossom.contacts.rules.customers import Customer
from blossom.contacts.service.saving import FIELDS, Outcome, save_people
from blossom.platform import bulk, crypto
from blossom.platform.db import lock_for_transaction, session


@dataclass(frozen=True, slots=True)
class Synced:
    """A customer's contact. `outcome` None: what we have is newer than what was given."""

    contact_id: int
    phone_hash: bytes
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Removed:
    """A contact that is gone. Its phone's consent is not: that goes by the phone."""

    contact_id: int
    phone_hash: bytes | None


def save_customers(shop_id: int, customers: Sequence[Customer]) -> list[Synced | None]:
    """Create or update the contact of each customer, within the caller's transaction; results in the same order.

    What was read earlier than what a contact holds changes nothing. A customer without a phone that can be texted has
    no contact (None); one that a sync gave a phone loses it, one that came by a file keeps that.
    No customer may stand twice in `customers`.
    """
    lock_for_transaction("contacts.save", shop_id)
    held = {row.customer_id: row for row in session.execute(_HELD, _ids(shop_id, customers))}
    fresh = [each for each in customers if not _is_older(each, held.get(each.id))]
    people = [each.person for each in fresh if each.person is not None]
    saved = {
        person.shopify_customer_id: Synced(each.contact_id, each.phone_hash, each.outcome)
        for person, each in zip(people, save_people(shop_id, people, FIELDS), strict=True)
    }
    session.execute(_FORGET_PHONES, _ids(shop_id, [each for each in fresh if each.person is None]))
    moments = [{"customer_id": each.id, "updated_at": each.updated_at} for each in fresh]
    session.execute(_NOTE, {"shop": shop_id, "rows": bulk.json_rows(moments)})
    taken = {each.id for each in fresh}
    return [saved.get(each.id) if each.id in taken else _kept(held[each.id]) for each in customers]


def numbers_given_up(shop_id: int, customers: Sequence[Customer]) -> set[bytes]:
    """Hashes of the numbers that a sync gave these customers and that are not theirs any more. To be asked before they
    are saved, in the same transaction."""
    lock_for_transaction("contacts.save", shop_id)
    held = {row.customer_id: row for row in session.execute(_HELD, _ids(shop_id, customers))}
    cipher = crypto.for_shop(shop_id)
    given_up = set()
    for each in customers:
        row = held.get(each.id)
        if row is None or row.phone_hash is None or row.shopify_updated_at is None or _is_older(each, row):
            continue
        if each.person is None or cipher.lookup(each.person.phone.e164) != row.phone_hash:
            given_up.add(row.phone_hash)
    return given_up


def remove_customer(shop_id: int, customer_id: int) -> Removed | None:
    """Delete the contact of a customer who is gone; None if there is none. The opt-out stays, by its phone's hash."""
    row = session.execute(_REMOVE, {"shop": shop_id, "customer": customer_id}).one_or_none()
    return None if row is None else Removed(row.id, row.phone_hash)


def hold_people(shop_id: int) -> None:
    """Let nobody else save or remove people of the shop until the transaction ends."""
    lock_for_transaction("contacts.save", shop_id)


def erase_contacts(shop_id: int, contact_ids: Collection[int]) -> None:
    """Delete contacts of a person who is to be forgotten. What they said about being texted stays, by the hash."""
    session.execute(_ERASE, {"shop": shop_id, "ids": bulk.bigint_array(contact_ids)})


def _ids(shop_id: int, customers: Sequence[Customer]) -> dict[str, object]:
    return {"shop": shop_id, "ids": bulk.bigint_array(each.id for each in customers)}


def _is_older(customer: Customer, held: Row[Any] | None) -> bool:
    if held is None or held.shopify_updated_at is None:
        return False
    return bool(customer.updated_at < held.shopify_updated_at)


def _kept(held: Row[Any]) -> Synced | None:
    return None if held.phone_hash is None else Synced(held.id, held.phone_hash, None)


_HELD = text(
    """
    SELECT known.* FROM unnest(CAST(:ids AS bigint[])) AS given(id) CROSS JOIN LATERAL (
        SELECT id, shopify_customer_id AS customer_id, phone_hash, shopify_updated_at FROM contacts
        WHERE shop_id = :shop AND shopify_customer_id = given.id FOR UPDATE
    ) AS known
    """
)
_FORGET_PHONES = text(
    """
    UPDATE contacts SET phone_sealed = NULL, phone_hash = NULL, phone_country = NULL, fingerprint = NULL
    WHERE shop_id = :shop AND shopify_customer_id = ANY(CAST(:ids AS bigint[])) AND shopify_updated_at IS NOT NULL
    """
)
_NOTE = text(
    """
    UPDATE contacts SET shopify_updated_at = given.updated_at
    FROM json_to_recordset(CAST(:rows AS json)) AS given(customer_id bigint, updated_at timestamptz)
    WHERE contacts.shop_id = :shop AND contacts.shopify_customer_id = given.customer_id
      AND contacts.shopify_updated_at IS DISTINCT FROM given.updated_at
    """
)
_REMOVE = text(
    "DELETE FROM contacts WHERE shop_id = :shop AND shopify_customer_id = :customer RETURNING id, phone_hash"
)
_ERASE = text("DELETE FROM contacts WHERE shop_id = :shop AND id = ANY(CAST(:ids AS bigint[]))")

"""What was read of several customers at once, written as if each had been read by itself, in the order of changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import text

from blossom.consent.service import syncing as consent
from blossom.consent.service.changes import lock_standings
from blossom.contacts import queries as contact_queries
from blossom.contacts import service as contacts
from blossom.contacts.rules.customers import Customer
from blossom.customers import queries
from blossom.customers.service import segment_members
from blossom.platform import crypto
from blossom.platform.db import lock_for_transaction, session


def apply_read(shop_id: int, read: Mapping[int, Customer | None]) -> None:
    """Save the contacts of customers, by their ids, and their consent; None is one who is gone. Within the caller's
    transaction. Who is there comes first, so that a number which went over to them stays their contact's."""
    save_together(shop_id, [each for each in read.values() if each is not None])
    forget_gone(shop_id, [customer_id for customer_id, customer in read.items() if customer is None])


def save_together(shop_id: int, customers: Sequence[Customer]) -> list[contacts.Synced | None]:
    """`consent.service.syncing.save_customers`, but for numbers that went from one customer to another: those are saved
    one after the other, so that the one who gave a number away is not left behind with it as nobody's contact."""
    lock_for_transaction("contacts.save", shop_id)
    saved: dict[int, contacts.Synced | None] = {}
    rounds = _rounds(shop_id, sorted(customers, key=lambda each: (each.updated_at, each.id)))
    if len(rounds) > 1:
        _lock_phones(shop_id, customers)
    for together in rounds:
        ids = [each.id for each in together]
        saved |= zip(ids, consent.save_customers(shop_id, together), strict=True)
    return [saved[each.id] for each in customers]


def forget_gone(shop_id: int, customer_ids: Collection[int]) -> int:
    """Remove the contacts of customers who are gone at Shopify, within the caller's transaction; how many there were.
    What was said about texting stays, by the phone's keyed hash, but for an opt-in that only a list had proven."""
    removed = []
    for customer_id in sorted(customer_ids):
        note_gone(shop_id, customer_id)
        contact = contacts.remove_customer(shop_id, customer_id)
        if contact is not None:
            removed.append(contact)
    for phone_hash in sorted(each.phone_hash for each in removed if each.phone_hash is not None):
        consent.forget_list(shop_id, phone_hash)
    return len(removed)


def note_gone(shop_id: int, customer_id: int) -> None:
    """A customer is gone, in the transaction that removes their contact: what is being read may still name them."""
    lock_for_transaction("contacts.save", shop_id)
    segment_members.forget_member(shop_id, customer_id)
    if queries.has_open_import(shop_id) or queries.is_comparing(shop_id):
        session.execute(_NOTE_GONE, {"shop": shop_id, "customer": customer_id})


def _rounds(shop_id: int, customers: Sequence[Customer]) -> list[list[Customer]]:
    """Whom to save together: almost always all. A number that is, or will be, another customer's waits for that one."""
    cipher = crypto.for_shop(shop_id)
    hashes = {each.id: cipher.lookup(each.person.phone.e164) for each in customers if each.person is not None}
    owners = contact_queries.owners_of(shop_id, set(hashes.values()))
    times = Counter(hashes.values())
    rounds: list[list[Customer]] = [[]]
    for each in customers:
        phone_hash = hashes.get(each.id)
        owner = owners.get(phone_hash) if phone_hash is not None else None
        theirs = owner is None or owner.customer_id in (None, each.id)
        if phone_hash is None or (theirs and times[phone_hash] == 1):
            rounds[0].append(each)
        else:
            rounds.append([each])
    return rounds


def _lock_phones(shop_id: int, customers: Sequence[Customer]) -> None:
    """Lock the consent of all numbers that these customers have, had, or get, in the one order of all callers, since
    rounds would lock them in their own: beside a list that changes consent the two could wait for each other."""
    cipher = crypto.for_shop(shop_id)
    phones = {cipher.lookup(each.person.phone.e164) for each in customers if each.person is not None}
    lock_standings(shop_id, phones | contacts.numbers_given_up(shop_id, customers))


_NOTE_GONE = text("INSERT INTO customers_gone (shop_id, customer) VALUES (:shop, :customer) ON CONFLICT DO NOTHING")

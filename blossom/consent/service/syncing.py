"""Customers of Shopify with what it says of their consent.

Shopify's word is a list's: it opts in whom we know nothing better of, takes back what only a list had said, and never
undoes an opt-out of ours. Its opt-out holds, unless the person has told us otherwise since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from blossom.consent import rules
from blossom.consent.rules import Deed, Source, Standing, State
from blossom.consent.service.changes import Change, Step, apply, lock_standings
from blossom.contacts import service as contacts
from blossom.contacts.rules.customers import Customer, SmsConsent

_DEEDS = {
    "SUBSCRIBED": (Deed.OPT_IN,),
    "UNSUBSCRIBED": (Deed.OPT_OUT,),
    "PENDING": (Deed.ASK,),
    "NEVER_SUBSCRIBED": (Deed.RETRACT,),
    "NOT_SUBSCRIBED": (Deed.RETRACT,),  # as it was called before 2026-10
}
"""What each of Shopify's words does here. REDACTED says nothing: we may not see it."""

_A_SECOND = timedelta(seconds=1)
"""Shopify tells times without fractions."""


def save_customers(shop_id: int, customers: Sequence[Customer]) -> list[contacts.Synced | None]:
    """Save the contacts of these customers and what Shopify says of their consent, within the caller's transaction.
    Any number of times: only what changes is an event. The contract of `contacts.save_customers`."""
    saved = contacts.save_customers(shop_id, customers)
    said = [
        (each, customer.consent)
        for customer, each in zip(customers, saved, strict=True)
        if each is not None and each.outcome is not None and customer.consent is not None
    ]
    # Locked all at once, in one order, so that two callers never wait for each other in a circle.
    standings = lock_standings(shop_id, {each.phone_hash for each, _ in said})
    steps = [
        _step(each.phone_hash, deed, consent, each.contact_id)
        for each, consent in said
        for deed in _deeds(standings.get(each.phone_hash, Standing()), consent)
    ]
    apply(shop_id, steps)
    return saved


def hear_opt_out(shop_id: int, phone_hash: bytes, said: SmsConsent) -> Change | None:
    """Shopify tells that this phone opted out, whatever it says by now: so it comes to the same, whether we asked
    before, between or after several changes. None: the person has opted in here since."""
    standing = lock_standings(shop_id, {phone_hash}).get(phone_hash, Standing())
    if not _deeds(standing, said):
        return None
    return apply(shop_id, [_step(phone_hash, Deed.OPT_OUT, said)])[0]


def forget_list(shop_id: int, phone_hash: bytes) -> Change:
    """The customer is gone at Shopify: an opt-in that only a list had proven goes, too."""
    return apply(shop_id, [Step(phone_hash, Deed.RETRACT, Source.SHOPIFY)])[0]


def _step(phone_hash: bytes, deed: Deed, said: SmsConsent, contact_id: int | None = None) -> Step:
    details = {"level": said.level, "collected_from": said.collected_from}
    return Step(
        phone_hash,
        deed,
        Source.SHOPIFY,
        contact_id=contact_id,
        occurred_at=said.updated_at,
        details={name: value for name, value in details.items() if value},
    )


def _deeds(standing: Standing, said: SmsConsent) -> tuple[Deed, ...]:
    deeds = _DEEDS.get(said.state, ())
    if standing.state is not State.OPTED_IN:
        return deeds
    if Deed.OPT_OUT in deeds and _told_otherwise_since(standing, said):
        return ()
    if Deed.ASK in deeds and standing.source in rules.FROM_A_LIST:  # the list that said yes says "asked" now
        return Deed.RETRACT, Deed.ASK
    return deeds


def _told_otherwise_since(standing: Standing, said: SmsConsent) -> bool:
    """Whether the person opted in here after Shopify's opt-out, which then is an older word (ours is on its way)."""
    if standing.source not in rules.BY_THE_PERSON or standing.changed_at is None or said.updated_at is None:
        return False
    return standing.changed_at >= said.updated_at + _A_SECOND

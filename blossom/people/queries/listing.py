"""What the pages on people show. Each list is read through an index, a page at a time, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select, text, tuple_

from blossom.consent.models import Consent
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.contacts.models import Contact
from blossom.people.rules import Mark
from blossom.platform import bulk, crypto
from blossom.platform.db import session
from blossom.segments import queries as segments
from blossom.segments.models import Segment

ON_A_PAGE = 50
WALKED = 5_000
"""Of those who never subscribed there is no index (most have no row of consent): so many contacts are looked through
for one page, and the next page goes on from there."""


@dataclass(frozen=True)
class Row:
    """A person of a list. `since`: when their consent last changed; None: never."""

    contact: Contact
    state: State
    since: datetime | None


@dataclass(frozen=True)
class Listing:
    """A page of a list. `after`: where the next one begins, None at the end. `walked`: so many contacts were looked
    through, as one request may, and there may be more although the page is not full; else 0."""

    rows: Sequence[Row]
    after: Mark | None = None
    walked: int = 0


def everybody(shop_id: int, after: Mark | None = None) -> Listing:
    """All contacts, the newest first."""
    found = contacts.contacts(shop_id, before_id=after.contact_id if after else None, limit=ON_A_PAGE + 1)
    rows = with_consent(shop_id, found[:ON_A_PAGE])
    return Listing(rows, Mark(found[ON_A_PAGE - 1].id) if len(found) > ON_A_PAGE else None)


def in_state(shop_id: int, state: State, after: Mark | None = None) -> Listing:
    """Contacts whose consent is in `state`, the latest change first; of those who never subscribed the newest first."""
    if state is State.NEVER_SUBSCRIBED:
        return _never_subscribed(shop_id, after)
    query = (
        select(Contact, Consent.changed_at)
        .join(Consent, (Consent.shop_id == Contact.shop_id) & (Consent.phone_hash == Contact.phone_hash))
        .where(Consent.shop_id == shop_id, Consent.state == state.value)
        .order_by(Consent.changed_at.desc(), Consent.phone_hash.desc())
        .limit(ON_A_PAGE + 1)
    )
    if after is not None and after.changed_at is not None:
        # Many changes of one import have one moment, and their hashes are in no address: the contact's id tells it. Of
        # one who is gone by now, those of the same moment are shown again rather than passed over.
        last = select(Contact.phone_hash).where(Contact.shop_id == shop_id, Contact.id == after.contact_id)
        hash_of_last = func.coalesce(last.scalar_subquery(), b"\xff" * 17)
        query = query.where(tuple_(Consent.changed_at, Consent.phone_hash) < tuple_(after.changed_at, hash_of_last))
    found = session.execute(query).all()
    rows = [Row(contact, state, since) for contact, since in found[:ON_A_PAGE]]
    return Listing(rows, Mark(rows[-1].contact.id, rows[-1].since) if len(found) > ON_A_PAGE else None)


def _never_subscribed(shop_id: int, after: Mark | None) -> Listing:
    values = {"shop": shop_id, "before": after.contact_id if after else 2**63 - 1, "walked": WALKED}
    ids = list(session.scalars(_NEVER, {**values, "limit": ON_A_PAGE + 1}))
    full = len(ids) > ON_A_PAGE
    shown = ids[:ON_A_PAGE]
    known = session.scalars(select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_(shown)))
    by_id = {contact.id: contact for contact in known}
    rows = with_consent(shop_id, [by_id[contact_id] for contact_id in shown if contact_id in by_id])
    if full:
        return Listing(rows, Mark(shown[-1]))
    end = session.scalar(_WALKED_TO, values)
    return Listing(rows, Mark(end) if end is not None else None, WALKED if end is not None else 0)


def of_segment(shop_id: int, one: Segment, state: State | None = None, after: Mark | None = None) -> Listing:
    """Contacts who are in the segment (and whose consent is in `state`), the newest first. They may be few among many,
    so `WALKED` contacts are looked through for one page."""
    walked = select(Contact.id).where(Contact.shop_id == shop_id).order_by(Contact.id.desc()).limit(WALKED)
    if after is not None:
        walked = walked.where(Contact.id < after.contact_id)
    window = walked.subquery("walked")
    query = select(Contact).join(window, window.c.id == Contact.id).where(segments.is_in(one))
    if state is not None:
        query = query.where(_stands(state))
    found = session.scalars(query.order_by(Contact.id.desc()).limit(ON_A_PAGE + 1)).all()
    rows = with_consent(shop_id, found[:ON_A_PAGE])
    if len(found) > ON_A_PAGE:
        return Listing(rows, Mark(found[ON_A_PAGE - 1].id))
    end, number = session.execute(select(func.min(window.c.id), func.count()).select_from(window)).one()
    is_full = number == WALKED
    return Listing(rows, Mark(end) if is_full else None, WALKED if is_full else 0)


def _stands(state: State) -> ColumnElement[bool]:
    standing = exists().where(Consent.shop_id == Contact.shop_id, Consent.phone_hash == Contact.phone_hash)
    if state is State.NEVER_SUBSCRIBED:
        return ~standing.where(Consent.state != state.value)
    return standing.where(Consent.state == state.value)


def with_email(shop_id: int, email: str) -> Listing:
    """Contacts with this address, the newest first: a page of them, and no next one."""
    query = (
        select(Contact)
        .where(Contact.shop_id == shop_id, Contact.email_hash == crypto.for_shop(shop_id).lookup(email.lower()))
        .order_by(Contact.id.desc())
        .limit(ON_A_PAGE)
    )
    return Listing(with_consent(shop_id, session.scalars(query).all()))


def with_phone(shop_id: int, e164: str) -> Listing:
    """The contact with this number, if there is one."""
    found = contacts.contact_by_phone(shop_id, e164)
    return Listing(with_consent(shop_id, [found] if found else []))


def with_consent(shop_id: int, found: Sequence[Contact]) -> list[Row]:
    """These contacts, in their order, with where each stands."""
    hashes = [contact.phone_hash for contact in found if contact.phone_hash is not None]
    known = {}
    if hashes:
        standing = session.execute(_STANDINGS, {"shop": shop_id, "phone_hashes": bulk.bytea_array(hashes)})
        known = {row.phone_hash: row for row in standing}
    rows = []
    for contact in found:
        row = known.get(contact.phone_hash)
        rows.append(Row(contact, State(row.state) if row else State.NEVER_SUBSCRIBED, row.changed_at if row else None))
    return rows


_STANDINGS = text(
    """
    SELECT known.* FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, state, changed_at FROM consents
        WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS known
    """
)
_NEVER = text(
    """
    SELECT walked.id FROM (
        SELECT id, phone_hash FROM contacts WHERE shop_id = :shop AND id < :before ORDER BY id DESC LIMIT :walked
    ) AS walked
    LEFT JOIN LATERAL (
        SELECT state FROM consents WHERE shop_id = :shop AND phone_hash = walked.phone_hash OFFSET 0
    ) AS known ON true
    WHERE coalesce(known.state, 'never_subscribed') = 'never_subscribed'
    ORDER BY walked.id DESC LIMIT :limit
    """
)
_WALKED_TO = text(
    """
    SELECT min(id) FROM (
        SELECT id FROM contacts WHERE shop_id = :shop AND id < :before ORDER BY id DESC LIMIT :walked
    ) AS walked HAVING count(*) = :walked
    """
)

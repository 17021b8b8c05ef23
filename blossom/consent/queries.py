"""Reading consent. Messaging asks in SQL; what it joins is written down here.

At claim, a marketing batch joins

    JOIN consents c ON c.shop_id = m.shop_id AND c.phone_hash = m.phone_hash AND c.state = 'opted_in'

and a transactional one excludes

    WHERE NOT EXISTS (SELECT FROM consents c WHERE c.shop_id = m.shop_id AND c.phone_hash = m.phone_hash
                      AND c.state = 'opted_out')

Both are one probe of the primary key a recipient. A phone without a row never subscribed. These two and
`rules.may_text` say the same thing; `tests/consent/test_queries.py` holds them together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, text

from blossom.consent import rules
from blossom.consent.models import Consent, ConsentEvent, ConsentSettings, OptInRequest
from blossom.consent.rules import Outcome, Proof, ProofEntry, Purpose, Settings, Source, Standing, State
from blossom.contacts import queries as contacts
from blossom.platform import bulk, clock
from blossom.platform.db import session
from blossom.shops import queries as shops


def state_of(shop_id: int, phone_hash: bytes) -> State:
    """Where a phone stands."""
    state = session.scalar(select(Consent.state).where(Consent.shop_id == shop_id, Consent.phone_hash == phone_hash))
    return State.NEVER_SUBSCRIBED if state is None else State(state)


def states_of(shop_id: int, phone_hashes: Collection[bytes]) -> dict[bytes, State]:
    """Where each phone stands; every one of `phone_hashes` is in the answer."""
    rows = session.execute(_STATES, {"shop": shop_id, "phone_hashes": bulk.bytea_array(phone_hashes)})
    known = {row.phone_hash: State(row.state) for row in rows}
    return {phone_hash: known.get(phone_hash, State.NEVER_SUBSCRIBED) for phone_hash in phone_hashes}


def standing_of(shop_id: int, phone_hash: bytes) -> Standing:
    """Where a phone stands, by which source, since when."""
    row = session.execute(
        select(Consent.state, Consent.source, Consent.changed_at).where(
            Consent.shop_id == shop_id, Consent.phone_hash == phone_hash
        )
    ).one_or_none()
    return Standing() if row is None else Standing(State(row.state), Source(row.source), row.changed_at)


NO_PHONE = "no_phone"


def may_text(
    shop_id: int, phone_hash: bytes | None, purpose: Purpose, at: datetime | None = None
) -> tuple[bool, str | None]:
    """Whether this phone (`Contact.phone_hash`) may get a text for `purpose`, and if not, why not.

    Now, or as we knew it at the moment `at`: then the events that had been recorded by that moment decide, which is how
    a text of last month is answered for. Consent is never dated ahead (`service.apply`), so "now" needs no clock.
    """
    if phone_hash is None:
        return False, NO_PHONE
    state = state_of(shop_id, phone_hash) if at is None else state_at(shop_id, phone_hash, at)
    return rules.may_text(state, purpose)


def state_at(shop_id: int, phone_hash: bytes, at: datetime) -> State:
    """Where a phone stood, as far as had been recorded by `at` (aware)."""
    state = session.scalar(
        select(ConsentEvent.to_state)
        .where(ConsentEvent.shop_id == shop_id, ConsentEvent.phone_hash == phone_hash, ConsentEvent.recorded_at <= at)
        .order_by(ConsentEvent.id.desc())
        .limit(1)
    )
    return State.NEVER_SUBSCRIBED if state is None else State(state)


def may_text_many(
    shop_id: int, phone_hashes: Collection[bytes], purpose: Purpose
) -> dict[bytes, tuple[bool, str | None]]:
    """The same for many, in one statement."""
    return {
        phone_hash: rules.may_text(state, purpose) for phone_hash, state in states_of(shop_id, phone_hashes).items()
    }


def events(shop_id: int, phone_hash: bytes) -> Sequence[ConsentEvent]:
    """The whole story of a phone, oldest first: the proof of why it may, or may not, be texted."""
    return session.scalars(
        select(ConsentEvent)
        .where(ConsentEvent.shop_id == shop_id, ConsentEvent.phone_hash == phone_hash)
        .order_by(ConsentEvent.id)
    ).all()


def proof(shop_id: int, contact_id: int) -> Proof:
    """Why a contact may, or may not, be texted: for a page, and for a PDF. Raises `NotFound`."""
    contact = contacts.contact(shop_id, contact_id)
    shop = shops.get_shop(shop_id)
    story = events(shop_id, contact.phone_hash) if contact.phone_hash else []
    names = [name for name in (contact.first_name, contact.last_name) if name]
    return Proof(
        shop_name=shop.name,
        shop_domain=shop.domain,
        timezone=shop.timezone,
        made_at=clock.now(),
        contact_id=contact.id,
        name=" ".join(names) or None,
        phone=contact.phone,
        state=State(story[-1].to_state) if story else State.NEVER_SUBSCRIBED,
        marketing_allowed=may_text(shop_id, contact.phone_hash, Purpose.MARKETING)[0],
        transactional_allowed=may_text(shop_id, contact.phone_hash, Purpose.TRANSACTIONAL)[0],
        entries=[
            ProofEntry(
                occurred_at=event.occurred_at,
                recorded_at=event.recorded_at,
                from_state=State(event.from_state),
                to_state=State(event.to_state),
                source=Source(event.source),
                wording=event.wording,
                ip=event.ip,
                user_agent=event.user_agent,
                actor=event.actor,
                details=event.details,
            )
            for event in story
        ],
    )


def settings(shop_id: int) -> Settings:
    """How the shop asks for consent."""
    row = session.execute(select(ConsentSettings).where(ConsentSettings.shop_id == shop_id)).scalar_one_or_none()
    if row is None:
        return Settings()
    return Settings(row.double_opt_in, row.in_theme, row.wordings, row.privacy_url, row.join_keywords)


def request_by_code(shop_id: int, code: str, now: datetime, *, lock: bool = False) -> OptInRequest | None:
    """The form whose confirmation this code gives, or has given; None if it gives none (any more).

    A code dies with its day, and with an opt-out that came after it was sent.
    """
    query = select(OptInRequest).where(
        OptInRequest.shop_id == shop_id,
        OptInRequest.code_hash == rules.code_hash(code),
        OptInRequest.outcome.in_((Outcome.ASKED, Outcome.CONFIRMED)),
        OptInRequest.expires_at > now,
    )
    request = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if request is None or request.asked_at is None:
        return None
    standing = standing_of(shop_id, request.phone_hash)
    withdrawn = standing.state is State.OPTED_OUT and standing.changed_at and standing.changed_at > request.asked_at
    return None if withdrawn else request


def asked_at(shop_id: int, phone_hash: bytes, since: datetime) -> list[datetime]:
    """When this phone was sent a confirmation since then."""
    found = session.scalars(
        select(OptInRequest.asked_at).where(
            OptInRequest.shop_id == shop_id, OptInRequest.phone_hash == phone_hash, OptInRequest.asked_at > since
        )
    )
    return [moment for moment in found if moment is not None]


def asked_and_confirmed(shop_id: int, since: datetime) -> tuple[int, int]:
    """How many confirmations the shop has asked for since then, and how many of them came."""
    asked, confirmed = OptInRequest.asked_at > since, OptInRequest.confirmed_at.is_not(None)
    counts = select(func.count(), func.count().filter(confirmed)).where(OptInRequest.shop_id == shop_id, asked)
    row = session.execute(counts).one()
    return row[0], row[1]


def is_asked(shop_id: int, phone_hash: bytes, now: datetime) -> bool:
    """Whether a confirmation of this phone is still to come."""
    return bool(
        session.scalar(
            select(
                exists().where(
                    OptInRequest.shop_id == shop_id,
                    OptInRequest.phone_hash == phone_hash,
                    OptInRequest.outcome == Outcome.ASKED,
                    OptInRequest.expires_at > now,
                )
            )
        )
    )


def unsettled_requests(now: datetime, limit: int = 200) -> list[tuple[int, int]]:
    """Forms (shop_id, id) whose job was lost, the oldest first: the clock's question, of all shops."""
    query = (
        select(OptInRequest.shop_id, OptInRequest.id)
        .where(OptInRequest.outcome.is_(None), OptInRequest.requested_at < now - UNSETTLED_AFTER)
        .order_by(OptInRequest.requested_at)
        .limit(limit)
    )
    return [(row.shop_id, row.id) for row in session.execute(query)]


def texted_requests(limit: int = 500) -> list[tuple[int, int, int]]:
    """Requests (shop_id, id, dispatch_id) whose text, with its code, stands in a dispatch: of all shops."""
    query = (
        select(OptInRequest.shop_id, OptInRequest.id, OptInRequest.dispatch_id)
        .where(OptInRequest.dispatch_id.is_not(None))
        .order_by(OptInRequest.dispatch_id)
        .limit(limit)
    )
    return [(row.shop_id, row.id, row.dispatch_id or 0) for row in session.execute(query)]


UNSETTLED_AFTER = timedelta(seconds=30)


_STATES = text(
    """
    SELECT known.* FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, state FROM consents WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS known
    """
)

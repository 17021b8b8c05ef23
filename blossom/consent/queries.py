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

from sqlalchemy import select, text

from blossom.consent import rules
from blossom.consent.models import Consent, ConsentEvent
from blossom.consent.rules import Purpose, State
from blossom.platform import bulk
from blossom.platform.db import session


def state_of(shop_id: int, phone_hash: bytes) -> State:
    """Where a phone stands."""
    state = session.scalar(select(Consent.state).where(Consent.shop_id == shop_id, Consent.phone_hash == phone_hash))
    return State.NEVER_SUBSCRIBED if state is None else State(state)


def states_of(shop_id: int, phone_hashes: Collection[bytes]) -> dict[bytes, State]:
    """Where each phone stands; every one of `phone_hashes` is in the answer."""
    rows = session.execute(_STATES, {"shop": shop_id, "phone_hashes": bulk.bytea_array(phone_hashes)})
    known = {row.phone_hash: State(row.state) for row in rows}
    return {phone_hash: known.get(phone_hash, State.NEVER_SUBSCRIBED) for phone_hash in phone_hashes}


def may_text(shop_id: int, phone_hash: bytes, purpose: Purpose) -> tuple[bool, str | None]:
    """Whether this phone may get a text for `purpose` now, and if not, why not."""
    return rules.may_text(state_of(shop_id, phone_hash), purpose)


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


_STATES = text(
    """
    SELECT known.* FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, state FROM consents WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS known
    """
)

"""What messaging asks: in Python and in SQL, the same answer."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.consent import queries
from blossom.consent import service as consent
from blossom.consent.rules import Purpose, Source, State
from tests.personas import Personas

HASHES = {state: state.value.encode().ljust(16)[:16] for state in State}

SQL = {
    Purpose.MARKETING: """
        SELECT m.phone_hash FROM unnest(CAST(:hashes AS bytea[])) AS m(phone_hash)
        JOIN consents c ON c.shop_id = :shop AND c.phone_hash = m.phone_hash AND c.state = 'opted_in'
    """,
    Purpose.TRANSACTIONAL: """
        SELECT m.phone_hash FROM unnest(CAST(:hashes AS bytea[])) AS m(phone_hash)
        WHERE NOT EXISTS (SELECT FROM consents c WHERE c.shop_id = :shop AND c.phone_hash = m.phone_hash
                          AND c.state = 'opted_out')
    """,
}
"""The statements that `queries` documents for messaging."""


@pytest.fixture
def shop_id(personas: Personas) -> int:
    ours = personas.ours.id
    consent.ask(ours, HASHES[State.PENDING], source=Source.STOREFRONT)
    consent.opt_in(ours, HASHES[State.OPTED_IN], source=Source.STOREFRONT)
    consent.opt_out(ours, HASHES[State.OPTED_OUT], source=Source.KEYWORD)
    for phone_hash in HASHES.values():  # another shop's consent changes nothing here
        consent.opt_in(personas.theirs.id, phone_hash, source=Source.CHECKOUT)
    return ours


def test_every_phone_is_in_the_answer(shop_id: int) -> None:
    assert queries.states_of(shop_id, HASHES.values()) == {phone_hash: state for state, phone_hash in HASHES.items()}


@pytest.mark.parametrize("purpose", Purpose)
def test_the_sql_that_messaging_joins_says_what_the_rules_say(shop_id: int, session: Session, purpose: Purpose) -> None:
    rows = session.execute(text(SQL[purpose]), {"shop": shop_id, "hashes": list(HASHES.values())})

    allowed = {h for h, (may, _) in queries.may_text_many(shop_id, HASHES.values(), purpose).items() if may}
    assert {bytes(row.phone_hash) for row in rows} == allowed
    assert all(queries.may_text(shop_id, h, purpose)[0] is (h in allowed) for h in HASHES.values())

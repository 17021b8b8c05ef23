"""What the database itself holds of messages where no foreign key does: whose they are, and where they stand."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blossom.messaging.rules import message_ids
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.personas import Personas

_COPY = text("""
INSERT INTO messages (id, shop_id, dispatch_id, batch_number, phone_sealed, phone_hash, country, zone, state,
                      created_at)
SELECT :id, :shop_id, :dispatch_id, 0, phone_sealed, sha256(phone_hash), country, zone, state, created_at
FROM messages WHERE id = :like
""")


def test_no_message_of_one_shop_is_in_another_s_dispatch(session: Session, personas: Personas) -> None:
    theirs = create_dispatch(personas.theirs.id)
    message = create_message(create_batch(create_dispatch(personas.ours.id)))
    values = {"id": message.id + 1000, "like": message.id, "dispatch_id": theirs.id}
    with pytest.raises(IntegrityError, match="does not have"), session.begin_nested():
        session.execute(_COPY, {**values, "shop_id": personas.ours.id})
    session.execute(_COPY, {**values, "shop_id": personas.theirs.id})


def test_no_message_is_in_a_dispatch_that_is_not_there(session: Session, personas: Personas) -> None:
    message = create_message(create_batch(create_dispatch(personas.ours.id)))
    values = {"id": message.id + 1000, "like": message.id, "shop_id": personas.ours.id}
    with pytest.raises(IntegrityError, match="does not have"), session.begin_nested():
        session.execute(_COPY, {**values, "dispatch_id": message.dispatch_id + 1000})


@pytest.mark.parametrize("change", ["shop_id = :other_shop", "dispatch_id = :other_dispatch"])
def test_a_message_stays_with_its_shop_and_its_dispatch(session: Session, personas: Personas, change: str) -> None:
    message = create_message(create_batch(create_dispatch(personas.ours.id)))
    other = {"other_shop": personas.theirs.id, "other_dispatch": create_dispatch(personas.ours.id).id}
    with pytest.raises(IntegrityError, match="stays with"), session.begin_nested():
        session.execute(text(f"UPDATE messages SET {change} WHERE id = :id"), {**other, "id": message.id})


def test_a_dispatch_with_messages_is_not_deleted(session: Session, personas: Personas) -> None:
    dispatch = create_dispatch(personas.ours.id)
    create_message(create_batch(dispatch))
    session.execute(text("DELETE FROM batches"))
    with pytest.raises(IntegrityError, match="has messages"), session.begin_nested():
        session.execute(text("DELETE FROM dispatches"))
    session.execute(text("DELETE FROM messages"))
    session.execute(text("DELETE FROM dispatches"))


def test_a_batch_does_not_reach_beyond_its_dispatch(session: Session, personas: Personas) -> None:
    dispatch = create_dispatch(personas.ours.id)
    stand = message_ids.of_dispatch(dispatch.id)
    create_batch(dispatch, number=1, first_id=stand.first, last_id=stand.last)
    for beyond in ({"first_id": stand.first - 1}, {"last_id": stand.last + 1}):
        with pytest.raises(IntegrityError, match="within_dispatch"), session.begin_nested():
            create_batch(dispatch, number=2, **beyond)

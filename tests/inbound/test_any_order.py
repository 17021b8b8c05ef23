"""Receipts in any order, any number of times, in any company, before or after the send's own answer: the same end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from blossom.messaging import service as messaging
from blossom.messaging.models import Batch, Message
from blossom.messaging.rules.states import MessageState
from blossom.messaging.service.receipts import rematch_orphans
from blossom.platform import db
from blossom.wallet import queries as wallet
from blossom.wallet import service as wallet_service
from tests.factories.messaging import COUNTED, create_batch, create_dispatch, create_message, name_message
from tests.factories.wallet import create_reservation, create_wallet
from tests.inbound.conftest import Mitto
from tests.personas import Personas

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MESSAGES, CREDITS = 2, 5  # a segment to Greece costs so much
WORDS = ("Sent", "Queued", "Delivered", "Failure", "EXPIRED", "something new")

_run = count(1)


@dataclass(frozen=True)
class Said:
    """One receipt about the `message`-th text, `minute` minutes past noon."""

    message: int
    word: str
    minute: int
    code: str | None


@dataclass(frozen=True)
class Delivery:
    """In what way the receipts come: their order with repeats, cut into bodies; when the work is done in between;
    and after how many bodies the send's own answer is recorded."""

    order: Sequence[Said]
    bodies: Sequence[int]
    applied_after: frozenset[int]
    named_after: int


said = st.builds(
    Said, st.integers(0, MESSAGES - 1), st.sampled_from(WORDS), st.integers(0, 3), st.sampled_from((None, "27", "8"))
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Said], Delivery]:
    """Some receipts, and a way for them to come."""
    receipts = draw(st.lists(said, min_size=1, max_size=8, unique=True))
    repeats = draw(st.lists(st.sampled_from(receipts), max_size=5))
    order = draw(st.permutations([*receipts, *repeats]))
    bodies = draw(st.lists(st.integers(1, 4), min_size=len(order), max_size=len(order)))
    applied = draw(st.frozensets(st.integers(0, len(order) - 1)))
    return receipts, Delivery(order, bodies, applied, draw(st.integers(0, len(order))))


# Two failures with different codes, applied one by one: the earlier word decides, not the one that came first.
CODED, PLAIN = Said(0, "Failure", 0, "27"), Said(0, "Failure", 0, None)


@example(([CODED, PLAIN], Delivery([CODED, PLAIN], [1, 1], frozenset({0}), 0)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries())
def test_the_end_is_the_same_whatever_the_way(
    personas: Personas, mitto: Mitto, case: tuple[list[Said], Delivery]
) -> None:
    receipts, delivery = case
    shop_id = personas.ours.id
    create_wallet(shop_id, 1_000)
    plain = deliver(mitto, shop_id, Delivery(receipts, [len(receipts)], frozenset({0}), 0))
    odd = deliver(mitto, shop_id, delivery)
    assert odd == plain
    assert [each[0] for each in odd] == [expected_state(receipts, number) for number in range(MESSAGES)]
    assert wallet.verify(shop_id) == []


def expected_state(receipts: Sequence[Said], message: int) -> str:
    """The contract, told again: delivered beats failed beats sent."""
    words = {each.word.lower() for each in receipts if each.message == message}
    if "delivered" in words:
        return MessageState.DELIVERED
    return MessageState.FAILED if words & {"failure", "undelivered", "expired"} else MessageState.SENT


def deliver(mitto: Mitto, shop_id: int, delivery: Delivery) -> list[tuple[Any, ...]]:
    """Let the receipts come that way, to texts of their own; what stands in the messages' rows then."""
    run = next(_run)
    dispatch = create_dispatch(shop_id)
    reservation = create_reservation(shop_id, CREDITS * MESSAGES)
    wallet_service.capture(
        shop_id, reservation.id, CREDITS * MESSAGES, reference=f"attempt:{run}", dispatch_id=dispatch.id
    )
    batch = create_batch(dispatch, state="done")
    messages = [create_message(batch, state="sent", credits=CREDITS, segments=1, sent_at=NOON) for _ in range(MESSAGES)]
    left, number = list(delivery.order), 0
    while left:
        if number == delivery.named_after:
            record_answer(run, messages)
        size = delivery.bodies[number]
        mitto.post("dlr", [body(run, each) for each in left[:size]])
        del left[:size]
        if number in delivery.applied_after:
            messaging.apply_receipts()
        number += 1
    if number <= delivery.named_after:
        record_answer(run, messages)
    messaging.apply_receipts()
    rematch_orphans()
    while messaging.apply_receipts():
        pass
    check_counts(batch)
    rows = db.session.scalars(
        select(Message)
        .where(Message.dispatch_id == batch.dispatch_id)
        .order_by(Message.id)
        .execution_options(populate_existing=True)
    )
    return [
        (m.state, m.delivery_status, m.error, m.credits, m.sent_at, m.delivered_at, m.failed_at, m.provider_message_id)
        for m in (without_run(row, run) for row in rows)
    ]


def record_answer(run: int, messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages):
        name = f"run-{run}-text-{number}"
        name_message(message, name)
        db.session.execute(
            text("UPDATE messages SET provider_message_id = :name WHERE id = :id"), {"name": name, "id": message.id}
        )


def body(run: int, each: Said) -> dict[str, Any]:
    return {
        "messageId": f"run-{run}-text-{each.message}",
        "deliveryStatus": each.word,
        "updatedAt": (NOON + timedelta(minutes=each.minute)).isoformat(),
        "errorCode": each.code,
    }


def without_run(row: Message, run: int) -> Message:
    db.session.expunge(row)
    assert row.provider_message_id is not None
    row.provider_message_id = row.provider_message_id.removeprefix(f"run-{run}-")
    return row


def check_counts(batch: Batch) -> None:
    """The batch's counts are those of its rows."""
    db.session.refresh(batch)
    rows = db.session.execute(
        select(Message.state).where(Message.dispatch_id == batch.dispatch_id, Message.batch_number == batch.number)
    ).scalars()
    found = list(rows)
    assert {name: getattr(batch, name) for name in COUNTED} == {name: found.count(name) for name in COUNTED}

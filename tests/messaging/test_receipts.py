"""Receipts applied in bulk: one end, whatever their order, number, company and cut; money and counts follow."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from blossom.messaging import service as messaging
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules.states import MessageState
from blossom.messaging.service.receipts import rematch_orphans
from blossom.mitto.payloads import Receipt
from blossom.platform import db
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet import service as wallet_service
from tests.factories.messaging import COUNTED, create_batch, create_dispatch, create_message, name_message
from tests.factories.shops import create_shop
from tests.factories.wallet import create_reservation, create_wallet
from tests.personas import Personas

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PRICE = 5  # a segment to Greece, by the seeded list, which gives back what failed

_run = count(1)


@dataclass
class Sent:
    """A dispatch whose texts have left and were paid for."""

    dispatch: Dispatch
    batches: list[Batch]
    messages: list[Message]


def send(shop: Shop, messages: int = 2, batches: int = 1, **overrides: object) -> Sent:
    """Texts that were taken, each named `m<id>` by the provider."""
    dispatch = create_dispatch(shop.id)
    made = [create_batch(dispatch, number=number, state="done") for number in range(batches)]
    rows = []
    for number in range(messages):
        message = create_message(
            made[number % batches], state="sent", segments=1, credits=PRICE, sent_at=NOON, **overrides
        )
        message.provider_message_id = f"m{message.id}"
        name_message(message, f"m{message.id}")
        rows.append(message)
    db.session.flush()
    pay(dispatch, PRICE * messages)
    return Sent(dispatch, made, rows)


def pay(dispatch: Dispatch, credits: int) -> None:
    reservation = create_reservation(dispatch.shop_id, credits)
    reference = f"attempt:test:{next(_run)}"
    wallet_service.capture(dispatch.shop_id, reservation.id, credits, reference, dispatch_id=dispatch.id)


def said(message: Message, word: str, minute: int = 0, code: str | None = None) -> Receipt:
    return Receipt(f"m{message.id}", word, NOON + timedelta(minutes=minute), code)


def receive(*receipts: Receipt, shop_id: int | None = None) -> None:
    messaging.store_receipts(receipts, shop_id)
    apply_all()


def apply_all(limit: int = 2_000) -> None:
    while messaging.apply_receipts(limit):
        pass


def reload(*rows: Message | Batch) -> None:
    for row in rows:
        db.session.refresh(row)


def charged(dispatch: Dispatch) -> int:
    """What the ledger says that the dispatch cost."""
    statement = text("SELECT coalesce(-sum(amount), 0) FROM wallet_entries WHERE dispatch_id = :id")
    return int(db.session.execute(statement, {"id": dispatch.id}).scalar_one())


def check(sent: Sent) -> None:
    """Counts equal rows, and the ledger equals what the rows say that they cost."""
    reload(*sent.batches, *sent.messages)
    for batch in sent.batches:
        states = [message.state for message in sent.messages if message.batch_number == batch.number]
        assert {name: getattr(batch, name) for name in COUNTED} == {name: states.count(name) for name in COUNTED}
    assert charged(sent.dispatch) == sum(message.credits for message in sent.messages)
    assert wallet.verify(sent.dispatch.shop_id) == []


@pytest.fixture
def ours(personas: Personas) -> Shop:
    create_wallet(personas.ours.id, 1_000_000)
    return personas.ours


# --- one message, its receipts and its money ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "state", "credits"),
    [
        (["Delivered"], "delivered", PRICE),
        (["Failure"], "failed", 0),
        (["undelivered"], "failed", 0),
        (["EXPIRED"], "failed", 0),
        (["Queued"], "sent", PRICE),
        (["something new"], "sent", PRICE),
        (["Failed", "Delivered"], "delivered", PRICE),
        (["Delivered", "Failed"], "delivered", PRICE),
        (["Delivered", "Sent"], "delivered", PRICE),
        (["Failed", "Sent"], "failed", 0),
        (["Failed", "Failed", "Failed"], "failed", 0),
        (["Failed", "Delivered", "Failed", "Delivered"], "delivered", PRICE),
    ],
)
def test_what_receipts_one_after_another_come_to(ours: Shop, words: list[str], state: str, credits: int) -> None:
    sent = send(ours)
    for minute, word in enumerate(words):
        receive(said(sent.messages[0], word, minute))
    check(sent)
    assert (sent.messages[0].state, sent.messages[0].credits) == (state, credits)
    assert (sent.messages[1].state, sent.messages[1].credits) == ("sent", PRICE)


def test_a_list_that_gives_nothing_back_charges_for_failures_too(ours: Shop) -> None:
    prices = wallet_service.set_prices(ours.id, "ours", {"*": 7}, valid_from=NOON, refund_failed=False)
    sent = send(ours)
    db.session.execute(update(Dispatch).where(Dispatch.id == sent.dispatch.id).values(price_list_id=prices.id))
    receive(said(sent.messages[0], "Failed"))
    check(sent)
    assert (sent.messages[0].state, sent.messages[0].credits) == ("failed", PRICE)


def test_the_provider_s_word_its_code_and_its_time_are_kept(ours: Shop) -> None:
    sent = send(ours)
    receive(said(sent.messages[0], "Failure", 3, "DLR_27"), said(sent.messages[1], "Delivered", 4))
    check(sent)
    failed, delivered = sent.messages
    assert (failed.delivery_status, failed.error, failed.failed_at) == (
        "Failure",
        "DLR_27",
        NOON + timedelta(minutes=3),
    )
    assert (delivered.delivery_status, delivered.error) == ("Delivered", None)
    assert delivered.delivered_at == NOON + timedelta(minutes=4)


@pytest.mark.parametrize("state", ["cancelled", "skipped"])
def test_what_never_left_is_not_moved_by_a_receipt(ours: Shop, state: str) -> None:
    sent = send(ours)
    batch = create_batch(sent.dispatch, number=9, state="done")
    message = create_message(batch, state=state)
    name_message(message, f"m{message.id}")
    receive(said(message, "Delivered"))
    reload(message)
    assert message.state == state


@pytest.mark.parametrize(("left", "paid"), [(0, 0), (PRICE - 1, 0), (PRICE, 1), (2 * PRICE + 1, 2), (3 * PRICE, 3)])
def test_reversals_are_charged_for_as_many_as_the_shop_can_pay(ours: Shop, left: int, paid: int) -> None:
    sent = send(ours, messages=3, batches=2)
    receive(*[said(message, "Failed") for message in sent.messages])
    wallet_service.adjust(ours.id, left - wallet.balance(ours.id).available, reference="test", reason="emptied")
    receive(*[said(message, "Delivered", 1) for message in sent.messages])
    check(sent)
    assert {message.state for message in sent.messages} == {"delivered"}
    assert sorted(message.credits for message in sent.messages) == sorted([0] * (3 - paid) + [PRICE] * paid)


# --- whose receipt it is --------------------------------------------------------------------------------------------


def test_a_receipt_that_names_another_shop_is_refused_and_never_counts(personas: Personas, ours: Shop) -> None:
    """Not even while it waits beside a good one about the same text."""
    sent = send(ours)
    messaging.store_receipts([said(sent.messages[0], "Delivered")], personas.theirs.id)
    messaging.store_receipts([said(sent.messages[0], "Sent", 1)], ours.id)
    apply_all()
    check(sent)
    assert sent.messages[0].state == "sent"
    states = db.session.scalars(text("SELECT state FROM receipts ORDER BY id")).all()
    assert states == ["refused", "applied"]


def test_an_unknown_id_waits_for_its_message_and_is_applied_then(ours: Shop) -> None:
    sent = send(ours)
    late = create_message(sent.batches[0], state="sent", segments=1, credits=PRICE, sent_at=NOON)
    sent.messages.append(late)
    pay(sent.dispatch, PRICE)
    receive(said(late, "Delivered"))
    name_message(late, f"m{late.id}")
    late.provider_message_id = f"m{late.id}"
    db.session.flush()
    assert rematch_orphans() == 1
    assert rematch_orphans() == 0
    apply_all()
    check(sent)
    assert late.state == "delivered"


def test_an_orphan_that_is_applied_in_the_end_has_its_money_moved_too(ours: Shop) -> None:
    """It was the first of a bulk before: the ledger's references must not take its refund for that bulk's."""
    sent = send(ours, messages=1)
    late = create_message(sent.batches[0], state="sent", segments=1, credits=PRICE, sent_at=NOON)
    sent.messages.append(late)
    pay(sent.dispatch, PRICE)
    receive(said(late, "Failed"), said(sent.messages[0], "Failed"))
    assert charged(sent.dispatch) == PRICE
    name_message(late, f"m{late.id}")
    late.provider_message_id = f"m{late.id}"
    db.session.flush()
    rematch_orphans()
    apply_all()
    check(sent)
    assert charged(sent.dispatch) == 0


# --- messages that were sent again ----------------------------------------------------------------------------------


def send_twice(shop: Shop, *, first_was: str) -> Sent:
    """A message whose second text has left. `first_was`: failed (and given back), or unconfirmed (and charged)."""
    sent = send(shop, messages=1)
    message = sent.messages[0]
    name_message(message, f"first{message.id}")
    message.retry_count = 1
    if first_was == "unconfirmed":
        message.credits += PRICE
        pay(sent.dispatch, PRICE)
    db.session.flush()
    return sent


@pytest.mark.parametrize(
    ("first_was", "about", "state", "credits"),
    [
        ("failed", [("m", "Failed"), ("first", "Delivered")], "delivered", PRICE),
        ("failed", [("first", "Delivered"), ("m", "Failed")], "delivered", PRICE),
        ("failed", [("first", "Failed"), ("m", "Sent")], "sent", PRICE),
        ("failed", [("first", "Delivered"), ("m", "Delivered")], "delivered", PRICE),
        ("unconfirmed", [("m", "Failed"), ("m", "Delivered")], "delivered", 2 * PRICE),
        ("unconfirmed", [("m", "Delivered"), ("m", "Failed")], "delivered", 2 * PRICE),
        ("unconfirmed", [("m", "Failed")], "failed", PRICE),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_receipts_about_both_texts_of_a_message(
    ours: Shop, first_was: str, about: list[tuple[str, str]], state: str, credits: int, at_once: bool
) -> None:
    sent = send_twice(ours, first_was=first_was)
    message = sent.messages[0]
    receipts = [Receipt(f"{which}{message.id}", word, NOON + timedelta(minutes=1)) for which, word in about]
    for each in [receipts] if at_once else [[receipt] for receipt in receipts]:
        receive(*each)
    check(sent)
    assert (message.state, message.credits) == (state, credits)


def test_a_text_that_was_given_back_and_delivered_after_all_is_charged_though_it_waits_to_be_sent_again(
    ours: Shop,
) -> None:
    sent = send(ours, messages=1)
    message = sent.messages[0]
    receive(said(message, "EXPIRED"))
    reload(message, *sent.batches)
    message.state, message.provider_message_id, message.delivery_status, message.retry_count = "pending", None, None, 1
    sent.batches[0].failed -= 1
    db.session.flush()
    receive(said(message, "Delivered", 1))
    check(sent)
    assert (message.state, message.credits) == ("delivered", PRICE)


# --- any order, any number, any cut ---------------------------------------------------------------------------------

WORDS = ("Sent", "Delivered", "Failure", "EXPIRED", "Buffered")
Fact = tuple[int, str, str, int, bool]  # which message, about which of its texts, the word, the minute, ours

fact = st.tuples(
    st.integers(0, 2), st.sampled_from(["m", "m", "first"]), st.sampled_from(WORDS), st.integers(0, 2),
    st.sampled_from([True, True, True, False]),
)  # fmt: skip


@st.composite
def ways(draw: st.DrawFn) -> tuple[list[Fact], list[Fact], list[int]]:
    """Receipts, an order with repeats in which they come, and how many are applied in one transaction at a time."""
    facts = draw(st.lists(fact, min_size=1, max_size=9, unique=True))
    again = draw(st.lists(st.sampled_from(facts), max_size=4))
    order = draw(st.permutations([*facts, *again]))
    return facts, order, draw(st.lists(st.integers(1, 5), min_size=len(order), max_size=len(order)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ways())
def test_the_end_is_the_same_whatever_the_way(
    personas: Personas, ours: Shop, way: tuple[list[Fact], list[Fact], list[int]]
) -> None:
    facts, order, cuts = way
    ends = []
    for listed, sizes in ((facts, [len(facts)]), (order, cuts)):
        sent = send(ours, messages=3, batches=2)
        for message in sent.messages:
            name_message(message, f"first{message.id}")  # each is the second text of its message
            message.retry_count = 1
        db.session.flush()
        left, sizes_left = list(listed), list(sizes)
        while left:
            now, left = left[: sizes_left[0]], left[sizes_left.pop(0) :]
            for number, which, word, minute, is_ours in now:
                receipt = Receipt(f"{which}{sent.messages[number].id}", word, NOON + timedelta(minutes=minute))
                messaging.store_receipts([receipt], ours.id if is_ours else personas.theirs.id)
            messaging.apply_receipts(max(1, len(now) // 2))
            messaging.apply_receipts()
        check(sent)
        ends.append([(message.state, message.credits) for message in sent.messages])
        assert ends[-1] == [expected(listed, number) for number in range(3)]
    assert ends[0] == ends[1]


def expected(facts: Sequence[Fact], number: int) -> tuple[str, int]:
    """The contract, told again."""
    words = {(which, word) for about, which, word, _, is_ours in facts if about == number and is_ours}
    if {("m", "Delivered"), ("first", "Delivered")} & words:
        return "delivered", PRICE
    if {("m", "Failure"), ("m", "EXPIRED")} & words:
        return "failed", 0
    return "sent", PRICE


@pytest.mark.parametrize("seed", range(3))
def test_two_that_apply_at_once_come_to_the_same_end(committed_app: Flask, seed: int) -> None:
    chance = random.Random(seed)
    with db.transaction():
        shops = [create_shop(domain=f"shop{number}.myshopify.com", sender=f"Shop{number}") for number in range(2)]
        for shop in shops:
            create_wallet(shop.id, 1_000_000)
        sent = [send(shop, messages=70, batches=4) for shop in shops for _ in range(2)]
        facts = [
            (message, word)
            for each in sent
            for message in each.messages
            for word in chance.sample(["Sent", "Failed", "Delivered", "EXPIRED"], chance.randint(1, 3))
        ]
        chance.shuffle(facts)
        messaging.store_receipts([said(message, word, chance.randint(0, 5)) for message, word in facts])
    barrier, faults = threading.Barrier(3), []

    def applier() -> None:
        with committed_app.app_context():
            barrier.wait()
            try:
                more = True
                while more:
                    with db.transaction():
                        more = bool(messaging.apply_receipts(37))
            except BaseException as error:
                faults.append(error)

    threads = [threading.Thread(target=applier) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with db.transaction() as session:
        assert session.scalars(text("SELECT DISTINCT state FROM receipts")).all() == ["applied"]
        words: dict[int, set[str]] = {}
        for message, word in facts:
            words.setdefault(message.id, set()).add(word)
        for each in sent:
            rows = session.scalars(select(Message).where(Message.dispatch_id == each.dispatch.id)).all()
            for row in rows:
                heard = words[row.id]
                wanted = (
                    MessageState.DELIVERED
                    if "Delivered" in heard
                    else MessageState.FAILED
                    if heard & {"Failed", "EXPIRED"}
                    else MessageState.SENT
                )
                assert row.state == wanted
            batches = session.scalars(select(Batch).where(Batch.dispatch_id == each.dispatch.id)).all()
            check(Sent(session.get_one(Dispatch, each.dispatch.id), list(batches), list(rows)))

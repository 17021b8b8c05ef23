"""Asking the provider: after texts of which nothing is heard, and whose the ids are that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from blossom.messaging import queries, service
from blossom.messaging.errors import NothingToRetry
from blossom.messaging.models import Attempt, Batch, Dispatch, Message
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads
from blossom.mitto.errors import SendError
from blossom.platform import clock, config, crypto, db, stopping
from blossom.platform.errors import NotFound
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_reconciliation import Lost, after_the_lease, change, die
from tests.messaging.test_sending import subscribers

# --- texts without a receipt ----------------------------------------------------------------------------------------


@pytest.fixture
def sent(outbox: Outbox) -> Iterator[Dispatch]:
    """Five texts have left, and no receipt has come; a quarter of an hour has gone by."""
    subscribers(outbox, 5)
    dispatch = outbox.start()
    outbox.run()
    with clock.frozen_at(clock.now() + timedelta(minutes=16)):
        yield dispatch


def asked(outbox: Outbox) -> int:
    calls = outbox.mitto.counters()
    return int(calls["status_calls"])


def test_texts_that_no_receipt_told_of_are_asked_after(outbox: Outbox, sent: Dispatch) -> None:
    found = service.refresh_unanswered()
    assert sorted(each.provider_message_id for each in found) == sorted(t["messageId"] for t in outbox.mitto.log())
    assert {each.error for each in found} == {None}
    assert all(each.status for each in found)
    outbox.check_books(sent)


def test_of_many_those_are_asked_after_first_of_which_nothing_was_heard(outbox: Outbox, sent: Dispatch) -> None:
    heard = outbox.mitto.log()[:3]
    outbox.receive(*[payloads.Receipt(each["messageId"], "Sent") for each in heard])
    first = {each.provider_message_id for each in service.refresh_unanswered(limit=2)}
    assert first == {each["messageId"] for each in outbox.mitto.log()[3:]}


def test_final_ones_are_not_asked_after(outbox: Outbox, sent: Dispatch) -> None:
    outbox.receive_all("Delivered")
    assert service.refresh_unanswered() == []


@pytest.mark.parametrize("hours", [0, 25])
def test_neither_the_newest_nor_those_of_yesterday_are_asked_after(outbox: Outbox, sent: Dispatch, hours: int) -> None:
    moment = clock.now() - timedelta(minutes=10) if hours == 0 else clock.now() + timedelta(hours=hours)
    with clock.frozen_at(moment):
        assert service.refresh_unanswered() == []


def test_the_merchant_may_ask_after_one_campaign_at_once(outbox: Outbox, sent: Dispatch) -> None:
    with clock.frozen_at(clock.now() - timedelta(minutes=15)):
        assert len(service.refresh_unanswered(100, sent.id)) == 5
        assert service.refresh_unanswered(100, sent.id + 1) == []


def test_an_absent_provider_is_asked_once_and_not_for_each_text(outbox: Outbox, sent: Dispatch) -> None:
    config.use(replace(config.current(), mitto_api_url="http://127.0.0.1:9"))
    questions = []
    real = service.provider.client().status
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.client(), "_retry_delays", ())
        patch.setattr(service.provider.client(), "status", lambda each: questions.append(each) or real(each))
        found = service.refresh_unanswered()
    assert len(questions) == 1
    assert [each.error for each in found] == ["could_not_connect"] * 5
    assert outbox.progress(sent).sent == 5


def test_a_process_that_is_to_end_asks_no_more(outbox: Outbox, sent: Dispatch) -> None:
    stopping.request()
    assert service.refresh_unanswered() == []
    outbox.receive(payloads.Receipt("unknown", "Sent"))
    with clock.frozen_at(clock.now() + timedelta(seconds=10)):
        assert service.ask_about_orphans().asked == 0


def test_one_text_is_asked_after_by_its_id(outbox: Outbox, sent: Dispatch) -> None:
    provider_id = outbox.mitto.log()[0]["messageId"]
    assert service.refresh_status(outbox.shop.id, provider_id).status is not None
    with db.transaction():
        theirs = create_shop(domain="theirs.myshopify.com", sender="Theirs")
    for shop_id, name in ((theirs.id, provider_id), (outbox.shop.id, "unknown")):
        with pytest.raises(NotFound):
            service.refresh_status(shop_id, name)


def test_who_asks_after_a_text_applies_no_receipts_of_others(outbox: Outbox, sent: Dispatch) -> None:
    """They may be thousands, of any shop, and their locks and wallets are no business of this request."""
    about, *others = [each["messageId"] for each in outbox.mitto.log()]
    with db.transaction():
        service.store_receipts([payloads.Receipt(each, "Delivered") for each in others])
    assert service.refresh_status(outbox.shop.id, about).status is not None
    assert outbox.progress(sent).delivered <= 1
    with db.transaction() as session:
        waiting = session.scalars(text("SELECT provider_message_id FROM receipts WHERE state = 'new'")).all()
    assert sorted(waiting) == sorted(others)


# --- orphans --------------------------------------------------------------------------------------------------------


def orphan(outbox: Outbox, number: int = 1, **start: object) -> Dispatch:
    """So many texts whose answer was lost, and a receipt for each."""
    outbox.mitto.configure(faults=[{"kind": "timeout", "taken": True, "next": 1}])
    dispatch = outbox.start(**start)
    outbox.run()
    assert outbox.progress(dispatch).unconfirmed == number
    return dispatch


def ask(seconds: float = 10) -> service.orphans.Asked:
    with clock.frozen_at(clock.now() + timedelta(seconds=seconds)):
        found = service.ask_about_orphans()
    with db.transaction():
        service.apply_receipts()
    return found


def test_a_receipt_is_asked_about_only_once_the_answer_had_time_to_be_recorded(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    orphan(outbox)
    outbox.receive_all()
    assert ask(seconds=1).asked == 0
    assert ask(seconds=10).confirmed == 1


def test_several_receipts_about_one_text_are_one_question(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    dispatch = orphan(outbox)
    outbox.receive_all("Sent")
    outbox.receive_all("Delivered")
    assert ask() == service.orphans.Asked(asked=1, confirmed=1)
    assert outbox.progress(dispatch).delivered == 1
    outbox.check_books(dispatch)


def test_a_text_that_is_none_of_ours_is_asked_about_ever_more_rarely_and_given_up(outbox: Outbox) -> None:
    outbox.receive(payloads.Receipt("unknown", "Delivered"))
    start = clock.now()
    moments = []
    for minutes in range(0, 25 * 60, 1):
        with clock.frozen_at(start + timedelta(minutes=minutes, seconds=10)):
            if service.ask_about_orphans().asked:
                moments.append(minutes)
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[:4] == sorted(gaps[:4])
    assert 8 <= len(moments) <= 14
    with db.transaction() as session:
        assert session.scalar(text("SELECT state FROM receipts")) == "orphan", "it is given up at its next question"
    with clock.frozen_at(start + timedelta(hours=40)):
        service.ask_about_orphans()
    with db.transaction() as session:
        assert session.scalar(text("SELECT state FROM receipts")) == "abandoned"


def test_of_two_campaigns_with_the_same_words_the_one_called_for_about_then_is_confirmed(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    first = orphan(outbox)
    change("UPDATE attempts SET called_at = called_at - interval '1 hour'")
    second = orphan(outbox)
    newest = outbox.mitto.log()[-1]
    outbox.receive(payloads.Receipt(newest["messageId"], "Delivered"))
    assert ask().confirmed == 1
    assert (outbox.progress(first).unconfirmed, outbox.progress(second).delivered) == (1, 1)


def test_when_it_could_be_either_neither_is_confirmed(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    subscribers(outbox, 1)
    dispatches = [orphan(outbox), orphan(outbox)]
    outbox.receive(payloads.Receipt(outbox.mitto.log()[0]["messageId"], "Delivered"))
    assert ask().confirmed == 0
    assert [outbox.progress(each).unconfirmed for each in dispatches] == [1, 1]
    assert "orphans.ambiguous" in caplog.text


def test_other_words_to_the_same_person_confirm_nothing(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    dispatch = orphan(outbox)
    change("UPDATE attempts SET manifest = overlay(manifest PLACING '\\x0000000000000000'::bytea FROM 15)")
    outbox.receive_all()
    assert ask() == service.orphans.Asked(asked=1, confirmed=0)
    assert outbox.progress(dispatch).unconfirmed == 1


def test_a_question_that_cannot_be_answered_now_leaves_everything_as_it_is(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = orphan(outbox, 3)
    outbox.receive_all()
    url = config.current().mitto_api_url
    config.use(replace(config.current(), mitto_api_url="http://127.0.0.1:9"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.client(), "_retry_delays", ())
        assert [ask(seconds=seconds).asked for seconds in (10, 50, 90)] == [1, 1, 1]
    assert outbox.progress(dispatch).unconfirmed == 3
    config.use(replace(config.current(), mitto_api_url=url))
    assert ask(seconds=130).confirmed == 3, "as soon as it can be, since nothing was answered"
    assert outbox.progress(dispatch).delivered == 3


def test_one_id_that_the_provider_fails_at_keeps_no_other_text_from_being_found(outbox: Outbox) -> None:
    """It looks as if the provider were away, so nobody else is asked about in that run; but in the next."""
    subscribers(outbox, 1)
    dispatch = orphan(outbox)
    outbox.receive(payloads.Receipt("bad", "Sent"))
    outbox.receive_all()
    real = service.provider.client().status

    def fail_at_one(provider_message_id: str) -> payloads.MessageStatus | None:
        if provider_message_id == "bad":
            raise SendError("provider_busy")
        return real(provider_message_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.client(), "status", fail_at_one)
        found = [ask(seconds=seconds) for seconds in (10, 50, 90)]
    assert [each.confirmed for each in found] == [0, 1, 0]
    assert outbox.progress(dispatch).delivered == 1


def test_a_lost_call_keeps_its_proof_until_the_provider_has_told(outbox: Outbox) -> None:
    subscribers(outbox, 2)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", die)
        with pytest.raises(Lost):
            outbox.run()
    service.sweep(after_the_lease())
    with db.transaction() as session:
        attempt = session.query(Attempt).one()
        assert (attempt.state, attempt.code, len(attempt.manifest or b"")) == ("lost", "worker_lost", 44)
        assert session.query(Batch).one().state == "done"
        assert {message.attempt_id for message in session.query(Message)} == {attempt.id}
    outbox.receive_all("Delivered")
    assert ask().confirmed == 2
    with db.transaction():
        rows = queries.recipients(outbox.shop.id, dispatch.id)
    assert {row.state for row in rows} == {MessageState.DELIVERED}
    outbox.check_books(dispatch)


def test_who_was_asked_about_while_the_call_counted_as_open_is_asked_about_as_soon_as_it_is_lost(
    outbox: Outbox,
) -> None:
    subscribers(outbox, 2)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", die)
        with pytest.raises(Lost):
            outbox.run()
    outbox.receive_all("Delivered")
    for seconds in (6, 70, 200):  # within a long lease
        assert ask(seconds=seconds) == service.orphans.Asked(asked=2, confirmed=0)
    service.sweep(after_the_lease())
    assert outbox.progress(dispatch).unconfirmed == 2
    assert ask(seconds=201).confirmed == 2, "at once, and not minutes later"
    assert outbox.progress(dispatch).delivered == 2


def test_who_was_asked_about_while_the_call_was_open_is_asked_about_as_soon_as_its_answer_is_lost(
    outbox: Outbox,
) -> None:
    subscribers(outbox, 2)
    real = service.endings.finish

    def asked_first(*args: object, **kwargs: object) -> None:
        outbox.receive_all("Delivered")
        assert ask(seconds=6) == service.orphans.Asked(asked=2, confirmed=0)
        real(*args, **kwargs)  # type: ignore[arg-type]  # as it was called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", asked_first)
        dispatch = orphan(outbox, 2)
    with pytest.raises(NothingToRetry), db.transaction():
        service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    assert ask(seconds=10).confirmed == 2, "at once, and not a minute later"
    assert outbox.progress(dispatch).delivered == 2


def two_shops(outbox: Outbox, *words: str, **accounts: str) -> list[Dispatch]:
    """Two shops text the same person (the same words, unless told), each from its account; both answers are lost."""
    dispatches = []
    for number, name in enumerate(("first", "second")):
        with db.transaction():
            shop = create_shop(domain=f"{name}.myshopify.com", sender="Same", traffic_account_id=accounts.get(name))
            create_wallet(shop.id, 1_000)
            create_subscriber(shop, phone="+306971112299")
        dispatches.append(orphan(outbox, shop_id=shop.id, source=f"{(words or 'AA')[number]}. Reply STOP to opt out"))
        assert len(outbox.mitto.log()) == number + 1
    return dispatches


def test_the_account_that_a_text_was_sent_from_tells_whose_it_is(outbox: Outbox) -> None:
    first, second = two_shops(outbox, first="account-1", second="account-2")
    outbox.receive(payloads.Receipt(outbox.mitto.log()[1]["messageId"], "Delivered"))
    assert ask().confirmed == 1
    assert (outbox.progress(first).unconfirmed, outbox.progress(second).delivered) == (1, 1)


def test_of_two_shops_on_one_account_neither_is_taken_for_the_other(outbox: Outbox) -> None:
    first, second = two_shops(outbox)
    outbox.receive(payloads.Receipt(outbox.mitto.log()[1]["messageId"], "Delivered"))
    assert ask().confirmed == 0
    assert (outbox.progress(first).unconfirmed, outbox.progress(second).unconfirmed) == (1, 1)


def test_a_shop_whose_keys_were_destroyed_keeps_no_other_from_being_asked_for(outbox: Outbox) -> None:
    first, second = two_shops(outbox, "One", "Two")
    with db.transaction():
        crypto.destroy_shop_keys(first.shop_id)
    outbox.receive_all()
    assert ask() == service.orphans.Asked(asked=2, confirmed=1), (
        "the other's id is nobody's, as far as anybody can tell"
    )
    assert outbox.progress(second).delivered == 1


def test_a_text_that_cannot_be_looked_for_keeps_no_other_from_it(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    subscribers(outbox, 1)
    broken = orphan(outbox, source="One. Reply STOP to opt out")
    change("UPDATE attempts SET manifest = 'cut'")
    with db.transaction() as session:
        session.execute(text("UPDATE consents SET state = 'opted_out'"))
    subscribers(outbox, 1)
    sound = orphan(outbox, source="Two. Reply STOP to opt out")
    outbox.receive_all()
    assert ask().asked == 2
    assert (outbox.progress(broken).unconfirmed, outbox.progress(sound).delivered) == (1, 1)
    assert "orphans.failed" in caplog.text

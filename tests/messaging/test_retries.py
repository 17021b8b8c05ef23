"""Sending again: only what may be, never the delivered, never those who opted out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from blossom.messaging import queries, service
from blossom.messaging.errors import InvalidDispatchState, NothingToRetry
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.mitto import payloads
from blossom.platform import clock, config, db
from blossom.wallet import queries as wallet
from blossom.wallet.errors import InsufficientCredit
from tests.admin.conftest import statements
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.shops import create_shop
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers


def receipt_for(outbox: Outbox, phone: str, status: str, code: str | None = None) -> payloads.Receipt:
    newest = [text for text in outbox.mitto.log() if text["destination"] == phone][-1]
    return payloads.Receipt(newest["messageId"], status, clock.now(), code)


def test_only_failures_that_pass_are_sent_again_by_themselves(outbox: Outbox) -> None:
    phones = subscribers(outbox, 4)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(
        receipt_for(outbox, phones[0], "EXPIRED"),
        receipt_for(outbox, phones[1], "Failed", "DLR_UNKNOWN_SUBSCRIBER"),
        receipt_for(outbox, phones[2], "Delivered"),
        receipt_for(outbox, phones[3], "undelivered"),
    )
    with db.transaction():
        outcome = service.retry_failed(outbox.shop.id, dispatch.id)
    assert (outcome.retried, outcome.left_out) == (2, {"failed_for_good": 1})
    assert outcome.credits > 0
    outbox.run()
    texts = [text["destination"] for text in outbox.mitto.log()]
    assert [texts.count(phone) for phone in phones] == [2, 1, 1, 2]
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.sent, progress.failed, progress.delivered) == (DispatchState.COMPLETED, 2, 1, 1)
    with db.transaction():
        rows = {row.phone: row for row in queries.recipients(outbox.shop.id, dispatch.id)}
    assert rows[phones[0]].retry_count == 1


_COUNTED_WRONG = text("""
SELECT b.number FROM batches b LEFT JOIN messages m ON m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
GROUP BY b.dispatch_id, b.number
HAVING b.size <> count(m.id) OR b.failed <> count(m.id) FILTER (WHERE m.state = 'failed')
    OR b.sent <> count(m.id) FILTER (WHERE m.state = 'sent')
    OR b.unconfirmed <> count(m.id) FILTER (WHERE m.state = 'unconfirmed')
""")


def test_many_are_sent_again_in_as_many_statements_as_few_and_each_batch_still_counts_its_own(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(config.current(), mitto_batch_size=5)
    monkeypatch.setattr(config, "current", lambda: small)
    phones = subscribers(outbox, 60)

    def again(failed: list[str]) -> list[str]:
        dispatch = outbox.start()
        outbox.run()
        outbox.receive(*(receipt_for(outbox, phone, "EXPIRED") for phone in failed))
        with statements() as seen, db.transaction():
            assert service.retry_failed(outbox.shop.id, dispatch.id).retried == len(failed)
        with db.transaction():
            assert db.session.scalars(_COUNTED_WRONG).all() == []
        outbox.run()
        assert outbox.progress(dispatch).sent == 60
        with db.transaction():
            assert db.session.scalars(_COUNTED_WRONG).all() == []
            assert wallet.verify(outbox.shop.id) == []
        return seen

    again(phones[:2])  # what is kept from then on: the price list
    few, many = again(phones[:2]), again(phones[::2])
    assert len(many) == len(few), "30 texts of 12 batches in 6 new ones"
    assert not any("count(*) FILTER" in statement for statement in many), "no batch's rows are counted again"


def test_the_merchant_may_choose_a_failure_that_does_not_pass(outbox: Outbox) -> None:
    phones = subscribers(outbox, 2)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(receipt_for(outbox, phones[0], "Failed", "DLR_001"), receipt_for(outbox, phones[1], "Delivered"))
    with db.transaction():
        rows = {row.phone: row.id for row in queries.recipients(outbox.shop.id, dispatch.id)}
        outcome = service.retry_failed(outbox.shop.id, dispatch.id, [rows[phones[0]], rows[phones[1]]])
    assert (outcome.retried, outcome.left_out) == (1, {"not_failed": 1}), "the delivered one is never sent again"


def test_whoever_opted_out_is_not_texted_again(outbox: Outbox) -> None:
    with db.transaction():
        contact = create_subscriber(outbox.shop)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(receipt_for(outbox, str(contact.phone), "EXPIRED"))
    with db.transaction():
        opt_out(contact)
    with pytest.raises(NothingToRetry) as refused, db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    assert refused.value.details == {"left_out": {"opted_out": 1}}


def test_unconfirmed_have_a_button_of_their_own(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    outbox.mitto.configure(faults=[{"kind": "500", "taken": False, "next": 1}])
    dispatch = outbox.start()
    outbox.run()
    with pytest.raises(NothingToRetry), db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    with db.transaction():
        outcome = service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    assert outcome.retried == 3
    outbox.run()
    assert outbox.progress(dispatch).sent == 3
    outbox.check_books(dispatch)


def lose_an_answer(outbox: Outbox) -> Dispatch:
    """A campaign whose texts have left, as only its receipts tell."""
    outbox.mitto.configure(faults=[{"kind": "timeout", "taken": True, "next": 1}])
    dispatch = outbox.start()
    outbox.run()
    return dispatch


def ask() -> None:
    with clock.frozen_at(clock.now() + timedelta(seconds=10)):
        service.ask_about_orphans()
    with db.transaction():
        service.apply_receipts()


@pytest.mark.parametrize("applied", [True, False], ids=["looked for in vain", "just come"])
def test_whoever_mitto_is_still_being_asked_about_is_not_texted_again(outbox: Outbox, applied: bool) -> None:
    """A receipt has come that nobody knows the text of: it may be any of these, and one question tells."""
    phones = subscribers(outbox, 3)
    dispatch = lose_an_answer(outbox)
    with db.transaction():
        service.store_receipts([receipt_for(outbox, phone, "Delivered") for phone in phones[:2]])
    if applied:
        with db.transaction():
            service.apply_receipts()
    with pytest.raises(NothingToRetry) as refused, db.transaction():
        service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    assert refused.value.details == {"left_out": {"being_asked_about": 3}}
    assert "try again in a minute" in str(refused.value.actionable)
    with db.transaction():
        service.apply_receipts()
    ask()
    with db.transaction():
        outcome = service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    assert (outcome.retried, outcome.left_out) == (1, {}), "of whom no receipt tells"
    outbox.run()
    texts = [text["destination"] for text in outbox.mitto.log()]
    assert [texts.count(phone) for phone in phones] == [1, 1, 2]


def test_a_question_that_mitto_did_not_answer_is_still_open(outbox: Outbox) -> None:
    phones = subscribers(outbox, 1)
    dispatch = lose_an_answer(outbox)
    outbox.receive(receipt_for(outbox, phones[0], "Sent"))
    url = config.current().mitto_api_url
    config.use(replace(config.current(), mitto_api_url="http://127.0.0.1:9"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.client(), "_retry_delays", ())
        ask()
    config.use(replace(config.current(), mitto_api_url=url))
    with pytest.raises(NothingToRetry), db.transaction():
        service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    with clock.frozen_at(clock.now() + timedelta(hours=25)), db.transaction():
        assert service.retry_unconfirmed(outbox.shop.id, dispatch.id).retried == 1, "nobody waits for ever"


def test_the_merchant_may_choose_not_to_wait_for_the_answers(outbox: Outbox) -> None:
    phones = subscribers(outbox, 2)
    dispatch = lose_an_answer(outbox)
    outbox.receive(receipt_for(outbox, phones[0], "Delivered"))
    with db.transaction():
        outcome = service.retry_unconfirmed(outbox.shop.id, dispatch.id, even_asked_about=True)
    assert outcome.retried == 2


def test_questions_that_can_not_be_about_these_texts_keep_nobody_waiting(outbox: Outbox) -> None:
    """Of before their call, of another shop's address, answered already, or of a text that is known."""
    phones = subscribers(outbox, 2)
    earlier = outbox.start()
    outbox.run()
    with db.transaction():
        other = create_shop(domain="theirs.myshopify.com", sender="Theirs")
    with clock.frozen_at(clock.now() - timedelta(minutes=1)):
        outbox.receive(payloads.Receipt("of before", "Sent"))
    dispatch = lose_an_answer(outbox)
    outbox.receive(payloads.Receipt("nobody's", "Sent"))
    ask()
    with db.transaction():
        service.store_receipts([payloads.Receipt("theirs", "Sent")], named_shop_id=other.id)
        known = next(text["messageId"] for text in outbox.mitto.log() if text["destination"] == phones[0])
        service.store_receipts([payloads.Receipt(known, "Delivered")])
    assert outbox.progress(earlier).total == outbox.progress(dispatch).unconfirmed == 2
    with db.transaction():
        assert service.retry_unconfirmed(outbox.shop.id, dispatch.id).retried == 2


def test_a_late_delivery_of_the_first_text_stops_the_second(outbox: Outbox) -> None:
    """It failed, it was to be sent again, and before it was, the receipt says that it was delivered after all."""
    phones = subscribers(outbox, 1)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(receipt_for(outbox, phones[0], "EXPIRED"))
    with db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    outbox.receive(receipt_for(outbox, phones[0], "Delivered"))
    outbox.run()
    assert outbox.states(dispatch) == {phones[0]: MessageState.DELIVERED}
    assert outbox.mitto.summary()["texts"] == 1


def test_a_receipt_of_the_first_text_that_says_nothing_new_does_not_stop_the_second(outbox: Outbox) -> None:
    phones = subscribers(outbox, 1)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(receipt_for(outbox, phones[0], "EXPIRED"))
    with db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    outbox.receive(receipt_for(outbox, phones[0], "Sent"))
    outbox.run()
    assert outbox.states(dispatch) == {phones[0]: MessageState.SENT}
    assert outbox.mitto.summary()["texts"] == 2


def test_nothing_is_sent_again_while_the_dispatch_goes_on(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    dispatch = outbox.start()
    with pytest.raises(InvalidDispatchState), db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)


def test_a_second_try_without_credit_is_refused_and_changes_nothing(outbox: Outbox) -> None:
    phones = subscribers(outbox, 1)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive(receipt_for(outbox, phones[0], "EXPIRED"))
    before = outbox.states(dispatch)
    with db.transaction():
        from blossom.wallet import queries as money
        from blossom.wallet import service as wallet

        wallet.adjust(outbox.shop.id, -money.balance(outbox.shop.id).available, reference="test", reason="emptied")
    with pytest.raises(InsufficientCredit), db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    assert outbox.states(dispatch) == before
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED


def test_an_account_that_was_refused_can_be_tried_again_once_it_is_mended(outbox: Outbox) -> None:
    subscribers(outbox, 60)
    outbox.mitto.configure(faults=[{"kind": "401", "share": 1.0}])
    dispatch = outbox.start()
    outbox.run()
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
    outbox.mitto.configure(faults=[])
    with db.transaction():
        outcome = service.retry_failed(outbox.shop.id, dispatch.id)
    assert outcome.retried == 60
    outbox.run()
    assert outbox.progress(dispatch).sent == 60
    outbox.check_books(dispatch)


def test_a_test_text_goes_to_own_numbers_in_any_form(outbox: Outbox) -> None:
    with db.transaction():
        trial = service.Trial(outbox.shop.id, "Hello from {{ shop_name }}", "Ours", ["697 111 2240", "+306971112241"])
        dispatch = service.send_test(trial)
    outbox.run()
    assert sorted(text["destination"] for text in outbox.mitto.log()) == ["+306971112240", "+306971112241"]
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED
    outbox.check_books(dispatch)


def test_a_test_text_is_not_sent_to_whoever_said_stop(outbox: Outbox) -> None:
    with db.transaction():
        opt_out(create_subscriber(outbox.shop, phone="+306971112242"))
        trial = service.Trial(outbox.shop.id, "Hello", "Ours", ["+306971112242"])
        dispatch = service.send_test(trial)
    outbox.run()
    assert outbox.states(dispatch) == {"+306971112242": MessageState.SKIPPED}

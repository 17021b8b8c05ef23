"""The main job: a text to an audience goes out, once to each, and what comes back is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from blossom.messaging import queries, service
from blossom.messaging.models import Attempt, Batch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.mitto import payloads
from blossom.platform import clock, config, db
from blossom.platform.errors import NotFound
from blossom.wallet import queries as wallet
from tests.factories.consent import create_subscriber, create_subscribers, opt_in, opt_out
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import Outbox


def subscribers(outbox: Outbox, number: int, **details: Any) -> list[str]:
    with db.transaction():
        return [str(person.phone) for person in create_subscribers(outbox.shop, number, **details)]


def test_everybody_who_agreed_is_texted_once_with_their_own_name(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop, phone="+306971112223", first_name="Νίκος")
        create_subscriber(outbox.shop, phone="+306971112224", first_name=None)
        create_contact(outbox.shop, phone="+306971112225")  # never asked
        opt_out(create_subscriber(outbox.shop, phone="+306971112226"))
        create_contact(outbox.shop, phone=None)
    dispatch = outbox.start()
    outbox.run()
    sent = {text["destination"]: text["text"] for text in outbox.mitto.log()}
    assert sent == {
        "+306971112223": "Hi Νίκος, 20% off until Sunday. Reply STOP to opt out",
        "+306971112224": "Hi there, 20% off until Sunday. Reply STOP to opt out",
    }
    progress = outbox.progress(dispatch)
    assert progress.state is DispatchState.COMPLETED
    assert (progress.total, progress.sent, progress.pending) == (2, 2, 0)
    assert progress.left_out == {"not_opted_in": 1, "opted_out": 1, "no_phone": 1}
    outbox.check_books(dispatch)


def test_many_batches_go_out_and_receipts_bring_them_home(outbox: Outbox) -> None:
    subscribers(outbox, 120)
    dispatch = outbox.start()
    outbox.run()
    assert outbox.mitto.summary()["texts"] == 120
    outbox.receive_all("Delivered")
    progress = outbox.progress(dispatch)
    assert (progress.delivered, progress.sent, progress.percent) == (120, 0, 100.0)
    outbox.check_books(dispatch)


def test_what_was_reserved_is_captured_and_the_rest_is_free_again(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    with db.transaction():
        reserved = wallet.balance(outbox.shop.id).reserved
    outbox.run()
    with db.transaction():
        after = wallet.balance(outbox.shop.id)
        by_country = queries.costs_by_country(outbox.shop.id, dispatch.id)
    assert reserved == outbox.spent() == sum(cost.credits for cost in by_country) > 0
    assert after.reserved == 0


def test_without_enough_credit_nothing_leaves_and_it_says_what_is_missing(outbox: Outbox) -> None:
    with db.transaction():
        poor = create_shop(domain="poor.myshopify.com", sender="Poor")
        create_wallet(poor.id, 1)
        create_subscribers(poor, 3)
    dispatch = outbox.start(shop_id=poor.id, sender="Poor")
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.failure_code) == (DispatchState.FAILED, "insufficient_credit")
    assert "missing" in str(progress.failure_text) or "more" in str(progress.failure_text)
    assert outbox.mitto.summary()["texts"] == 0


def test_an_audience_of_nobody_fails_with_the_reason(outbox: Outbox) -> None:
    dispatch = outbox.start()
    assert outbox.progress(dispatch).failure_code == "no_recipients"


def test_whoever_says_stop_before_their_batch_is_claimed_is_not_texted(outbox: Outbox) -> None:
    with db.transaction():
        keeps = create_subscriber(outbox.shop)
        leaves = create_subscriber(outbox.shop)
    dispatch = outbox.start()
    with db.transaction():
        opt_out(leaves)
    outbox.run()
    assert outbox.states(dispatch) == {keeps.phone: MessageState.SENT, leaves.phone: MessageState.SKIPPED}
    with db.transaction():
        assert queries.skipped_by_reason(outbox.shop.id, dispatch.id) == {"opted_out": 1}
    outbox.check_books(dispatch)


def test_one_bad_number_fails_alone_when_its_entry_has_no_id(outbox: Outbox) -> None:
    phones = subscribers(outbox, 10)
    outbox.mitto.configure(outcomes={"exact": {phones[3]: "invalid"}})
    dispatch = outbox.start()
    outbox.run()
    states = outbox.states(dispatch)
    assert [phone for phone, state in states.items() if state is MessageState.FAILED] == [phones[3]]
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED
    outbox.check_books(dispatch)


def test_a_refused_call_is_split_until_the_bad_number_is_alone(outbox: Outbox) -> None:
    phones = subscribers(outbox, 50)
    outbox.mitto.configure(outcomes={"exact": {phones[7]: "invalid_batch", phones[33]: "blocked_batch"}})
    dispatch = outbox.start()
    outbox.run()
    states = outbox.states(dispatch)
    failed = {phone for phone, state in states.items() if state is MessageState.FAILED}
    assert failed == {phones[7], phones[33]}
    assert outbox.mitto.summary()["texts"] == 48
    with db.transaction():
        causes = {cause.error for cause in queries.failures_by_cause(outbox.shop.id, dispatch.id)}
    assert causes == {"invalid_number", "blocked_content"}
    outbox.check_books(dispatch)


@pytest.mark.parametrize(
    "fault", [{"kind": "429", "retry_after": 0}, {"kind": "503"}], ids=["asked to slow down", "out of service"]
)
def test_a_passing_fault_is_tried_again_at_once(outbox: Outbox, fault: dict[str, object]) -> None:
    subscribers(outbox, 5)
    outbox.mitto.configure(faults=[{**fault, "next": 2}])
    dispatch = outbox.start()
    outbox.run()
    assert outbox.progress(dispatch).sent == 5
    outbox.check_books(dispatch)


def test_a_fault_that_stays_sends_the_batch_back_with_growing_delay(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    outbox.mitto.configure(faults=[{"kind": "503", "share": 1.0}])
    dispatch = outbox.start()
    delays = []
    moment = clock.now()
    for _ in range(3):
        with clock.frozen_at(moment):
            outbox.run()
        with db.transaction() as session:
            batch = session.get_one(Batch, (dispatch.id, 0))
        assert batch.state == "pending"
        delays.append((batch.due_at - moment).total_seconds())
        moment = batch.due_at
    assert delays[0] < delays[1] < delays[2]
    outbox.mitto.configure(faults=[])
    with clock.frozen_at(moment):
        outbox.run()
    assert outbox.progress(dispatch).sent == 5
    outbox.check_books(dispatch)


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_account_fails_the_dispatch_and_frees_its_credits(outbox: Outbox, status: str) -> None:
    subscribers(outbox, 120)
    outbox.mitto.configure(faults=[{"kind": status, "share": 1.0}])
    dispatch = outbox.start()
    outbox.run()
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.failed, progress.sent) == (DispatchState.FAILED, 120, 0)
    assert progress.failure_text
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == 0
    assert outbox.spent() == 0
    outbox.check_books(dispatch)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "timeout", "taken": True},
        {"kind": "timeout", "taken": False},
        {"kind": "reset", "taken": True},
        {"kind": "500", "taken": True},
        {"kind": "502", "taken": False},
        {"kind": "504", "taken": True},
        {"kind": "cut"},
        {"kind": "fewer"},
    ],
    ids=lambda fault: f"{fault['kind']} taken={fault.get('taken', True)}",
)
def test_a_lost_answer_makes_unconfirmed_and_is_never_repeated(outbox: Outbox, fault: dict[str, object]) -> None:
    subscribers(outbox, 5)
    outbox.mitto.configure(faults=[{**fault, "next": 1}])
    dispatch = outbox.start()
    outbox.run()
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.unconfirmed, progress.sent) == (5, 0)
    assert outbox.mitto.counters()["send_calls"] == 1
    outbox.check_books(dispatch)


def test_a_receipt_for_an_unknown_id_confirms_the_unconfirmed(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    outbox.mitto.configure(faults=[{"kind": "timeout", "taken": True, "next": 1}])
    dispatch = outbox.start()
    outbox.run()
    outbox.receive_all("Delivered")
    assert outbox.progress(dispatch).unconfirmed == 5, "the ids are not known yet"
    with clock.frozen_at(clock.now() + timedelta(seconds=10)):
        asked = service.ask_about_orphans()
    assert (asked.asked, asked.confirmed) == (5, 5)
    with db.transaction():
        service.apply_receipts()
    assert outbox.progress(dispatch).delivered == 5
    outbox.check_books(dispatch)


def test_a_receipt_that_comes_before_the_answer_is_recorded_is_kept(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    real = service.endings.finish

    def receipts_first(*args: object, **kwargs: object) -> None:
        outbox.receive_all("Delivered")
        real(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", receipts_first)
        outbox.run()
    with db.transaction():
        service.apply_receipts()
    assert outbox.progress(dispatch).delivered == 3
    outbox.check_books(dispatch)


def test_pause_stops_at_once_and_resume_goes_on_where_it_stopped(outbox: Outbox) -> None:
    subscribers(outbox, 120)
    dispatch = outbox.start()
    real = service.lane._lap

    def pause_after_the_first(*args: object) -> bool:
        more = real(*args)  # type: ignore[arg-type]
        with db.transaction():
            service.pause_dispatch(outbox.shop.id, dispatch.id)
        return more

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_lap", pause_after_the_first)
        outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.sent, progress.pending) == (DispatchState.PAUSED, 50, 70)
    with db.transaction():
        service.resume_dispatch(outbox.shop.id, dispatch.id)
    outbox.run()
    assert outbox.progress(dispatch).sent == 120
    outbox.check_books(dispatch)


def test_a_pause_between_claim_and_call_gives_the_batch_back(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    real = service.lane._send

    def pause_first(*args: object) -> None:
        with db.transaction():
            service.pause_dispatch(outbox.shop.id, dispatch.id)
        real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_send", pause_first)
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 0
    assert outbox.progress(dispatch).pending == 5


def test_cancel_says_what_has_left_and_frees_the_rest(outbox: Outbox) -> None:
    subscribers(outbox, 120)
    dispatch = outbox.start()
    real = service.lane._lap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_lap", lambda *args: real(*args) and False)
        outbox.run()
    with db.transaction():
        outcome = service.cancel_dispatch(outbox.shop.id, dispatch.id)
    assert (outcome.left, outcome.cancelled, outcome.in_flight) == (50, 70, 0)
    assert outcome.released_credits > 0
    outbox.run()
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
    assert outbox.mitto.summary()["texts"] == 50
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.sent, progress.cancelled) == (DispatchState.CANCELLED, 50, 70)
    outbox.check_books(dispatch)


def test_a_cancel_between_claim_and_call_keeps_the_texts_in(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    real = service.lane._send

    def cancel_first(*args: object) -> None:
        with db.transaction():
            outcome = service.cancel_dispatch(outbox.shop.id, dispatch.id)
        assert outcome.in_flight == 5
        real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_send", cancel_first)
        outbox.run()
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
    assert outbox.mitto.summary()["texts"] == 0
    assert outbox.progress(dispatch).cancelled == 5
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == 0
    outbox.check_books(dispatch)


def test_those_asleep_get_it_in_their_morning(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(quiet_hours_on=True)
        create_subscriber(outbox.shop, phone="+306971112230", zone="Europe/Athens")
        create_subscriber(outbox.shop, phone="+306971112231", zone="America/New_York")
    night_in_athens = datetime(2026, 3, 10, 20, 30, tzinfo=UTC)  # 22:30 there, 16:30 in New York
    with clock.frozen_at(night_in_athens):
        dispatch = outbox.start()
        outbox.run()
        assert outbox.progress(dispatch).next_due_at == datetime(2026, 3, 11, 7, 0, tzinfo=UTC)
    assert [text["destination"] for text in outbox.mitto.log()] == ["+306971112231"]
    morning = datetime(2026, 3, 11, 7, 0, tzinfo=UTC)  # 09:00 in Athens
    with clock.frozen_at(morning - timedelta(seconds=1)):
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 1
    with clock.frozen_at(morning):
        outbox.run()
    assert outbox.progress(dispatch).sent == 2
    outbox.check_books(dispatch)


def test_a_batch_that_is_late_does_not_wake_anybody(outbox: Outbox) -> None:
    """It was due in the afternoon; the workers were away until night."""
    with db.transaction():
        outbox.set(quiet_hours_on=True)
        create_subscriber(outbox.shop, zone="Europe/Athens")
    with clock.frozen_at(datetime(2026, 3, 10, 15, 0, tzinfo=UTC)):
        dispatch = outbox.start()
    with clock.frozen_at(datetime(2026, 3, 10, 22, 0, tzinfo=UTC)):
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 0
    with clock.frozen_at(datetime(2026, 3, 11, 7, 0, tzinfo=UTC)):
        outbox.run()
    assert outbox.progress(dispatch).sent == 1
    outbox.check_books(dispatch)


def test_what_is_older_than_its_validity_is_skipped(outbox: Outbox) -> None:
    subscribers(outbox, 2)
    dispatch = outbox.start()
    with clock.frozen_at(clock.now() + timedelta(hours=config.current().message_validity_hours, seconds=1)):
        outbox.run()
    with db.transaction():
        assert queries.skipped_by_reason(outbox.shop.id, dispatch.id) == {"validity_passed": 2}
    assert outbox.mitto.summary()["texts"] == 0
    outbox.check_books(dispatch)


def test_at_a_local_time_each_zone_has_its_own_moment(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop, phone="+306971112232", zone="Europe/Athens")
        create_subscriber(outbox.shop, phone="+306971112233", zone="Asia/Tokyo")
    noon = datetime(2026, 3, 10, 12, 0)  # noqa: DTZ001 -- on each recipient's clocks
    with clock.frozen_at(datetime(2026, 3, 9, 22, 0, tzinfo=UTC)):
        dispatch = outbox.start(local_at=noon)
    with clock.frozen_at(datetime(2026, 3, 10, 3, 0, tzinfo=UTC)):  # noon in Tokyo
        outbox.run()
    assert [text["destination"] for text in outbox.mitto.log()] == ["+306971112233"]
    with clock.frozen_at(datetime(2026, 3, 10, 10, 0, tzinfo=UTC)):  # noon in Athens
        outbox.run()
    assert outbox.progress(dispatch).sent == 2


def test_a_person_gets_no_more_than_the_caps_allow_across_campaigns(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(daily_cap=1, weekly_cap=2)
    subscribers(outbox, 2)
    start = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    outcomes = []
    for days in (0, 0.5, 1.1, 2.5, 8):
        with clock.frozen_at(start + timedelta(days=days)):
            dispatch = outbox.start()
            outbox.run()
            progress = outbox.progress(dispatch)
            outcomes.append((progress.sent, progress.skipped))
    assert outcomes == [(2, 0), (0, 2), (2, 0), (0, 2), (2, 0)]


def test_of_two_campaigns_at_the_same_moment_one_person_gets_one_text(outbox: Outbox) -> None:
    """The second is claimed while the first has its batch in hand."""
    with db.transaction():
        outbox.set(daily_cap=1)
    subscribers(outbox, 3)
    first, second = outbox.start(), outbox.start()
    real = service.lane._send
    nested = [True]

    def other_lane_meanwhile(*args: object) -> None:
        if nested.pop() if nested else False:
            outbox.run()
        real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_send", other_lane_meanwhile)
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 3
    assert {outbox.progress(first).sent, outbox.progress(second).sent} == {3, 0}


def test_an_interrupted_worker_before_its_call_costs_nothing(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_send", _killed)
        with pytest.raises(_Killed):
            outbox.run()
    assert outbox.progress(dispatch).sending == 5
    with clock.frozen_at(_after_the_lease()):
        outbox.run()
    assert outbox.progress(dispatch).sent == 5
    outbox.check_books(dispatch)


def test_an_interrupted_worker_in_its_call_leaves_unconfirmed_and_no_second_text(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", _killed)
        with pytest.raises(_Killed):
            outbox.run()
    assert outbox.mitto.summary()["texts"] == 5
    _after_the_lease()
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.unconfirmed, progress.state) == (5, DispatchState.COMPLETED)
    outbox.check_books(dispatch)


def test_a_worker_that_was_only_slow_records_what_happened_after_all(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    real = service.endings.finish

    def sweeper_first(*args: object, **kwargs: object) -> None:
        _after_the_lease()
        assert outbox.progress(dispatch).unconfirmed == 5
        real(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", sweeper_first)
        outbox.run()
    assert outbox.progress(dispatch).sent == 5
    outbox.check_books(dispatch)


def test_an_attempt_is_written_down_before_its_call(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    outbox.start()
    seen = []
    real = service.provider.sender().send_bulk

    def look_first(*args: object) -> payloads.BulkAnswer:
        assert not db.session.registry.has(), "no session, so no connection, is held during the call"
        with db.transaction() as session:
            seen.extend((attempt.state, len(attempt.manifest or b"")) for attempt in session.query(Attempt))
        return real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.sender(), "send_bulk", look_first)
        outbox.run()
    assert seen == [("calling", 5 * 22)]


def test_the_other_shops_dispatch_is_not_found(outbox: Outbox) -> None:
    with db.transaction():
        theirs = create_shop(domain="theirs.myshopify.com", sender="Theirs")
    subscribers(outbox, 1)
    dispatch = outbox.start()
    for deed in (service.pause_dispatch, service.resume_dispatch, service.cancel_dispatch, service.retry_failed):
        with pytest.raises(NotFound), db.transaction():
            deed(theirs.id, dispatch.id)
    with pytest.raises(NotFound), db.transaction():
        queries.progress(theirs.id, dispatch.id)
    with db.transaction():
        assert queries.recipients(theirs.id, dispatch.id) == []


def test_quiet_hours_in_the_shops_own_words(outbox: Outbox) -> None:
    """A shop that closes at noon."""
    with db.transaction():
        outbox.set(quiet_hours_on=True, quiet_from=time(12, 0), quiet_until=time(13, 0))
        create_subscriber(outbox.shop, zone="UTC")
    with clock.frozen_at(datetime(2026, 3, 10, 12, 30, tzinfo=UTC)):
        dispatch = outbox.start()
        outbox.run()
        assert outbox.progress(dispatch).next_due_at == datetime(2026, 3, 10, 13, 0, tzinfo=UTC)


def test_the_throttle_spaces_the_calls(outbox: Outbox) -> None:
    config.use(replace(config.current(), mitto_texts_per_second=50))
    subscribers(outbox, 120)
    waits: list[float] = []
    outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane.stopping, "wait", lambda seconds: bool(waits.append(seconds)))
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 120
    assert waits[0] == 0
    assert 0 < waits[1] <= 1.0
    assert waits[1] < waits[2] <= 1.4


def test_someone_who_opted_in_again_is_texted_again(outbox: Outbox) -> None:
    with db.transaction():
        contact = create_subscriber(outbox.shop)
        opt_out(contact)
        opt_in(contact)
    dispatch = outbox.start()
    outbox.run()
    assert outbox.progress(dispatch).sent == 1


class _Killed(BaseException):
    """A kill -9, as far as one process can play it: nothing after it runs."""


def _killed(*args: object, **kwargs: object) -> None:
    raise _Killed


def _after_the_lease() -> datetime:
    """Let the sweeper look when every open attempt has lost its worker; that moment."""
    later = clock.now() + timedelta(seconds=config.current().attempt_lease_seconds + 1)
    service.sweep(later)
    return later


def test_what_a_slow_worker_hears_was_refused_is_given_back(outbox: Outbox) -> None:
    """The sweeper took it for dead and charged for the call; then its answer names refusals."""
    phones = subscribers(outbox, 3)
    outbox.mitto.configure(outcomes={"exact": {phones[0]: "invalid", phones[1]: "blocked"}})
    dispatch = outbox.start()
    real = service.endings.finish

    def sweeper_first(*args: object, **kwargs: object) -> None:
        _after_the_lease()
        real(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.endings, "finish", sweeper_first)
        outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.sent, progress.failed, progress.unconfirmed) == (1, 2, 0)
    with db.transaction():
        rows = queries.recipients(outbox.shop.id, dispatch.id)
    assert outbox.spent() == sum(row.credits for row in rows) == max(row.credits for row in rows)
    outbox.check_books(dispatch)

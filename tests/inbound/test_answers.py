"""What is answered to a text: once, in time, paid for, and after a STOP nothing but its confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from blossom.audit import queries as trail
from blossom.inbound import jobs, queries
from blossom.inbound import service as inbound
from blossom.messaging import service as messaging
from blossom.messaging.models import Dispatch
from blossom.platform import clock, config, db, queue, stopping
from blossom.sandbox.mitto.process import StandIn
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from tests import stand_ins
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.inbound.conftest import Mitto, a_text, texts

STOPPED = "Ours: You are unsubscribed and will get no more texts. Reply START to subscribe again."


@pytest.fixture
def provider(app: Flask) -> Iterator[StandIn]:
    """The provider's stand-in: its log is what people were really texted."""
    before = config.current()
    running = stand_ins.mitto()
    config.use(replace(before, mitto_api_url=running.url))
    stopping.forget()
    stand_ins.as_new(running)
    yield running
    config.use(before)


@pytest.fixture
def shop(app: Flask) -> Shop:
    shop = create_shop(quiet_hours_on=True, daily_cap=1)
    create_wallet(shop.id, 100)
    return shop


def work(provider: StandIn) -> list[str]:
    """Do the jobs that wait, as a worker would; all that was texted so far."""
    waiting = queue.rq_queue("default")
    for job in waiting.jobs:
        name, arguments, _ = job.args
        queue.registered()[name](**arguments)
    waiting.empty()
    messaging.run_lane(seconds=5, worker="test")
    return [each["text"] for each in provider.log()]


def test_a_stop_is_confirmed_once_at_any_hour_though_the_person_is_opted_out(
    mitto: Mitto, shop: Shop, provider: StandIn
) -> None:
    contact = create_subscriber(shop)
    midnight = clock.now().replace(hour=23, minute=30)
    with clock.frozen_at(midnight):
        mitto.post("inbound", a_text(contact.phone, "STOP"))
        assert work(provider) == [STOPPED]
    assert provider.log()[0]["destination"] == contact.phone
    [stored] = texts()
    assert stored.handled_at == midnight
    assert stored.unanswered is None
    dispatch = db.session.scalars(select(Dispatch).where(Dispatch.id == stored.answer_dispatch_id)).one()
    assert (dispatch.kind, dispatch.state, dispatch.total) == ("stop_reply", "completed", 1)
    assert trail.entries(shop.id)[0].details == {"keyword": "stop", "dispatch_id": dispatch.id}
    assert wallet.balance(shop.id).reserved == 0
    assert wallet.balance(shop.id).balance == 95
    assert wallet.verify(shop.id) == []


def test_a_second_stop_of_the_day_is_not_confirmed_again_but_one_of_the_next_day_is(
    mitto: Mitto, shop: Shop, provider: StandIn
) -> None:
    contact = create_subscriber(shop)
    now = clock.now()
    for passed, confirmations in ((timedelta(0), 1), (timedelta(hours=23), 1), (timedelta(hours=25), 2)):
        with clock.frozen_at(now + passed):
            mitto.post("inbound", [a_text(contact.phone, "START"), a_text(contact.phone, "STOP")])
            assert len(work(provider)) == confirmations
    assert [each.unanswered for each in texts() if each.keyword == "stop"] == [None, "answered_before", None]


def test_help_is_answered_with_the_shops_name_and_contact_and_written_down(
    mitto: Mitto, shop: Shop, provider: StandIn
) -> None:
    mitto.post("inbound", a_text("+306984303406", "help?"))
    assert work(provider) == ["Ours. Contact: hello@ours.example. Reply STOP to opt out."]
    assert trail.entries(shop.id)[0].action == "inbound.answered"


def test_help_is_answered_in_words_where_the_opt_out_line_holds_a_link(
    mitto: Mitto, shop: Shop, provider: StandIn
) -> None:
    shop.opt_out_text = "End: {{ opt_out_link }}"
    mitto.post("inbound", a_text("+306984303406", "help?"))
    assert work(provider) == ["Ours. Contact: hello@ours.example. Reply STOP to opt out."]


def test_help_after_a_stop_is_not_answered(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    mitto.post("inbound", a_text("+306984303406", "STOP"))
    mitto.post("inbound", a_text("+306984303406", "HELP"))
    assert work(provider) == [STOPPED]
    assert [each.unanswered for each in texts()] == [None, "opted_out"]


def test_an_answer_to_help_that_a_stop_overtakes_is_not_sent(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    mitto.post("inbound", a_text("+306984303406", "HELP"))
    [asked] = texts()
    inbound.handle_text(shop.id, asked.id)
    mitto.post("inbound", a_text("+306984303406", "STOP"))
    assert work(provider) == [STOPPED]
    assert db.session.execute(text("SELECT reason FROM messages WHERE state = 'skipped'")).scalars().all() == [
        "opted_out"
    ]
    assert wallet.balance(shop.id).reserved == 0


def test_liquid_in_a_shops_name_is_words(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    shop.name = "{{ first_name }} {% if sender %} }} {"
    db.session.flush()
    mitto.post("inbound", a_text("+306984303406", "HELP"))
    assert work(provider) == [
        "(( first_name )) (% if sender %) )) (. Contact: hello@ours.example. Reply STOP to opt out."
    ]


def test_an_answer_counts_for_no_cap(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    contact = create_subscriber(shop)
    shop.quiet_hours_on = False
    db.session.flush()
    mitto.post("inbound", a_text(contact.phone, "HELP"))
    assert len(work(provider)) == 1
    plan = messaging.DispatchPlan(
        shop_id=shop.id, audience=Audience(everybody=True), source="Sale! Reply STOP to opt out", sender="Ours"
    )
    dispatch = messaging.start_dispatch(plan)
    messaging.prepare_dispatch(shop.id, dispatch.id)
    assert work(provider)[1:] == ["Sale! Reply STOP to opt out"]


@pytest.mark.parametrize("credits", [0, 4])
def test_without_credit_the_opt_out_holds_and_the_answer_is_left_out(
    mitto: Mitto, app: Flask, provider: StandIn, credits: int
) -> None:
    shop = create_shop()
    if credits:
        create_wallet(shop.id, credits)
    contact = create_subscriber(shop)
    mitto.post("inbound", a_text(contact.phone, "STOP"))
    assert work(provider) == []
    [stored] = texts()
    assert (stored.unanswered, stored.handled_at is None) == ("no_credit", False)
    assert db.session.execute(text("SELECT count(*) FROM dispatches")).scalar_one() == 0
    assert trail.entries(shop.id)[0].details == {"keyword": "stop", "why": "no_credit"}


def test_a_number_that_takes_no_texts_is_opted_out_and_not_answered(
    mitto: Mitto, shop: Shop, provider: StandIn
) -> None:
    mitto.post("inbound", a_text("+302103306000", "STOP"))
    assert work(provider) == []
    assert [each.unanswered for each in texts()] == ["not_textable"]


def test_a_shop_that_has_left_answers_nobody(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    shop.uninstalled_at = clock.now()
    db.session.flush()
    mitto.post("inbound", a_text("+306984303406", "STOP"))
    assert work(provider) == []
    assert [each.unanswered for each in texts()] == ["shop_left"]


# --- lost, doubled and late jobs ------------------------------------------------------------------------------------


def test_a_job_that_runs_twice_answers_once(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    mitto.post("inbound", a_text("+306984303406", "HELP"))
    [asked] = texts()
    for _ in range(2):
        jobs.handle_text(shop.id, asked.id)
    assert len(work(provider)) == 1


def test_a_lost_job_is_found_by_the_sweep_after_ten_seconds(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    now = clock.now()
    with clock.frozen_at(now):
        mitto.post("inbound", a_text("+306984303406", "HELP"))
    queue.connection().flushdb()
    with clock.frozen_at(now + timedelta(seconds=9)):
        assert queries.unhandled(clock.now()) == []
    with clock.frozen_at(now + timedelta(seconds=11)):
        jobs.sweep()
        assert len(work(provider)) == 1
        jobs.sweep()
    assert len(work(provider)) == 1


def test_an_answer_that_is_an_hour_late_is_not_given(mitto: Mitto, shop: Shop, provider: StandIn) -> None:
    now = clock.now()
    with clock.frozen_at(now):
        mitto.post("inbound", a_text("+306984303406", "HELP"))
    queue.connection().flushdb()
    with clock.frozen_at(now + timedelta(minutes=61)):
        jobs.sweep()
    assert work(provider) == []
    assert [each.unanswered for each in texts()] == ["too_late"]


def test_a_text_that_cant_be_handled_costs_the_others_nothing(
    mitto: Mitto, shop: Shop, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    with clock.frozen_at(now):
        mitto.post("inbound", [a_text("+306984303406", "HELP"), a_text("+306984303407", "HELP")])
    queue.connection().flushdb()
    first, second = texts()
    handle = inbound.handle_text

    def broken(shop_id: int, text_id: int) -> None:
        if text_id == first.id:
            raise RuntimeError("planted")
        handle(shop_id, text_id)

    monkeypatch.setattr(inbound, "handle_text", broken)
    with clock.frozen_at(now + timedelta(seconds=11)):
        jobs.sweep()
        assert len(work(provider)) == 1
    assert [each.handled_at is None for each in texts()] == [True, False]
    assert second.shop_id == shop.id

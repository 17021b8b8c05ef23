"""Clicks, sweeps and lanes at the same moment, on real connections and in real processes: one send, money right."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from flask import Flask

from blossom.campaigns import service as campaigns
from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming
from blossom.mitto import payloads
from blossom.platform import clock, config, db
from blossom.shops.models import Shop
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import create_campaign
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.crowds import subscribe
from tests.faults.judge import hear_of_all, judge
from tests.faults.lanes import KILLED, Lanes, finish, lanes, let_leases_pass, zygote
from tests.faults.processes import until
from tests.faults.test_services import Start, forks, outbox, rows, start
from tests.inbound.test_concurrency import at_once
from tests.messaging.conftest import CREDITS, Outbox, committed_outbox, mitto, mitto_process

__all__ = ["committed_outbox", "forks", "lanes", "mitto", "mitto_process", "outbox", "start", "zygote"]

pytestmark = pytest.mark.faults

SEED = 20261120
CLICKS = 20


_IN_LINE = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

CLOCKS_DIFFER = timedelta(milliseconds=10)
"""By as much as two processes of one host may read the database's time differently."""


@dataclass
class Sending:
    """A campaign of a shop, clicked on by its API key."""

    app: Flask
    outbox: Outbox
    phones: list[str]
    campaign_id: int
    key: str

    def click(self, deed: str) -> tuple[int, dict[str, Any]]:
        body: dict[str, object] | None = {} if deed == "retry-failed" else None
        answer = ApiClient(self.app, self.key).post(f"/api/campaigns/{self.campaign_id}/{deed}", json=body)
        return answer.status_code, answer.get_json()

    def click_at_once(self, *deeds: str) -> list[tuple[int, dict[str, Any]]]:
        """All of them stand before the campaign's row, as far as the app has connections, when it is let go: threads
        that begin at the same moment would come one after the other, each opening its connection first."""
        settings = config.current()
        url = str(settings.database_url).replace("+psycopg", "")
        in_line = min(len(deeds), 2 * settings.database_pool_size)
        with ThreadPoolExecutor(len(deeds)) as threads, psycopg.connect(url, autocommit=True) as watcher:
            with psycopg.connect(url) as holder:
                holder.execute("SELECT FROM campaigns WHERE id = %s FOR UPDATE", (self.campaign_id,))
                clicks = [threads.submit(self.click, deed) for deed in deeds]
                until(lambda: watcher.execute(_IN_LINE).rowcount >= in_line, "they stand in line")
            return [each.result() for each in clicks]

    def dispatch(self) -> Dispatch:
        with db.transaction() as session:
            return session.query(Dispatch).filter_by(shop_id=self.outbox.shop.id).one()

    def state(self) -> DispatchState:
        return self.outbox.progress(self.dispatch()).state


def a_campaign(app: Flask, outbox: Outbox, people: int) -> Sending:
    phones = subscribe(outbox.shop, people)
    with db.transaction():
        campaign = create_campaign(outbox.shop)
        return Sending(app, outbox, phones, campaign.id, client_for(app, outbox.shop.id).key or "")


def several(app: Flask, outbox: Outbox, shops: int, people: int) -> list[Sending]:
    """Campaigns of as many shops, being sent."""
    found = [a_campaign(app, outbox, people)]
    for number in range(1, shops):
        with db.transaction():
            shop: Shop = create_shop(domain=f"shop{number}.myshopify.com", sender=f"Shop{number}")
            create_wallet(shop.id, CREDITS)
        found.append(a_campaign(app, Outbox(shop, outbox.mitto), people))
    for each in found:
        assert each.click("enqueue")[0] == 200
        prepare(each)
    return found


def prepare(sending: Sending) -> bool:
    with db.transaction() as session:
        found = session.query(Dispatch).filter_by(shop_id=sending.outbox.shop.id).one()
        return service.prepare_dispatch(sending.outbox.shop.id, found.id)


def at_rest() -> bool:
    """Sweeps, and tells whether every dispatch has ended and no worker has anything in hand: also not a batch that it
    gave back to a cancelled dispatch and is about to close."""
    service.sweep()
    return not (
        rows("SELECT FROM attempts WHERE state IN ('claimed', 'calling')")
        or rows("SELECT FROM dispatches WHERE finished_at IS NULL")
        or rows("SELECT FROM batches WHERE state IN ('pending', 'claimed')")
    )


def close_rows(all_of_them: list[Sending]) -> None:
    for sending in all_of_them:
        dispatch = sending.dispatch()
        with db.transaction():
            while service.close_messages(dispatch.shop_id, dispatch.id):
                pass


@pytest.fixture(autouse=True)
def small_batches(outbox: Outbox) -> None:
    config.use(replace(config.current(), mitto_batch_size=10))


def test_twenty_clicks_and_a_job_taken_three_times_make_one_send(
    committed_app: Flask, outbox: Outbox, start: Start
) -> None:
    sending = a_campaign(committed_app, outbox, 300)
    for _ in range(2):
        start("worker", "--queue", "send")
    answers = sending.click_at_once(*["enqueue"] * CLICKS)
    assert [status for status, _ in answers] == [200] * CLICKS
    assert all(body == answers[0][1] for _, body in answers)
    assert sorted(at_once(committed_app, *[lambda: prepare(sending)] * 3)) == [False, False, True]
    until(at_rest, "all sent")
    assert len(rows("SELECT FROM dispatches")) == 1
    assert judge(outbox, sending.dispatch(), sending.phones).counts == {MessageState.SENT: 300}


def test_enqueue_while_pausing_sends_once(committed_app: Flask, outbox: Outbox, start: Start) -> None:
    [sending] = several(committed_app, outbox, 1, 400)
    outbox.mitto.configure(latency=0.4)  # so slow that it lasts as long as the clicks do
    for _ in range(2):
        start("worker", "--queue", "send")
    until(lambda: outbox.progress(sending.dispatch()).sent, "the first texts")
    ends = Counter[DispatchState]()
    for _ in range(6):
        answers = sending.click_at_once(*["pause", "enqueue"] * (CLICKS // 2))
        assert {status for status, _ in answers} == {200}
        ends[sending.state()] += 1
    assert outbox.progress(sending.dispatch()).finished_at is None, f"it was being sent all the time: {ends}"
    outbox.mitto.configure(latency=0.0)
    assert sending.click("enqueue")[0] == 200
    until(at_rest, "all sent")
    assert len(rows("SELECT FROM dispatches")) == 1
    assert judge(outbox, sending.dispatch(), sending.phones).counts == {MessageState.SENT: 400}


def test_a_cancel_while_sending_frees_to_the_credit_what_did_not_leave(
    committed_app: Flask, outbox: Outbox, start: Start
) -> None:
    """Six shops' campaigns side by side, each cancelled three times at once at a moment of its own. A throttle lets
    batches wait for their call, so that a cancel often comes after a claim, and lets none end before its cancel."""
    chance = random.Random(SEED)
    all_of_them = several(committed_app, outbox, 6, 300)
    outbox.mitto.configure(latency=0.03)
    for _ in range(2):
        start("worker", "--queue", "send", MITTO_TEXTS_PER_SECOND="100")
    for sending in chance.sample(all_of_them, len(all_of_them)):
        wanted, dispatch = chance.randint(1, 80), sending.dispatch()
        until(lambda: sending.outbox.progress(dispatch).sent >= wanted, "so many texts")  # noqa: B023 -- called at once
        answers = sending.click_at_once("cancel", "cancel", "cancel")
        assert [status for status, _ in answers] == [200] * 3
        for _, body in answers:
            assert body["left"] + body["cancelled"] + body["inFlight"] == len(sending.phones)
    until(at_rest, "what was in a call has ended")
    close_rows(all_of_them)
    partly = 0
    for sending in all_of_them:
        verdict = judge(sending.outbox, sending.dispatch(), sending.phones, may_stay=[MessageState.CANCELLED])
        assert verdict.among(MessageState.SENT) == set(verdict.taken)
        assert verdict.among(MessageState.CANCELLED) == set(sending.phones) - set(verdict.taken)
        late = (
            "SELECT a.id FROM attempts a JOIN dispatches d ON d.id = a.dispatch_id WHERE called_at > finished_at + :by"
        )
        assert rows(late, by=CLOCKS_DIFFER) == [], "no call begins after it"
        [(reserved, captured, released)] = rows(
            "SELECT amount, captured, released FROM reservations WHERE shop_id = :shop_id",
            shop_id=sending.outbox.shop.id,
        )
        assert (captured, released) == (sending.outbox.spent(), reserved - captured)
        partly += 0 < len(verdict.taken) < len(sending.phones)
    assert partly >= 3, "they were cancelled while they were being sent"


def test_a_batch_that_comes_back_after_the_cancel_is_counted_by_the_next_click(
    committed_app: Flask, outbox: Outbox
) -> None:
    [sending] = several(committed_app, outbox, 1, 30)
    with db.transaction():
        claim = claiming.claim_batch("late", clock.now())
    assert claim is not None
    answers = [sending.click("cancel")[1]]
    with db.transaction():
        now = clock.now()
        assert claiming.give_back(claim.attempt_id, outcome="given_back", due_at=now, tries=0, now=now)
    answers.append(sending.click("cancel")[1])
    until(at_rest, "it is closed")
    answers.append(sending.click("cancel")[1])
    assert [(each["left"], each["cancelled"], each["inFlight"]) for each in answers] == [
        (0, 20, 10), (0, 30, 0), (0, 30, 0),
    ]  # fmt: skip


def test_any_order_of_clicks_while_two_workers_send(committed_app: Flask, outbox: Outbox, start: Start) -> None:
    *clicked, quiet = all_of_them = several(committed_app, outbox, 7, 150)
    assert quiet.click("pause")[0] == 200  # so that one is left to cancel, however quick the workers are
    outbox.mitto.configure(latency=0.03)
    for _ in range(2):
        start("worker", "--queue", "send")
    until(lambda: outbox.mitto.summary()["texts"], "the first texts")

    def a_merchant(seed: int) -> Counter[tuple[str, int]]:
        own, heard = random.Random(seed), Counter[tuple[str, int]]()
        for _ in range(15):
            time.sleep(own.uniform(0, 0.06))
            [deed] = own.choices(["pause", "resume", "enqueue", "cancel"], [6, 4, 2, 1])
            heard[deed, own.choice(clicked).click(deed)[0]] += 1
        return heard

    merchants = [partial(a_merchant, SEED + number) for number in range(3)]
    heard = sum(at_once(committed_app, *merchants), Counter[tuple[str, int]]())
    assert {status for _, status in heard} <= {200, 409}, heard
    heard["cancel", quiet.click("cancel")[0]] += 1
    assert {deed for deed, status in heard if status == 200} == {"pause", "resume", "enqueue", "cancel"}
    for sending in all_of_them:
        if sending.state() is DispatchState.PAUSED:
            assert sending.click("resume")[0] == 200
    until(at_rest, "all ended")
    close_rows(all_of_them)
    ends = Counter[DispatchState]()
    for sending in all_of_them:
        ends[sending.state()] += 1
        may_stay = [MessageState.CANCELLED] if sending.state() is DispatchState.CANCELLED else []
        verdict = judge(sending.outbox, sending.dispatch(), sending.phones, may_stay=may_stay)
        assert verdict.among(MessageState.SENT) == set(verdict.taken)
    assert set(ends) == {DispatchState.COMPLETED, DispatchState.CANCELLED}


def test_many_sweepers_at_once_settle_each_dead_worker_once(committed_app: Flask, outbox: Outbox, lanes: Lanes) -> None:
    phones = subscribe(outbox.shop, 1_000)
    dispatch = outbox.start()
    places = ["claimed", "called", "answered"] * 10
    dead = [lanes.begin(at=place, batch=1) for place in places]
    assert [lanes.wait(pid) for pid in dead] == [KILLED] * len(dead)
    let_leases_pass()
    before = outbox.spent()
    found = at_once(committed_app, *[service.sweep] * 4, *[service.reconcile] * 4)
    assert sum(each.get("lost", 0) for each in found) == len(dead)
    assert [each for each in found if each.get("strayed") or each.get("drifted")] == []
    assert dict(rows("SELECT state, count(*) FROM attempts GROUP BY 1")) == {"given_back": 10, "lost": 20}
    charged = rows("SELECT reference, count(*), sum(-amount) FROM wallet_entries WHERE kind = 'capture' GROUP BY 1")
    lost = {f"attempt:{attempt}" for (attempt,) in rows("SELECT id FROM attempts WHERE state = 'lost'")}
    assert {reference for reference, _, _ in charged} == lost
    assert {times for _, times, _ in charged} == {1}
    assert outbox.spent() - before == sum(amount for _, _, amount in charged)
    finish(outbox, dispatch)
    verdict = judge(outbox, dispatch, phones)
    unconfirmed = verdict.among(MessageState.UNCONFIRMED)
    assert (len(unconfirmed), len(unconfirmed & set(verdict.taken))) == (200, 100)


def test_to_send_again_pressed_twenty_times_at_once_sends_once_more(
    committed_app: Flask, outbox: Outbox, lanes: Lanes
) -> None:
    [sending] = several(committed_app, outbox, 1, 200)
    for _ in range(3):
        assert lanes.wait(lanes.begin(at="answered", batch=2)) == KILLED
    finish(outbox, sending.dispatch())
    unconfirmed = judge(outbox, sending.dispatch(), sending.phones).among(MessageState.UNCONFIRMED)
    assert len(unconfirmed) == 30
    sent = [each for each in outbox.mitto.log() if each["destination"] not in unconfirmed]
    failed = random.Random(SEED).sample(sent, 40)
    outbox.receive(*[payloads.Receipt(each["messageId"], "EXPIRED", clock.now()) for each in failed])

    again, dispatch = set[str](), sending.dispatch()
    for deed, whom in [
        ("retry-failed", {each["destination"] for each in failed}),
        ("retry-unconfirmed", unconfirmed),
    ]:
        with db.transaction():  # as its job does: else the first click would, and the others wait for that
            campaigns.settle(outbox.shop.id, dispatch.id)
        answers = sending.click_at_once(*[deed] * CLICKS)
        assert Counter(status for status, _ in answers) == {200: 1, 409: CLICKS - 1}
        assert [answer["retried"] for status, answer in answers if status == 200] == [len(whom)]
        two = [lanes.begin() for _ in range(2)]
        assert [lanes.wait(lane) for lane in two] == [0, 0]
        finish(outbox, sending.dispatch())
        again |= whom
        verdict = judge(outbox, sending.dispatch(), sending.phones, twice=len(again), refunded=len(failed))
        assert {phone for phone, times in verdict.taken.items() if times == 2} == again
    assert verdict.counts == {MessageState.SENT: 200}
    hear_of_all(outbox)
    verdict = judge(outbox, sending.dispatch(), sending.phones, twice=len(again), refunded=len(failed))
    assert verdict.counts == {MessageState.DELIVERED: 200}

"""Workers and clocks as processes: Redis emptied, jobs lost and doubled, processes stopped and killed. One send."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psutil
import pytest
from flask import Flask
from rq.registry import StartedJobRegistry
from sqlalchemy import text

from blossom import schedule
from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import clock, config, db, queue
from blossom.segments.rules import Audience
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.processes import Forks, Process, until
from tests.messaging.conftest import TEXT, Outbox, committed_outbox, mitto, mitto_process
from tests.messaging.test_sending import subscribers

__all__ = ["committed_outbox", "mitto", "mitto_process"]

pytestmark = pytest.mark.faults

Start = Callable[..., Process]


@pytest.fixture
def outbox(committed_app: Flask, committed_outbox: Outbox) -> Outbox:
    return committed_outbox


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.end()


@pytest.fixture
def start(outbox: Outbox, forks: Forks) -> Iterator[Start]:
    """Starts processes, which end with the test. `blossom worker` without a queue is started as an operator does it,
    with its children; the others are forked."""
    running: list[Process] = []

    def begin(*arguments: str, **settings: str) -> Process:
        running.append(Process(*arguments, forks=None if arguments == ("worker",) else forks, **settings))
        return running[-1]

    yield begin
    for process in running:
        process.end()


def begin_dispatch(outbox: Outbox, shop_id: int | None = None) -> Dispatch:
    """As a campaign's click does: a row and a job."""
    with db.transaction():
        return service.start_dispatch(
            service.DispatchPlan(shop_id or outbox.shop.id, Audience(everybody=True), TEXT, sender="Ours")
        )


def rows(statement: str, **values: object) -> list[tuple[Any, ...]]:
    with db.transaction() as session:
        return [tuple(row) for row in session.execute(text(statement), values)]


def attempts(state: str) -> list[tuple[Any, ...]]:
    return rows("SELECT id, claimed_at FROM attempts WHERE state = :state", state=state)


def has_completed(outbox: Outbox, dispatch: Dispatch) -> Callable[[], bool]:
    return lambda: outbox.progress(dispatch).state is DispatchState.COMPLETED


def judge(outbox: Outbox, dispatch: Dispatch, phones: list[str]) -> None:
    """Everybody was texted, once, and it is shown and paid so."""
    summary = outbox.mitto.summary()
    assert (summary["texts"], summary["distinct_destinations"]) == (len(phones), len(phones))
    assert outbox.states(dispatch) == dict.fromkeys(phones, MessageState.SENT)
    outbox.check_books(dispatch)


def execute(statement: str) -> None:
    with db.transaction() as session:
        session.execute(text(statement))


def has_completed_with_sweeps(outbox: Outbox, dispatch: Dispatch) -> Callable[[], bool]:
    """As long as it has not completed, sweep, as a clock and a worker would every few seconds."""
    return lambda: bool(service.sweep()) and outbox.progress(dispatch).state is DispatchState.COMPLETED


def test_with_redis_emptied_at_the_worst_moments_everything_is_sent(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 400)
    outbox.mitto.configure(latency=0.1)
    dispatch = begin_dispatch(outbox)
    queue.connection().flushdb()  # the job that would fix the audience is gone
    execute("UPDATE dispatches SET created_at = created_at - interval '10 seconds'")
    start("worker", "--queue", "prepare")
    start("worker", "--queue", "send", BLOSSOM_LANE_SECONDS="0.3")
    until(lambda: service.sweep() and outbox.progress(dispatch).sent, "the first texts")
    for _ in range(3):  # lanes, their successors, markers, RQ's own books
        queue.connection().flushdb()
        before = outbox.progress(dispatch).sent
        until(lambda before=before: service.sweep() and outbox.progress(dispatch).sent > before, "more")  # type: ignore[misc]
    until(has_completed_with_sweeps(outbox, dispatch), "all sent")
    judge(outbox, dispatch, phones)


def test_jobs_that_are_lost_or_doubled_make_one_send(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 300)
    outbox.mitto.configure(latency=0.05)
    dispatch = outbox.start()
    assert queue.rq_queue("send").count == 1
    queue.rq_queue("send").empty()  # lost before any worker takes it
    assert service.sweep()
    assert queue.rq_queue("send").count == 1, "the sweep has found the work"
    for _ in range(4):
        with db.transaction():
            queue.enqueue("messaging.send_lane", queue="send")
    for _ in range(2):
        start("worker", "--queue", "send")
    until(has_completed(outbox, dispatch), "all sent")
    until(lambda: queue.rq_queue("send").count == 0, "every copy of the job was taken")
    judge(outbox, dispatch, phones)


def test_two_clocks_give_each_turn_once(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 200)
    execute("CREATE TABLE turns (name text, at timestamptz)")
    execute("""
        CREATE FUNCTION note_turn() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO turns VALUES (new.name, clock_timestamp()); RETURN NULL; END $$;
        CREATE TRIGGER note_turn AFTER UPDATE ON periodic_turns FOR EACH ROW EXECUTE FUNCTION note_turn()
    """)
    dispatch = outbox.start()
    queue.connection().flushdb()  # so that it depends on the clocks alone
    clocks = [start("clock") for _ in range(2)]
    for name in ("default", "send"):
        start("worker", "--queue", name)
    until(has_completed(outbox, dispatch), "all sent")
    until(lambda: len(rows("SELECT 1 FROM turns WHERE name = 'messaging.sweep'")) >= 3, "three turns of the sweep")
    assert all(each.runs() for each in clocks)
    for job in schedule.JOBS:
        taken = [at for (at,) in rows("SELECT at FROM turns WHERE name = :name ORDER BY at", name=job.name)]
        assert taken, job.name
        gaps = [after - before for before, after in pairwise(taken)]
        # The moment is that of the row's change, a little after the one by which the clock reckons.
        assert all(gap > job.every - timedelta(seconds=1) for gap in gaps), (job.name, gaps)
    judge(outbox, dispatch, phones)
    for each in clocks:
        assert each.terminate() < 20


def test_a_child_that_is_killed_is_started_again_and_a_stop_in_a_batch_loses_nothing(
    outbox: Outbox, start: Start
) -> None:
    phones = subscribers(outbox, 400)
    outbox.mitto.configure(latency=1.5)
    dispatch = outbox.start()
    workers = start("worker", BLOSSOM_LANES="1", BLOSSOM_LANE_THREADS="1")
    # The attempt is written down before its call: only once Mitto has the texts is it sure that they left.
    until(lambda: attempts("calling") and outbox.mitto.summary()["texts"] == 50, "a worker in its call")
    killed = workers.child("send")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    [(lost, _)] = attempts("calling")
    until(lambda: workers.child("send") not in (None, killed), "another in its place")
    until(lambda: service.sweep() and attempts("recorded") and len(attempts("calling")) == 2, "it is in its call")

    assert workers.terminate() < 20, "a host gives 30"
    assert [each for each, _ in attempts("calling") + attempts("claimed")] == [lost], workers.output()
    progress = outbox.progress(dispatch)
    assert (progress.unconfirmed, progress.failed, progress.sending) == (0, 0, 50), "those of the killed are open"
    assert progress.sent == outbox.mitto.summary()["texts"] - 50 > 0
    assert progress.pending == 350 - progress.sent > 0

    outbox.mitto.configure(latency=0.0)
    queue.connection().flushdb()
    start("worker", "--queue", "send")
    until(lambda: service.sweep() and outbox.progress(dispatch).sent == 350, "the next worker goes on")
    service.sweep(clock.now() + timedelta(seconds=config.current().attempt_lease_seconds + 1))
    assert has_completed(outbox, dispatch)()
    states = outbox.states(dispatch)
    unconfirmed = {phone for phone, state in states.items() if state is MessageState.UNCONFIRMED}
    assert set(states) == set(phones)
    assert len(unconfirmed) == 50
    assert {phone for phone, state in states.items() if state is MessageState.SENT} == set(phones) - unconfirmed
    assert {each["destination"] for each in outbox.mitto.log()} == set(phones), "they had left; receipts would tell"
    outbox.check_books(dispatch)


def test_one_worker_has_several_batches_in_hand_and_ends_with_none(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 400)
    outbox.mitto.configure(latency=0.7)
    dispatch = outbox.start()
    worker = start("worker", "--queue", "send", BLOSSOM_LANE_THREADS="3")
    until(lambda: len(attempts("calling")) == 3, "three calls at once")
    assert worker.terminate() < 20
    assert attempts("calling") == attempts("claimed") == []
    progress = outbox.progress(dispatch)
    assert progress.sent == outbox.mitto.summary()["texts"] > 0
    assert progress.pending == 400 - progress.sent > 0
    outbox.mitto.configure(latency=0.0)
    queue.connection().flushdb()
    start("worker", "--queue", "send", BLOSSOM_LANE_THREADS="2")
    until(has_completed_with_sweeps(outbox, dispatch), "the next worker goes on")
    judge(outbox, dispatch, phones)


def test_one_worker_that_is_killed_leaves_the_batches_of_all_its_threads(outbox: Outbox, start: Start) -> None:
    subscribers(outbox, 300)
    outbox.mitto.configure(latency=1.0)
    dispatch = outbox.start()
    worker = start("worker", "--queue", "send", BLOSSOM_LANE_THREADS="2")
    until(lambda: len(attempts("calling")) == 2 and outbox.mitto.summary()["texts"] >= 100, "two calls at once")
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not worker.runs(), "it is dead")
    outbox.mitto.configure(latency=0.0)
    queue.connection().flushdb()
    start("worker", "--queue", "send", BLOSSOM_LANE_THREADS="2")
    open_calls = len(attempts("calling"))
    until(lambda: service.sweep() and outbox.progress(dispatch).sent >= 300 - 50 * open_calls, "the others are sent")
    service.sweep(clock.now() + timedelta(seconds=config.current().attempt_lease_seconds + 1))
    progress = outbox.progress(dispatch)
    assert progress.unconfirmed == 50 * open_calls > 0
    assert progress.sent + progress.unconfirmed == 300
    assert outbox.mitto.summary()["doubled"] == 0
    outbox.check_books(dispatch)


def test_a_stop_while_the_throttle_waits_gives_the_batch_back_at_once(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 50)
    dispatch = outbox.start()
    # Eleven seconds and a half for a batch.
    worker = start("worker", "--queue", "send", MITTO_TEXTS_PER_SECOND="4", BLOSSOM_LANE_THREADS="1")
    until(lambda: list(queue.connection().scan_iter("throttle:*")), "the batch waits for its turn")
    assert len(attempts("claimed")) == 1
    stopped_at = clock.now()
    assert worker.terminate() < 20, worker.output()
    [(ended_at,)] = rows("SELECT ended_at FROM attempts WHERE state = 'given_back'")
    assert ended_at - stopped_at < timedelta(seconds=5), "it didn't wait for its turn"
    assert attempts("claimed") == attempts("calling") == []
    assert (outbox.mitto.summary()["texts"], outbox.progress(dispatch).pending) == (0, 50)
    outbox.run()
    judge(outbox, dispatch, phones)


def test_a_pause_stops_real_workers_within_two_seconds(outbox: Outbox, start: Start) -> None:
    phones = subscribers(outbox, 400)
    outbox.mitto.configure(latency=0.5)
    dispatch = outbox.start()
    for _ in range(2):
        start("worker", "--queue", "send", BLOSSOM_LANE_THREADS="1")
    until(lambda: service.sweep() and len(attempts("calling")) == 2, "two workers in their calls")
    with db.transaction():
        service.pause_dispatch(outbox.shop.id, dispatch.id)
    paused, paused_at = time.monotonic(), clock.now()
    until(lambda: not attempts("calling") and not attempts("claimed"), "what was in a call ends", 2.0)
    assert time.monotonic() - paused < 2
    lanes = StartedJobRegistry(queue=queue.rq_queue("send"))
    until(lambda: not lanes.get_job_ids(cleanup=False), "lanes end")
    assert rows("SELECT id FROM attempts WHERE called_at > :at", at=paused_at) == [], "no call began after the pause"
    progress = outbox.progress(dispatch)
    assert progress.sent == outbox.mitto.summary()["texts"]
    assert 0 < progress.sent < 400
    assert progress.pending == 400 - progress.sent
    outbox.mitto.configure(latency=0.0)
    with db.transaction():
        service.resume_dispatch(outbox.shop.id, dispatch.id)
    until(has_completed_with_sweeps(outbox, dispatch), "it goes on where it stopped")
    judge(outbox, dispatch, phones)


def test_a_small_shop_s_campaign_is_prepared_while_a_large_one_s_snapshot_goes_on(outbox: Outbox, start: Start) -> None:
    subscribers(outbox, 20)
    with db.transaction():
        small_shop = create_shop(domain="small.myshopify.com", sender="Small")
        create_wallet(small_shop.id)
        create_subscriber(small_shop)
    large = begin_dispatch(outbox)
    with db.engine().connect() as other, other.begin():
        other.execute(text("SELECT FROM dispatches WHERE id = :id FOR UPDATE"), {"id": large.id})  # it can't end
        for _ in range(2):
            start("worker", "--queue", "prepare")
        until(lambda: rows("SELECT 1 FROM pg_locks WHERE NOT granted"), "it is being prepared")
        small = begin_dispatch(outbox, small_shop.id)
        until(lambda: outbox.progress(small).state is DispatchState.SENDING, "the small one is prepared")
        assert outbox.progress(large).state is DispatchState.PREPARING
    until(lambda: outbox.progress(large).state is DispatchState.SENDING, "the large one too")


def test_workers_end_when_their_supervisor_was_killed(start: Start) -> None:
    workers = start("worker")
    until(lambda: workers.child(queue.QUEUES[-1]), "the last of them")
    children = workers.children()
    os.kill(workers.pid, signal.SIGKILL)
    _, left = psutil.wait_procs(children, timeout=60)
    for child in left:
        child.kill()
    assert (len(children), left) == (9, [])

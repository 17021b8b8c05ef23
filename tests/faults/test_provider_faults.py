"""The provider goes away for a minute, or loses its answers: nobody twice, nobody left out unseen, no busy loop."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState
from blossom.platform import config, db
from tests.faults.crowds import subscribe
from tests.faults.judge import hear_of_all, judge
from tests.faults.processes import Forks, Process, until
from tests.messaging.conftest import Outbox, committed_outbox, mitto, mitto_process

__all__ = ["committed_outbox", "mitto", "mitto_process"]

pytestmark = pytest.mark.faults

LANES = 2
CALLS = LANES * config.Config.lane_threads  # at once
BATCH = 50
TRIES = 4  # of one claim: a call, and three more after 0.1, 0.5 and 2 s
TRYING_SECONDS = 2.5
SLACK_SECONDS = 1.0  # between two clocks' reading, and for what is written in between
FULL_MINUTE = pytest.param(60, id="a full minute", marks=pytest.mark.skipif(
    not os.environ.get("BLOSSOM_TEST_SLOW"), reason="BLOSSOM_TEST_SLOW is not set"
))  # fmt: skip


@pytest.fixture
def outbox(committed_app: Flask, committed_outbox: Outbox) -> Outbox:
    return committed_outbox


@pytest.fixture
def lanes(outbox: Outbox, forks: Forks) -> Iterator[Callable[..., None]]:
    """Starts the lanes, as worker processes."""
    running: list[Process] = []

    def begin(**settings: str) -> None:
        running.extend(Process("worker", "--queue", "send", forks=forks, **settings) for _ in range(LANES))

    yield begin
    for process in running:
        process.end()


def rows(statement: str, **values: object) -> list[tuple[Any, ...]]:
    with db.transaction() as session:
        return [tuple(row) for row in session.execute(text(statement), values)]


def has_ended(outbox: Outbox, dispatch: Dispatch) -> Callable[[], bool]:
    """As long as it has not, sweep, as a clock and a worker would every few seconds."""
    return lambda: bool(service.sweep()) and outbox.progress(dispatch).finished_at is not None


# --- away -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [pytest.param(12, id="twelve seconds"), FULL_MINUTE])
def test_the_provider_is_down_in_the_middle_of_a_campaign(
    outbox: Outbox, lanes: Callable[..., None], seconds: int
) -> None:
    """Half of the time nobody listens, the other half a 503 is all that is said. Real waits throughout; only what is
    left to wait for once the provider is back is cut short (not in the full minute)."""
    phones = subscribe(outbox.shop, 5 * CALLS * BATCH)  # so that some wait still, however late this process looks
    outbox.mitto.configure(latency=0.3)
    dispatch = outbox.start()
    lanes()
    until(lambda: service.sweep() and outbox.progress(dispatch).sent >= 100, "the first texts")

    outbox.mitto.configure(faults=[{"kind": "503", "share": 1.0}])
    down_at = time.monotonic()
    outbox.mitto.down(seconds / 2)
    times = 2 if seconds < 60 else 4
    until(
        lambda: service.sweep() and time.monotonic() - down_at > seconds and most_tried() >= times,
        f"the time is up, and some batch came back {times} times",
    )
    said_503 = outbox.mitto.counters()["fault_503"]
    waiting = rows("SELECT tries, due_at - recorded_at FROM batches WHERE state = 'pending' AND tries > 0")
    outbox.mitto.configure(faults=[])

    returned = tries_by_batch()
    assert {code for tries in returned.values() for _, _, code in tries} == {"could_not_connect", "provider_busy"}
    for tries in returned.values():
        for number, (before, after) in enumerate(pairwise(tries), start=1):
            assert (after[0] - before[1]).total_seconds() > 0.8 * delay(number) - SLACK_SECONDS, "it has waited"
    for number, wait in waiting:
        assert 0.8 * delay(number) - SLACK_SECONDS < wait.total_seconds() <= 1.2 * delay(number), "and waits longer"
    for claimed_at, ended_at, _ in chain.from_iterable(returned.values()):
        assert (ended_at - claimed_at).total_seconds() > TRYING_SECONDS, "nor are the tries of a claim in a hurry"
    busy = sum(code == "provider_busy" for tries in returned.values() for _, _, code in tries)
    assert 0 < said_503 <= TRIES * (busy + 2 * CALLS), "four calls a claim, and no more"  # some claims saw both

    if seconds < 60:
        rows("UPDATE batches SET due_at = now() WHERE state = 'pending' RETURNING number")
    until(has_ended(outbox, dispatch), "all sent")
    unconfirmed = judge(outbox, dispatch, phones).among(MessageState.UNCONFIRMED)
    assert len(unconfirmed) <= CALLS * BATCH, "no others than those of the calls that were cut off when it went down"
    hear_of_all(outbox)
    verdict = judge(outbox, dispatch, phones)
    assert verdict.among(MessageState.UNCONFIRMED) == set(phones) - set(verdict.taken) <= unconfirmed
    assert verdict.among(MessageState.DELIVERED) == set(verdict.taken)


def most_tried() -> int:
    [(tries,)] = rows("SELECT max(tries) FROM batches WHERE state = 'pending'")
    return int(tries or 0)


def delay(tries: int) -> float:
    """The seconds until a batch is due again (docs/dispatch.md), give or take a fifth."""
    return float(min(5 * 2 ** (tries - 1), 300))


def tries_by_batch() -> dict[int, list[tuple[Any, ...]]]:
    """Batch → its claims of which nothing came, in order: claimed when, ended when, why."""
    found = defaultdict(list)
    for batch, *claim in rows(
        "SELECT batch_number, claimed_at, ended_at, code FROM attempts WHERE state = 'returned' ORDER BY id"
    ):
        found[batch].append(tuple(claim))
    return found


# --- answers lost ---------------------------------------------------------------------------------------------------

SHARE = 0.02
LOST_ANSWERS = {
    "timeout": "no_answer_in_time",
    "reset": "connection_lost",
    "502": "provider_failed",
    "cut": "answer_incomplete",
}
"""The four ways in which an outcome stays unknown, by the stand-in's word; and ours."""


def test_answers_lost_in_all_four_ways_are_shown_never_repeated_and_found_again(
    outbox: Outbox, lanes: Callable[..., None]
) -> None:
    """Each way hits 2 % of the calls; half of those (but of cut ones, where an answer had begun) took the texts."""
    size, number = 10, 3_000
    phones = subscribe(outbox.shop, number)
    faults = [{"kind": kind, "share": SHARE, "taken": True} for kind in LOST_ANSWERS]
    faults += [{"kind": kind, "share": SHARE / 2, "taken": False} for kind in LOST_ANSWERS if kind != "cut"]
    outbox.mitto.configure(faults=faults, seed=20261120)
    config.use(replace(config.current(), mitto_batch_size=size))
    dispatch = outbox.start()
    lanes(MITTO_TIMEOUT_SECONDS="1")
    until(has_ended(outbox, dispatch), "all has been tried")

    verdict = judge(outbox, dispatch, phones)
    calls = outbox.mitto.counters()
    assert calls["send_calls"] == number / size, "no call was made twice"
    log = outbox.mitto.log()
    lost = {each["destination"] for each in log if each["fault"]}
    shown = verdict.among(MessageState.UNCONFIRMED)
    assert shown & set(verdict.taken) == lost, "of those who were texted, exactly the ones whose answer was lost"
    assert verdict.counts == {MessageState.UNCONFIRMED: len(shown), MessageState.SENT: number - len(shown)}
    codes = Counter(code for (code,) in rows("SELECT code FROM attempts WHERE state = 'unknown'"))
    assert codes == {LOST_ANSWERS[kind]: calls[f"fault_{kind}"] for kind in LOST_ANSWERS}
    assert len(shown) == size * sum(codes.values())
    assert lost
    assert shown - lost, "some calls were lost before the texts were taken"

    hear_of_all(outbox)
    verdict = judge(outbox, dispatch, phones)
    assert verdict.among(MessageState.UNCONFIRMED) == shown - lost, "of whom nobody will ever hear"
    assert verdict.among(MessageState.DELIVERED) == set(verdict.taken)
    assert service.sweep()["lost"] == 0
    outbox.run()
    assert outbox.mitto.counters()["send_calls"] == calls["send_calls"], "nothing is sent after them"

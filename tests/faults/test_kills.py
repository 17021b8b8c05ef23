"""Workers killed with -9 at any moment: no phone is texted twice, none is left out that isn't shown as unconfirmed."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest
from flask import Flask

from blossom.messaging import queries, service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import clock, config, db
from blossom.wallet import queries as wallet
from tests.conftest import MASTER_KEY
from tests.messaging.conftest import CREDITS, Outbox, committed_outbox, mitto, mitto_process
from tests.messaging.test_sending import subscribers

__all__ = ["committed_outbox", "mitto", "mitto_process"]

pytestmark = pytest.mark.faults

SEED = 20261120


class Zygote:
    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def lane(self, **order: object) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps({"seconds": 60, **order}).decode() + "\n")
        self.process.stdin.flush()
        return int(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def zygote(committed_app: Flask, committed_outbox: Outbox) -> Iterator[Zygote]:
    settings = config.current()
    made = Zygote(
        {
            **os.environ,
            "BLOSSOM_ENV": "test",
            "DATABASE_URL": str(settings.database_url),
            "REDIS_URL": str(settings.redis_url),
            "BLOSSOM_MASTER_KEYS": f"1:{base64.b64encode(MASTER_KEY).decode()}",
            "MITTO_API_URL": settings.mitto_api_url,
            "MITTO_API_KEY": settings.mitto_api_key,
            "MITTO_TRAFFIC_ACCOUNT_ID": settings.mitto_traffic_account_id,
            "MITTO_BATCH_SIZE": "50",
            "MITTO_TEXTS_PER_SECOND": "0",
            "LOG_LEVEL": "ERROR",
        }
    )
    yield made
    made.stop()


def wait_until_gone(pid: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline, "the lane didn't end"
        time.sleep(0.005)


def finish(outbox: Outbox, dispatch: Dispatch) -> None:
    """All workers are dead: let the sweeper find what they left, and one lane do the rest."""
    moment = clock.now()
    for _ in range(20):
        moment += timedelta(seconds=config.current().attempt_lease_seconds + 1)
        service.sweep(moment)
        with clock.frozen_at(moment):
            outbox.run()
        if outbox.progress(dispatch).finished_at is not None:
            return
    raise AssertionError(outbox.progress(dispatch))


def judge(outbox: Outbox, dispatch: Dispatch, phones: list[str]) -> Counter[MessageState]:
    """The stand-in's log against what we show. Credits: what the log holds plus what is shown as unconfirmed."""
    progress = outbox.progress(dispatch)
    assert progress.state is DispatchState.COMPLETED
    taken = Counter(text["destination"] for text in outbox.mitto.log())
    assert set(taken.values()) <= {1}, "nobody is texted twice"
    states = outbox.states(dispatch)
    assert set(states) == set(phones)
    for phone, state in states.items():
        assert state in (MessageState.SENT, MessageState.UNCONFIRMED), (phone, state)
        assert phone in taken or state is MessageState.UNCONFIRMED, "left out, and not shown as unconfirmed"
        assert state is not MessageState.SENT or phone in taken
    with db.transaction():
        rows = queries.recipients(outbox.shop.id, dispatch.id, limit=100_000)
        spent = CREDITS - wallet.balance(outbox.shop.id).balance
        assert wallet.balance(outbox.shop.id).reserved == 0
    price = rows[0].credits
    not_taken = sum(1 for phone, state in states.items() if state is MessageState.UNCONFIRMED and phone not in taken)
    assert spent == price * (sum(taken.values()) + not_taken)
    outbox.check_books(dispatch)
    return Counter(states.values())


@pytest.mark.parametrize("place", ["claimed", "called", "answered"])
def test_a_worker_that_dies_at_the_worst_place(committed_outbox: Outbox, zygote: Zygote, place: str) -> None:
    phones = subscribers(committed_outbox, 300)
    dispatch = committed_outbox.start()
    for batch in (1, 3):
        wait_until_gone(zygote.lane(die_at=place, batch=batch))
    finish(committed_outbox, dispatch)
    counts = judge(committed_outbox, dispatch, phones)
    expected = 0 if place == "claimed" else 100
    assert counts[MessageState.UNCONFIRMED] == expected


def test_two_workers_killed_again_and_again_at_random_moments(committed_outbox: Outbox, zygote: Zygote) -> None:
    chance = random.Random(SEED)
    phones = subscribers(committed_outbox, 1_500)
    committed_outbox.mitto.configure(latency=0.005)
    dispatch = committed_outbox.start()
    kills = 0
    for _ in range(12):
        pids = [zygote.lane(), zygote.lane()]
        time.sleep(chance.uniform(0.05, 0.25))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                continue
        for pid in pids:
            wait_until_gone(pid)
    assert kills > 0
    finish(committed_outbox, dispatch)
    judge(committed_outbox, dispatch, phones)


def test_what_the_kills_left_unconfirmed_is_confirmed_by_its_receipts(committed_outbox: Outbox, zygote: Zygote) -> None:
    phones = subscribers(committed_outbox, 100)
    dispatch = committed_outbox.start()
    wait_until_gone(zygote.lane(die_at="answered", batch=1))
    finish(committed_outbox, dispatch)
    assert judge(committed_outbox, dispatch, phones)[MessageState.UNCONFIRMED] == 50
    committed_outbox.receive_all("Delivered")
    moment = clock.now() + timedelta(seconds=30)
    while True:
        with clock.frozen_at(moment):
            asked = service.ask_about_orphans()
        with db.transaction():
            service.apply_receipts()
        if not asked.asked:
            break
    assert set(committed_outbox.states(dispatch).values()) == {MessageState.DELIVERED}
    committed_outbox.check_books(dispatch)

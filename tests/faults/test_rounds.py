"""Fifty workers killed with -9 over one campaign of 5,000, and as many campaigns of 5,000 as one has time for.

The stand-in's log is the judge: no phone is texted twice, none is left out that isn't shown as unconfirmed, credits
equal the log and what is shown beside it, progress equals the rows. With BLOSSOM_FAULT_CAMPAIGNS=50 in the environment
fifty campaigns of their own are added, each with kills, batches and pace of its own (a few minutes):

    BLOSSOM_FAULT_CAMPAIGNS=50 bin/test tests/faults/test_rounds.py
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace

import pytest

from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import config
from tests.faults.crowds import subscribe
from tests.faults.judge import Verdict, hear_of_all, judge
from tests.faults.lanes import KILLED, Lanes, finish, lanes, last_deeds, sweep, zygote
from tests.faults.processes import environment
from tests.messaging.conftest import Outbox, committed_outbox, mitto, mitto_process

__all__ = ["committed_outbox", "lanes", "mitto", "mitto_process", "zygote"]

pytestmark = pytest.mark.faults

SEED = 20261120
PEOPLE = 5_000
CAMPAIGNS = int(os.environ.get("BLOSSOM_FAULT_CAMPAIGNS", "0"))
PLACES = ("claimed", "called", "answered", "recorded")


def in_batches_of(size: int, lanes: Lanes) -> None:
    config.use(replace(config.current(), mitto_batch_size=size))
    lanes.use(environment(LOG_LEVEL="ERROR"))


def a_round(lanes: Lanes, fates: list[dict[str, object]]) -> list[tuple[bool, list[str]]]:
    """Lanes side by side, each with its fate. Of each that was killed: whether that was at any moment, and how far each
    of its threads had come then."""
    pids = [lanes.begin(**fate) for fate in fates]
    killed = [pid for pid in pids if lanes.wait(pid) == KILLED]
    return [("after" in fate, last_deeds(pid)) for fate, pid in zip(fates, pids, strict=True) if pid in killed]


def a_fate(chance: random.Random, seconds: float) -> dict[str, object]:
    """Of five lanes four die at any moment of their first batches, and one at a place of its own choice."""
    if chance.random() < 0.2:
        return {"batch": chance.randint(1, 2), "at": chance.choice(PLACES)}
    return {"batch": chance.randint(1, 3), "after": chance.uniform(0, seconds)}


def judge_until_the_receipts(outbox: Outbox, dispatch: Dispatch, phones: list[str]) -> Verdict:
    """The judge, before and after the receipts: what had left is found, what never left stays unconfirmed."""
    before = judge(outbox, dispatch, phones)
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED
    hear_of_all(outbox)
    after = judge(outbox, dispatch, phones)
    assert after.among(MessageState.DELIVERED) == set(after.taken)
    assert after.among(MessageState.UNCONFIRMED) == set(phones) - set(after.taken)
    return before


def test_fifty_workers_are_killed_over_a_campaign_of_five_thousand(committed_outbox: Outbox, lanes: Lanes) -> None:
    outbox, chance = committed_outbox, random.Random(SEED)
    in_batches_of(20, lanes)
    phones = subscribe(outbox.shop, PEOPLE)
    outbox.mitto.configure(latency=0.005)
    dispatch = outbox.start()
    kills, landed = 0, Counter[str]()
    while kills < 50 or min(landed[deed] for deed in ("claimed", "calling", "recorded")) < 3:
        found = a_round(lanes, [a_fate(chance, 0.03) for _ in range(2)])
        kills += len(found)
        landed += Counter(deed for at_any_moment, deeds in found if at_any_moment for deed in deeds)
        if chance.random() < 0.3:
            sweep()
        assert outbox.progress(dispatch).pending > 0, f"sent before enough had died: {kills}, {landed}"
    finish(outbox, dispatch)
    verdict = judge_until_the_receipts(outbox, dispatch, phones)
    unconfirmed = verdict.among(MessageState.UNCONFIRMED)
    assert unconfirmed & set(verdict.taken), "some died between Mitto's acceptance and our record"
    assert unconfirmed - set(verdict.taken), "and some right before their call"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_a_campaign_of_five_thousand_with_kills_of_its_own(committed_outbox: Outbox, lanes: Lanes, seed: int) -> None:
    outbox, chance = committed_outbox, random.Random(seed)
    in_batches_of(chance.choice((20, 50, 100, 250)), lanes)
    phones = subscribe(outbox.shop, PEOPLE)
    outbox.mitto.configure(latency=chance.choice((0.0, 0.005, 0.02)))
    dispatch = outbox.start()
    kills, landed = 0, Counter[str]()
    for _ in range(chance.randint(2, 8)):
        found = a_round(lanes, [a_fate(chance, 0.1) for _ in range(chance.randint(1, 3))])
        kills += len(found)
        landed += Counter(deed for _, deeds in found for deed in deeds)
        if chance.random() < 0.5:
            sweep()
    assert kills
    finish(outbox, dispatch)
    verdict = judge_until_the_receipts(outbox, dispatch, phones)
    print(f"seed {seed}: {kills} killed, {dict(landed)}, {dict(verdict.counts)}")

"""STOP in the middle of a campaign: whoever had said it before their batch was claimed is not texted."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState, SkipReason
from blossom.platform import config, crypto, db
from tests.faults.crowds import subscribe
from tests.faults.judge import judge
from tests.faults.processes import until
from tests.faults.test_services import Start, execute, forks, has_completed_with_sweeps, outbox, rows, start
from tests.inbound.conftest import Mitto, a_text
from tests.inbound.test_concurrency import at_once
from tests.messaging.conftest import Outbox, committed_outbox, mitto, mitto_process

__all__ = ["committed_outbox", "forks", "mitto", "mitto_process", "outbox", "start"]

pytestmark = pytest.mark.faults

SEED = 20261120
PEOPLE, WHO_STOP, AT_ONCE = 1_500, 300, 3


@pytest.fixture
def claims_noted(outbox: Outbox) -> None:
    """When each batch was claimed, by the database's clock, in the very statement that claims it."""
    execute("""
        CREATE TABLE claims (batch_number integer PRIMARY KEY, at timestamptz);
        CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO claims VALUES (new.batch_number, clock_timestamp()); RETURN NULL; END $$;
        CREATE TRIGGER note_claim AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION note_claim()
    """)


def say_stop(app: Flask, phones: list[str], seed: int) -> dict[str, datetime]:
    """By the webhook, one after the other. Phone → when it had been acknowledged, by the database's clock."""
    chance, acknowledged = random.Random(seed), {}
    for phone in phones:
        time.sleep(chance.uniform(0, 0.02))
        assert Mitto(app).post("inbound", a_text(phone, "Stop")).status_code == 200
        with db.transaction() as session:
            acknowledged[phone] = session.scalars(text("SELECT clock_timestamp()")).one()
    return acknowledged


def claimed_at(outbox: Outbox, dispatch: Dispatch, phones: list[str]) -> dict[str, datetime]:
    """Phone → when the batch that held it was claimed."""
    with db.transaction():
        by_hash = {crypto.for_shop(outbox.shop.id).lookup(phone): phone for phone in phones}
    found = rows("SELECT phone_hash, at FROM messages JOIN claims USING (batch_number)")
    return {by_hash[bytes(phone_hash)]: at for phone_hash, at in found}


@pytest.mark.usefixtures("claims_noted")
def test_who_said_stop_before_their_batch_was_claimed_is_not_texted(
    committed_app: Flask, outbox: Outbox, start: Start
) -> None:
    config.use(replace(config.current(), mitto_batch_size=20))
    phones = subscribe(outbox.shop, PEOPLE)
    outbox.mitto.configure(latency=0.08)
    dispatch = outbox.start()
    for _ in range(2):
        start("worker", "--queue", "send")
    until(lambda: outbox.progress(dispatch).sent, "the first texts")
    stopping = random.Random(SEED).sample(phones, WHO_STOP)
    shares = [partial(say_stop, committed_app, stopping[place::AT_ONCE], SEED + place) for place in range(AT_ONCE)]
    acknowledged: dict[str, datetime] = {}
    for share in at_once(committed_app, *shares):
        acknowledged |= share
    until(has_completed_with_sweeps(outbox, dispatch), "all sent")

    verdict = judge(outbox, dispatch, phones, may_stay=[MessageState.SKIPPED])
    claimed = claimed_at(outbox, dispatch, phones)
    in_time = {phone for phone in stopping if acknowledged[phone] < claimed[phone]}
    assert in_time & set(verdict.taken) == set(), "texted after their STOP"
    too_late = set(stopping) & set(verdict.taken)
    assert len(in_time) >= 20, "some said it in time"
    assert len(too_late) >= 20, "and some when their text was on its way"
    skipped = verdict.among(MessageState.SKIPPED)
    assert skipped == set(stopping) - too_late, "nobody else is left out"
    assert rows("SELECT DISTINCT reason FROM messages WHERE state = 'skipped'") == [(SkipReason.OPTED_OUT.value,)]

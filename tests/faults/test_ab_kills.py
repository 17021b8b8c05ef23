"""A test of texts whose workers, and whose judges, are killed with -9: everybody gets one text, who was tested the one
that they were drawn for, and the rest the winner that stands in the row, whatever died in between."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from blossom.messaging import queries, service
from blossom.messaging.errors import InvalidDispatchState
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState
from blossom.platform import clock, db
from tests.faults.crowds import subscribe
from tests.faults.judge import judge
from tests.faults.lanes import KILLED, Lanes, finish, lanes, sweep, zygote
from tests.messaging.conftest import Outbox, committed_outbox, mitto, mitto_process
from tests.messaging.test_ab import A, B, click, got

__all__ = ["committed_outbox", "lanes", "mitto", "mitto_process", "zygote"]

pytestmark = pytest.mark.faults

PEOPLE, SHARES = 400, (25, 25)


def standing(dispatch: Dispatch) -> queries.Standing:
    with db.transaction():
        found = queries.standing(dispatch.shop_id, dispatch.id)
    assert found is not None
    return found


def test_whatever_dies_around_the_decision_everybody_gets_one_text(committed_outbox: Outbox, lanes: Lanes) -> None:
    outbox = committed_outbox
    phones = subscribe(outbox.shop, PEOPLE)
    dispatch = outbox.start(source=A, others=[B], shares=SHARES, decide_after=timedelta(hours=1))
    for place in ("claimed", "answered"):  # while it is tested
        assert lanes.wait(lanes.begin(at=place, batch=2)) == KILLED
    sweep()
    outbox.run()
    tested = got(outbox)
    assert Counter(tested.values()) == {"A": 100, "B": 100}
    click(outbox, dispatch, "B", 7)
    after = (clock.now() + timedelta(hours=2)).isoformat()

    assert lanes.wait(lanes.begin(decide=after, at="chosen")) == KILLED
    found = standing(dispatch)
    assert (found.winner, found.waiting) == (None, 200), "nothing of a choice that was not committed"
    outbox.run()
    assert got(outbox) == tested

    assert lanes.wait(lanes.begin(decide=after, at="committed")) == KILLED
    found = standing(dispatch)
    assert (found.winner, found.waiting, found.chosen_by) == (1, 0, "clicks")
    click(outbox, dispatch, "A", 50)  # too late
    again = [lanes.begin(decide=after) for _ in range(3)]
    assert [lanes.wait(each) for each in again] == [0, 0, 0]
    assert service.sweep() is not None, "which finds due batches that nobody was told of"

    for place in ("called", "recorded"):  # while the rest is texted
        assert lanes.wait(lanes.begin(at=place, batch=1)) == KILLED
    finish(outbox, dispatch)
    verdict = judge(outbox, dispatch, phones)
    texts = got(outbox)
    assert {phone: texts[phone] for phone in tested} == tested
    assert {letter for phone, letter in texts.items() if phone not in tested} == {"B"}
    assert len(texts) == PEOPLE - 50, "the call that was never made"
    assert len(verdict.among(MessageState.UNCONFIRMED)) == 100, "a lost answer and a lost call, of 50 each"


def test_of_many_who_decide_and_choose_at_once_one_does(committed_outbox: Outbox, lanes: Lanes) -> None:
    """Jobs in processes of their own, by clicks, and a merchant by hand, at the same moment."""
    outbox = committed_outbox
    phones = subscribe(outbox.shop, 200)
    dispatch = outbox.start(source=A, others=[B], shares=(25, 25), decide_after=timedelta(hours=1))
    outbox.run()
    tested = got(outbox)
    click(outbox, dispatch, "B", 3)
    after = (clock.now() + timedelta(hours=2)).isoformat()
    jobs = [lanes.begin(decide=after) for _ in range(4)]
    with suppress(InvalidDispatchState), db.transaction():
        service.choose_winner(dispatch.shop_id, dispatch.id, 0, by="staff:1")
    assert [lanes.wait(job) for job in jobs] == [0] * 4
    found = standing(dispatch)
    assert (found.winner, found.chosen_by) in ((0, "staff:1"), (1, "clicks"))
    finish(outbox, dispatch)
    judge(outbox, dispatch, phones)
    texts = got(outbox)
    assert {phone: texts[phone] for phone in tested} == tested
    assert {letter for phone, letter in texts.items() if phone not in tested} == {"AB"[found.winner or 0]}

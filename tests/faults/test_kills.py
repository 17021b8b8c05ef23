"""Workers killed with -9, or fallen asleep, at the worst places: no phone is texted twice, none is left out that isn't
shown as unconfirmed. At random moments: test_rounds.py."""

from __future__ import annotations

import os
import signal

import pytest

from blossom.messaging.rules.states import MessageState
from tests.faults.crowds import subscribe
from tests.faults.judge import hear_of_all, judge
from tests.faults.lanes import KILLED, Lanes, finish, lanes, last_deeds, sweep, zygote
from tests.faults.processes import until
from tests.messaging.conftest import Outbox, committed_outbox, mitto, mitto_process
from tests.messaging.test_reconciliation import change

__all__ = ["committed_outbox", "lanes", "mitto", "mitto_process", "zygote"]

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("place", "deed", "unconfirmed", "left"),
    [("claimed", "claimed", 0, 0), ("called", "calling", 100, 0), ("answered", "calling", 100, 100),
     ("recorded", "recorded", 0, 0)],
)  # fmt: skip
def test_a_worker_that_dies_at_the_worst_place(
    committed_outbox: Outbox, lanes: Lanes, place: str, deed: str, unconfirmed: int, left: int
) -> None:
    phones = subscribe(committed_outbox.shop, 300)
    dispatch = committed_outbox.start()
    for batch in (1, 3):
        lane = lanes.begin(at=place, batch=batch)
        assert lanes.wait(lane) == KILLED
        assert last_deeds(lane) == [deed]
    finish(committed_outbox, dispatch)
    verdict = judge(committed_outbox, dispatch, phones)
    unsure = verdict.among(MessageState.UNCONFIRMED)
    assert (len(unsure), len(unsure & set(verdict.taken))) == (unconfirmed, left)
    hear_of_all(committed_outbox)
    verdict = judge(committed_outbox, dispatch, phones)
    assert verdict.among(MessageState.DELIVERED) == set(verdict.taken)
    assert len(verdict.among(MessageState.UNCONFIRMED)) == unconfirmed - left, "nobody can tell, and it is shown so"


def test_workers_that_sleep_through_their_lease_text_nobody_a_second_time(
    committed_outbox: Outbox, lanes: Lanes
) -> None:
    """Each falls asleep at its place, is taken for dead, and wakes once others have sent the rest."""
    phones = subscribe(committed_outbox.shop, 600)
    dispatch = committed_outbox.start()
    put_off = (
        "UPDATE batches SET due_at = due_at + CAST(:by AS interval) WHERE number = (SELECT max(number) FROM batches)"
    )
    change(put_off, by="1 hour")  # so that it goes on being sent when they wake
    places = {"claimed": "claimed", "called": "calling", "answered": "calling"}
    asleep = {lanes.begin(at=place, batch=2, signal=signal.SIGSTOP): deed for place, deed in places.items()}
    for lane, deed in asleep.items():
        until(lambda lane=lane: state_of(lane) == "T", "it sleeps")  # type: ignore[misc]  # its default is its argument
        assert last_deeds(lane) == [deed]
    assert sweep(*asleep) == 3
    committed_outbox.run()
    progress = committed_outbox.progress(dispatch)
    assert (progress.sent, progress.unconfirmed, progress.pending) == (450, 100, 50)
    for lane in asleep:
        os.kill(lane, signal.SIGCONT)
        assert lanes.wait(lane) == 0, "it goes on as if nothing had been"
    change(put_off, by="-1 hour")
    finish(committed_outbox, dispatch)
    verdict = judge(committed_outbox, dispatch, phones)
    assert set(verdict.states.values()) == {MessageState.SENT}, "they knew what had come of their calls"


def state_of(pid: int) -> str:
    """Of a process, as Linux writes it: `T` is stopped."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]

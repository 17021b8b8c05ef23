"""The judge of a fault test: the stand-in's own log, against what we show, count and charge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from blossom.messaging import queries, service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads
from blossom.platform import clock, db
from blossom.sandbox.mitto.segments import segments as counted_apart
from blossom.wallet import queries as wallet
from tests.messaging.conftest import CREDITS, Outbox

LEFT = frozenset({MessageState.SENT, MessageState.DELIVERED})


@dataclass(frozen=True)
class Verdict:
    """What became of each phone, and how often Mitto took a text for it."""

    states: dict[str, MessageState]
    taken: Counter[str]

    @property
    def counts(self) -> Counter[MessageState]:
        return Counter(self.states.values())

    def among(self, state: MessageState) -> set[str]:
        """The phones that are shown so."""
        return {phone for phone, shown in self.states.items() if shown is state}


def judge(
    outbox: Outbox,
    dispatch: Dispatch,
    phones: list[str],
    *,
    may_stay: Collection[MessageState] = (),
    twice: int = 0,
    refunded: int = 0,
) -> Verdict:
    """Hold the stand-in's log against rows, counts and ledger.

    Who is in the log is shown as sent, delivered or unconfirmed, once; who isn't is shown as unconfirmed, or in a state
    of `may_stay` (a failed one may be in the log). `twice`: so many were texted again because the merchant wanted it;
    `refunded`: so many segments that the log holds were given back.
    Of the log those texts count that bear the dispatch's sender: several shops may send at once, and all must be done.
    """
    texts = [each for each in outbox.mitto.log() if each["sender"] == dispatch.sender]
    taken = Counter(each["destination"] for each in texts)
    assert set(taken) <= set(phones)
    again = {phone for phone, times in taken.items() if times > 1}
    assert len(again) == twice, "nobody is texted twice"
    assert max(taken.values(), default=0) <= (2 if twice else 1)
    with db.transaction() as session:
        rows = queries.recipients(outbox.shop.id, dispatch.id, limit=100_000)
        held = wallet.balance(outbox.shop.id)
        price = wallet.price_list_at(outbox.shop.id, clock.now()).prices["GR"]
        faults = wallet.verify(outbox.shop.id) + [str(row) for row in session.execute(_UNEQUAL)]
        still_open = session.execute(_OPEN).all()
    assert faults == [], faults
    assert still_open == []
    assert held.reserved == 0
    states = {str(row.phone): row.state for row in rows}
    assert sorted(states) == sorted(phones)
    assert len(rows) == len(phones)
    for phone, state in states.items():
        if phone not in taken:
            assert state is MessageState.UNCONFIRMED or state in may_stay, (phone, state)
        else:
            expected = state in LEFT or state is MessageState.UNCONFIRMED
            assert expected or (state is MessageState.FAILED and state in may_stay), (phone, state)
    never_left = sum(
        row.segments for row in rows if row.state is MessageState.UNCONFIRMED and str(row.phone) not in taken
    )
    segments = sum(counted_apart(each["text"]) for each in texts) + never_left - refunded
    spent = CREDITS - held.balance
    assert spent == price * segments, f"{spent} credits for {segments} segments to pay for"
    assert spent == sum(row.credits for row in rows)
    progress = outbox.progress(dispatch)
    assert progress.total == len(rows)
    counted = Counter({state: getattr(progress, state.value) for state in MessageState})
    assert +counted == Counter(states.values()), "progress equals the rows"
    return Verdict(states, taken)


# Of each batch, not only of their sum.
_UNEQUAL = text("""
SELECT b.dispatch_id, b.number, b.state FROM batches b JOIN LATERAL (
    SELECT count(*) AS size, count(*) FILTER (WHERE state = 'sent') AS sent,
           count(*) FILTER (WHERE state = 'delivered') AS delivered, count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'skipped') AS skipped,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE state = 'unconfirmed') AS unconfirmed
    FROM messages m WHERE m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
) m ON true
WHERE (b.size, b.sent, b.delivered, b.failed, b.skipped, b.cancelled, b.unconfirmed)
      IS DISTINCT FROM (m.size, m.sent, m.delivered, m.failed, m.skipped, m.cancelled, m.unconfirmed)
""")

_OPEN = text("""
SELECT 'attempt', id FROM attempts WHERE state IN ('claimed', 'calling')
UNION ALL SELECT 'batch', number FROM batches WHERE state IN ('pending', 'claimed')
UNION ALL SELECT 'reservation', id FROM reservations WHERE state = 'open' OR captured + released <> amount
""")


def hear_of_all(outbox: Outbox) -> None:
    """A receipt for each text that Mitto took comes; what they name and we don't know is asked about. (A text whose
    answer was lost, and whose person was texted again, stays unknown for good.)"""
    with db.transaction():
        service.store_receipts([payloads.Receipt(text["messageId"], "Delivered") for text in outbox.mitto.log()])
    _apply_all()
    moment = clock.now()
    for _ in range(5):  # a run asks for so many seconds; what it had no time for is due again later
        moment += timedelta(hours=1)
        with clock.frozen_at(moment):
            service.ask_about_orphans()
            _apply_all()
        with db.transaction() as session:
            if not session.scalar(text("SELECT count(*) FROM receipts WHERE state <> 'applied'")):
                return


def _apply_all() -> None:
    more = 1
    while more:
        with db.transaction():
            more = service.apply_receipts()

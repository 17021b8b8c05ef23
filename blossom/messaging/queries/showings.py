"""What the texts of a dispatch came to so far, side by side: sums over batches and over the counts of links, never over
messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from blossom.links import queries as links
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.rules.texts import Showing
from blossom.platform.db import session

_DISPATCH = text("""
SELECT d.state, d.prepared_at, d.decide_after, d.winner, d.winner_at, d.winner_chosen_by,
       coalesce(b.waiting, 0) AS waiting, coalesce(b.is_through, false) AS is_through, b.last_at
FROM dispatches d
LEFT JOIN LATERAL (
    SELECT sum(size) FILTER (WHERE text_number IS NULL AND state = 'pending') AS waiting,
           bool_and(state IN ('done', 'cancelled')) FILTER (WHERE text_number IS NOT NULL) AS is_through,
           max(recorded_at) FILTER (WHERE text_number IS NOT NULL) AS last_at
    FROM batches b WHERE b.dispatch_id = d.id
) b ON true
WHERE d.shop_id = :shop_id AND d.id = :dispatch_id
""")

_TEXTS = text("""
SELECT t.number, t.source, t.share, t.links_before,
       coalesce(b.people, 0) AS people, coalesce(b.sent, 0) AS sent, coalesce(b.delivered, 0) AS delivered,
       coalesce(b.failed, 0) AS failed
FROM dispatch_texts t
LEFT JOIN (
    SELECT text_number, sum(size) AS people, sum(sent) AS sent, sum(delivered) AS delivered, sum(failed) AS failed
    FROM batches WHERE shop_id = :shop_id AND dispatch_id = :dispatch_id GROUP BY text_number
) b ON b.text_number = t.number
WHERE t.shop_id = :shop_id AND t.dispatch_id = :dispatch_id
ORDER BY t.number
""")


@dataclass(frozen=True)
class TextFigures:
    """One text. `recipients`: all who got it or are to, once there is a winner the rest too; `sent`: those of them whom
    Mitto took it for, without a final word yet; `clicked`: people who have opened a link of it."""

    number: int
    source: str
    share: int
    recipients: int
    sent: int
    delivered: int
    failed: int
    clicked: int

    @property
    def showing(self) -> Showing:
        return Showing(self.sent + self.delivered, self.clicked)


@dataclass(frozen=True)
class Standing:
    """A test of texts. `waiting`: people of the rest. `decides_at`: when the winner is decided by clicks; None while
    the test goes on, where somebody is to choose, and once it is decided (`winner`, `chosen_by`, `chosen_at`)."""

    state: DispatchState
    texts: Sequence[TextFigures]
    waiting: int
    decides_at: datetime | None
    winner: int | None
    chosen_by: str | None
    chosen_at: datetime | None


def standing(shop_id: int, dispatch_id: int) -> Standing | None:
    """How the dispatch's texts do; None for a dispatch of one text, or of another shop. Four statements."""
    values = {"shop_id": shop_id, "dispatch_id": dispatch_id}
    texts = session.execute(_TEXTS, values).all()
    if not texts:
        return None
    found = session.execute(_DISPATCH, values).one()
    return Standing(
        DispatchState(found.state),
        _figures(texts, links.people_by_link(shop_id, dispatch_id)),
        int(found.waiting),
        decides_at=_decides_at(found),
        winner=found.winner,
        chosen_by=found.winner_chosen_by,
        chosen_at=found.winner_at,
    )


def _figures(texts: Sequence[Row[Any]], people: dict[int, int]) -> list[TextFigures]:
    ends = [*(row.links_before for row in texts[1:]), max(people, default=0)]
    return [
        TextFigures(
            row.number,
            row.source,
            row.share,
            int(row.people),
            int(row.sent),
            int(row.delivered),
            int(row.failed),
            clicked=sum(count for number, count in people.items() if row.links_before < number <= end),
        )
        for row, end in zip(texts, ends, strict=True)
    ]


def _decides_at(found: Row[Any]) -> datetime | None:
    if found.winner is not None or found.decide_after is None or not found.is_through or not found.waiting:
        return None
    at: datetime = found.last_at + found.decide_after
    return at

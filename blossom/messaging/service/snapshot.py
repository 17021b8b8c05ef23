"""Fixing an audience: one INSERT … SELECT makes a message for each recipient, grouped in batches by when they are due.

Nobody is decrypted: sealed phones are copied as they are (one purpose, one shop). The cost was summed and reserved
before, in the same transaction; too little credit means that no message is made at all.

Where several texts are tested, chance decides who gets which: people are ranked by a hash that is another one in each
dispatch, and the first so many get text A, the next so many text B. A batch is of one text; those who wait for the
winner have batches of their own, which have none yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Literal

import orjson
import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    cast,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DataError, IntegrityError

from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.models import Dispatch, DispatchText, Message
from blossom.messaging.queries import estimate
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, local_moment, next_allowed
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.rules.texts import people_of
from blossom.messaging.service import deciding, dispatches, freshness
from blossom.platform import clock, config, db
from blossom.platform.db import rows_changed, session
from blossom.platform.errors import BlossomError
from blossom.segments.rules import Audience
from blossom.shops.errors import ShopLeft
from blossom.shops.models import Shop
from blossom.wallet import queries as prices
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit
from blossom.wallet.rules import Reservation

log = structlog.get_logger()

_SLOT = 1_000_000
"""Batch numbers of the i-th due moment begin at i × this, so that a number tells when its batch is due."""

# The people of one due moment stand together, those of one text among them too, and so do those of a batch. Texts take
# turns in the line: none of them has the earlier hours for itself.
_BATCHES = text("""
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id, text_number)
SELECT :dispatch_id, slot.place * :slot + n * :parts + slot.part, :shop_id, 'pending', slot.due_at,
       slot.due_at + make_interval(hours => CAST(:validity_hours AS integer)),
       least(:size, slot.people - n * :size),
       slot.first_id + n * :size, slot.first_id + least((n + 1) * :size, slot.people) - 1, slot.text_number
FROM unnest(CAST(:places AS integer[]), CAST(:in_parts AS integer[]), CAST(:texts AS smallint[]),
            CAST(:due AS timestamptz[]), CAST(:people AS integer[]), CAST(:first_ids AS bigint[]))
     AS slot(place, part, text_number, due_at, people, first_id)
CROSS JOIN LATERAL generate_series(0, (slot.people - 1) / :size) AS n
""")

_SLOTS = text("""
SELECT batch_number / :slot AS place, batch_number % :slot % :parts AS part, count(*) AS people FROM messages
WHERE id BETWEEN :first_id AND :last_id AND dispatch_id = :dispatch_id
GROUP BY 1, 2 ORDER BY 1, 2
""")

_READY = text("""
UPDATE dispatches
SET state = CASE state WHEN 'preparing' THEN 'sending' ELSE state END,
    total = :total, left_out = CAST(:left_out AS jsonb), reservation_id = :reservation_id, prepared_at = :now
WHERE id = :dispatch_id AND state IN ('preparing', 'paused') AND prepared_at IS NULL
RETURNING state
""")


_FAULTS_OF_A_PLAN = (BlossomError, DataError, IntegrityError)
"""What a dispatch itself can be to blame for. All else (a lost connection, a deadlock) passes."""

_UNSENDABLE = "Something in this campaign can't be read any more, perhaps a segment that was deleted. Nothing was sent."


class _Overtaken(Exception):
    """The dispatch was cancelled while its audience was being fixed; nothing of that may stay."""


_LARGE = 100_000
"""An audience up to this size is texted in order of its contacts. A larger one goes in order of its phones' hashes, as
the index that makes a person one text stands: filled all over instead, its pages fall out of the cache and are written
again and again. Measured with a million people, beside three earlier campaigns of theirs: docs/benchmarks.md."""


@dataclass(frozen=True)
class _Place:
    """Where and in which country's rules people are texted."""

    zone: str
    country: str


@dataclass(frozen=True)
class _Parts:
    """How an audience falls into parts: one for each text, and the rest after them if somebody is left over. `ends`:
    how many people, in order of chance, stand before the end of each part but the last, which ends with the audience.
    """

    ends: tuple[int, ...] = ()
    has_rest: bool = False

    @classmethod
    def of(cls, shares: Sequence[int], recipients: int) -> _Parts:
        if not shares:
            return cls()
        ends = tuple(accumulate(people_of(shares, recipients)))
        has_rest = sum(shares) < 100
        return cls(ends if has_rest else ends[:-1], has_rest)

    @property
    def number(self) -> int:
        return len(self.ends) + 1

    def text_of(self, part: int) -> int | None:
        """The number of the text that the part gets; None: the winner."""
        return None if self.has_rest and part == self.number - 1 else part


def prepare_dispatch(shop_id: int, dispatch_id: int) -> bool:
    """Fix the audience and reserve its cost; then its batches may be sent. Whether it was this call that did.

    Another call at the same time, or a second one, changes nothing. Raises nothing that a merchant caused: too little
    credit, or nobody to text, ends the dispatch as failed, with the reason.
    """
    claimed = session.execute(
        text("SELECT pg_try_advisory_xact_lock(hashtext('prepare'), CAST(:id % 2147483647 AS integer))"),
        {"id": dispatch_id},
    ).scalar_one()
    dispatch = session.get(Dispatch, dispatch_id, populate_existing=True)
    if not claimed or dispatch is None or dispatch.state != DispatchState.PREPARING:
        return False
    try:
        with session.begin_nested():
            return _prepare(dispatch)
    except InsufficientCredit as error:
        dispatches.fail_dispatch(shop_id, dispatch_id, error.code, f"{error.message} {error.actionable or ''}".strip())
    except _Overtaken:
        pass
    except _FAULTS_OF_A_PLAN:  # a segment that has gone: tried again, it would be found gone again, for ever
        log.exception("dispatch.unsendable", dispatch_id=dispatch_id, shop_id=shop_id)
        dispatches.fail_dispatch(shop_id, dispatch_id, "unsendable", _UNSENDABLE)
    return False


def _prepare(dispatch: Dispatch) -> bool:
    shop = session.get_one(Shop, dispatch.shop_id)
    if shop.uninstalled_at is not None:  # not held: a large audience takes minutes, and leaving cancels the dispatch
        dispatches.fail_dispatch(shop.id, dispatch.id, "shop_left", str(ShopLeft()))
        return False
    audience = Audience.from_json(dispatch.audience or {})
    if not freshness.is_readable(dispatch, audience):
        return False
    tested = session.scalars(_tested(dispatch)).all()
    sources = [each.source for each in tested] or [dispatch.source]
    texts = [language.compile_text(source, Trigger(dispatch.trigger)) for source in sources]
    price_list = prices.price_list(int(dispatch.price_list_id or 0))
    values = estimate.same_for_all(shop, texts, dispatch.sender)
    found = estimate.survey(shop.id, audience, texts, values, price_list)
    now = clock.now()
    due = _due_moments(dispatch, shop, found.places, now)
    moments = sorted(set(due.values()))
    if found.estimate.recipients == 0 or not moments:
        dispatches.fail_dispatch(
            shop.id, dispatch.id, "no_recipients", "Nobody in this audience has opted in and has a phone number."
        )
        return False
    if found.estimate.recipients > message_ids.MOST_RECIPIENTS:
        dispatches.fail_dispatch(
            shop.id,
            dispatch.id,
            "too_many_recipients",
            f"One campaign reaches at most {message_ids.MOST_RECIPIENTS:,} people. Split the audience by a segment.",
        )
        return False
    held = found.estimate.credits
    free = prices.balance(shop.id).available
    if held > free:  # as the preview has it: people who reached a cap will cost nothing
        capped = estimate.capped(shop.id, Caps(shop.daily_cap, shop.weekly_cap), now)
        held = estimate.estimate_costs(shop.id, audience, texts, values, price_list, capped).credits
    if held > free:  # said before a million rows are written for nothing
        raise InsufficientCredit(needed=held, available=free)
    parts = _Parts.of([each.share for each in tested], found.estimate.recipients)
    if found.estimate.recipients > _LARGE:
        with db.reading_all_of(found.estimate.recipients):
            total = _insert_messages(dispatch, audience, due, moments, parts, now, by="phone_hash")
    else:
        total = _insert_messages(dispatch, audience, due, moments, parts, now, by="contact_id")
    _insert_batches(dispatch, moments, parts, total)
    # The wallet last: whoever records a text of this shop waits for it, and the rows above may take a while.
    reservation = _reserve(dispatch, held, until=moments[-1])
    ready = {
        "dispatch_id": dispatch.id,
        "total": total,
        "left_out": _json(found.left_out),
        "reservation_id": reservation.id if reservation else None,
        "now": now,
    }
    if session.execute(_READY, ready).one_or_none() is None:
        raise _Overtaken
    session.refresh(dispatch)
    if dispatch.winner is not None:  # somebody chose while the audience was being fixed
        deciding.release_rest(dispatch)
    dispatches.nudge_lanes()
    return True


def _tested(dispatch: Dispatch) -> Select[DispatchText]:
    """The texts that it tests, in order; none of a dispatch of one text."""
    of_dispatch = select(DispatchText).where(
        DispatchText.shop_id == dispatch.shop_id, DispatchText.dispatch_id == dispatch.id
    )
    return of_dispatch.order_by(DispatchText.number)


def _reserve(dispatch: Dispatch, credits: int, *, until: datetime) -> Reservation | None:
    """Hold the cost of a dispatch whose last recipients are due at `until`. Raises `InsufficientCredit`."""
    idle = dispatches.held_for(dispatch)
    return wallet.reserve(
        dispatch.shop_id, credits, reference=f"dispatch:{dispatch.id}", expires_at=until + idle, idle_limit=idle
    )


def _due_moments(dispatch: Dispatch, shop: Shop, places: set[tuple[str, str]], now: datetime) -> dict[_Place, datetime]:
    """When each place's people are texted first: at once, at the planned moment, at the local time, or in their
    morning."""
    quiet = QuietHours(shop.quiet_from, shop.quiet_until, shop.quiet_hours_on)
    local_at = datetime.fromisoformat(dispatch.local_at) if dispatch.local_at else None
    due = {}
    for zone, country in places:
        planned = local_moment(local_at.date(), local_at.time(), zone) if local_at else dispatch.not_before
        due[_Place(zone, country)] = next_allowed(max(now, planned or now), zone, country, quiet)
    return due


def _insert_messages(
    dispatch: Dispatch,
    audience: Audience,
    due: dict[_Place, datetime],
    moments: list[datetime],
    parts: _Parts,
    now: datetime,
    *,
    by: Literal["contact_id", "phone_hash"],
) -> int:
    """One message a recipient, in this order; how many. People due at the same moment, and of one part, stand in the
    same batches."""
    people = estimate.reachable(dispatch.shop_id, audience).subquery("reachable")
    part: ColumnElement[int] = literal(0, Integer)
    if parts.number > 1:
        chance = func.sha256(people.c.phone_hash.op("||")(func.int8send(literal(dispatch.id, BigInteger))))
        rank = func.row_number().over(order_by=chance)
        drawn = func.width_bucket(rank - 1, literal(list(parts.ends), ARRAY(BigInteger)))
        people = select(people, drawn.label("part")).subquery("drawn")
        part = people.c.part
    country = func.coalesce(people.c.phone_country, "ZZ")
    slot: ColumnElement[int] = literal(0, Integer)
    joined: FromClause = people
    if len(moments) > 1:
        order = {moment: place for place, moment in enumerate(moments)}
        unnested = (
            func.unnest(
                literal([place.zone for place in due], ARRAY(Text)),
                literal([place.country for place in due], ARRAY(Text)),
                literal([order[moment] for moment in due.values()], ARRAY(Integer)),
            )
            .table_valued("zone", "country", "slot", name="places")
            .render_derived()
        )
        # Somebody of a place that nobody was of a moment ago comes last: never too early, and never lost.
        slot = func.coalesce(unnested.c.slot, literal(len(moments) - 1, Integer))
        joined = people.outerjoin(unnested, and_(unnested.c.zone == people.c.zone, unnested.c.country == country))
    together = [*([slot] if len(moments) > 1 else []), *([part] if parts.number > 1 else [])]
    place = in_turn = func.row_number().over(order_by=[*together, people.c[by]])
    if together:
        in_turn = func.row_number().over(partition_by=together, order_by=people.c[by])
    batch = (in_turn - 1) // cast(config.current().mitto_batch_size, BigInteger)
    number = cast(slot * _SLOT + batch * parts.number + part, Integer)
    rows = select(
        literal(message_ids.of_dispatch(dispatch.id).first - 1, BigInteger) + place,
        literal(dispatch.shop_id, BigInteger),
        literal(dispatch.id, BigInteger),
        number,
        people.c.phone_sealed,
        people.c.phone_hash,
        country,
        people.c.zone,
        literal("pending", Text),
        literal(now),
    ).select_from(joined)
    names = (
        "id", "shop_id", "dispatch_id", "batch_number", "phone_sealed", "phone_hash", "country", "zone", "state",
        "created_at",
    )  # fmt: skip
    return rows_changed(insert(Message).from_select(names, rows, include_defaults=False))


def _insert_batches(dispatch: Dispatch, moments: list[datetime], parts: _Parts, total: int) -> None:
    """The batches that the messages were numbered for. How many are due when, and get which text, is counted from the
    rows: between two statements somebody may have said STOP."""
    stand = message_ids.of_dispatch(dispatch.id)
    keys = {
        "dispatch_id": dispatch.id,
        "first_id": stand.first,
        "last_id": stand.last,
        "slot": _SLOT,
        "parts": parts.number,
    }
    people = {(0, 0): total}
    if len(moments) > 1 or parts.number > 1:
        people = {(row.place, row.part): row.people for row in session.execute(_SLOTS, keys)}
    numbers = list(people.values())
    session.execute(
        _BATCHES,
        {
            "dispatch_id": dispatch.id,
            "shop_id": dispatch.shop_id,
            "slot": _SLOT,
            "size": config.current().mitto_batch_size,
            "validity_hours": config.current().message_validity_hours,
            "parts": parts.number,
            "places": [place for place, _ in people],
            "in_parts": [part for _, part in people],
            "texts": [parts.text_of(part) for _, part in people],
            "due": [moments[place] for place, _ in people],
            "people": numbers,
            "first_ids": [stand.first + before for before in accumulate(numbers, initial=0)][:-1],
        },
    )


def _json(value: dict[str, int]) -> str:
    return orjson.dumps(value).decode()

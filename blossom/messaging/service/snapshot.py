"""Fixing an audience: one INSERT … SELECT makes a message for each recipient, grouped in batches by when they are due.

Nobody is decrypted: sealed phones are copied as they are (one purpose, one shop). The cost was summed and reserved
before, in the same transaction; too little credit means that no message is made at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
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

from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.models import Dispatch, Message
from blossom.messaging.queries import estimate
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, local_moment, next_allowed
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.service import dispatches
from blossom.platform import clock, config
from blossom.platform.db import rows_changed, session
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as prices
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit
from blossom.wallet.rules import Reservation

_SLOT = 1_000_000
"""Batch numbers of the i-th due moment begin at i × this, so that a number tells when its batch is due."""

_BATCHES = text("""
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size)
SELECT :dispatch_id, n.batch_number, :shop_id, 'pending', v.due_at,
       v.due_at + make_interval(hours => CAST(:validity_hours AS integer)), n.size
FROM (
    SELECT batch_number, count(*) AS size FROM messages WHERE dispatch_id = :dispatch_id GROUP BY batch_number
) n
JOIN unnest(CAST(:due AS timestamptz[])) WITH ORDINALITY AS v(due_at, place) ON v.place = n.batch_number / :slot + 1
""")

_READY = text("""
UPDATE dispatches
SET state = CASE state WHEN 'preparing' THEN 'sending' ELSE state END,
    total = :total, left_out = CAST(:left_out AS jsonb), reservation_id = :reservation_id, prepared_at = :now
WHERE id = :dispatch_id AND state IN ('preparing', 'paused') AND prepared_at IS NULL
RETURNING state
""")


class _Overtaken(Exception):
    """The dispatch was cancelled while its audience was being fixed; nothing of that may stay."""


@dataclass(frozen=True)
class _Place:
    """Where and in which country's rules people are texted."""

    zone: str
    country: str


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
    return False


def _prepare(dispatch: Dispatch) -> bool:
    shop = session.get_one(Shop, dispatch.shop_id)
    audience = Audience.from_json(dispatch.audience or {})
    compiled = language.compile_text(dispatch.source, Trigger(dispatch.trigger))
    price_list = prices.price_list(int(dispatch.price_list_id or 0))
    cost = partial(
        estimate.estimate_costs,
        shop.id,
        audience,
        compiled,
        {"shop_name": shop.name, "sender": dispatch.sender},
        price_list,
    )
    expected = cost()
    now = clock.now()
    due = _due_moments(dispatch, shop, audience, now)
    moments = sorted(set(due.values()))
    if expected.recipients == 0 or not moments:
        dispatches.fail_dispatch(
            shop.id, dispatch.id, "no_recipients", "Nobody in this audience has opted in and has a phone number."
        )
        return False
    held = expected.credits
    free = prices.balance(shop.id).available
    if held > free:  # as the preview has it: people who reached a cap will cost nothing
        held = cost(estimate.capped(shop.id, Caps(shop.daily_cap, shop.weekly_cap), now)).credits
    if held > free:  # said before a million rows are written for nothing
        raise InsufficientCredit(needed=held, available=free)
    total = _insert_messages(dispatch, audience, due, moments, now)
    session.execute(
        _BATCHES,
        {
            "dispatch_id": dispatch.id,
            "shop_id": shop.id,
            "due": moments,
            "slot": _SLOT,
            "validity_hours": config.current().message_validity_hours,
        },
    )
    # The wallet last: whoever records a text of this shop waits for it, and the rows above may take a while.
    reservation = _reserve(dispatch, held, until=moments[-1])
    ready = {
        "dispatch_id": dispatch.id,
        "total": total,
        "left_out": _json(estimate.left_out(shop.id, audience)),
        "reservation_id": reservation.id if reservation else None,
        "now": now,
    }
    if session.execute(_READY, ready).one_or_none() is None:
        raise _Overtaken
    session.refresh(dispatch)
    dispatches.nudge_lanes()
    return True


def _reserve(dispatch: Dispatch, credits: int, *, until: datetime) -> Reservation | None:
    """Hold the cost of a dispatch whose last recipients are due at `until`. Raises `InsufficientCredit`."""
    hours = timedelta(hours=config.current().reservation_hours)
    return wallet.reserve(
        dispatch.shop_id, credits, reference=f"dispatch:{dispatch.id}", expires_at=until + hours, idle_limit=hours
    )


def _due_moments(dispatch: Dispatch, shop: Shop, audience: Audience, now: datetime) -> dict[_Place, datetime]:
    """When each place's people are texted first: at once, at the planned moment, at the local time, or in their
    morning."""
    quiet = QuietHours(shop.quiet_from, shop.quiet_until, shop.quiet_hours_on)
    local_at = datetime.fromisoformat(dispatch.local_at) if dispatch.local_at else None
    due = {}
    for place in _places(shop.id, audience):
        planned = local_moment(local_at.date(), local_at.time(), place.zone) if local_at else dispatch.not_before
        due[place] = next_allowed(max(now, planned or now), place.zone, place.country, quiet)
    return due


def _places(shop_id: int, audience: Audience) -> list[_Place]:
    people = estimate.reachable(shop_id, audience).subquery("reachable")
    rows = session.execute(select(people.c.zone, func.coalesce(people.c.phone_country, "ZZ")).distinct())
    return [_Place(*row) for row in rows]


def _insert_messages(
    dispatch: Dispatch, audience: Audience, due: dict[_Place, datetime], moments: list[datetime], now: datetime
) -> int:
    """One message a recipient; how many. People due at the same moment stand in the same batches."""
    people = estimate.reachable(dispatch.shop_id, audience).subquery("reachable")
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
        in_turn = func.row_number().over(partition_by=slot, order_by=people.c.contact_id)
    else:
        in_turn = func.row_number().over(order_by=people.c.contact_id)
    number = cast(slot * _SLOT + (in_turn - 1) // cast(config.current().mitto_batch_size, BigInteger), Integer)
    rows = select(
        literal(dispatch.shop_id, BigInteger),
        literal(dispatch.id, BigInteger),
        number,
        people.c.contact_id,
        people.c.phone_sealed,
        people.c.phone_hash,
        country,
        people.c.zone,
        literal("pending", Text),
        literal(now),
    ).select_from(joined)
    names = (
        "shop_id", "dispatch_id", "batch_number", "contact_id", "phone_sealed", "phone_hash", "country", "zone",
        "state", "created_at",
    )  # fmt: skip
    return rows_changed(insert(Message).from_select(names, rows, include_defaults=False))


def _json(value: dict[str, int]) -> str:
    return orjson.dumps(value).decode()

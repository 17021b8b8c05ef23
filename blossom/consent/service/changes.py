"""Changing consent: one phone or thousands, each change with its event. The only place that writes these tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from blossom.consent import rules
from blossom.consent.rules import Deed, Keyword, Refusal, Source, Standing, State
from blossom.consent.service import owing
from blossom.platform import bulk, clock
from blossom.platform.db import session


@dataclass(frozen=True)
class Change:
    """What a deed came to: the state now, and why nothing changed if nothing did."""

    state: State
    refused: Refusal | None = None

    @property
    def changed(self) -> bool:
        return self.refused is None


@dataclass(frozen=True)
class Step:
    """One deed on one phone, with its proof. `occurred_at` (aware) None, or one still to come, means now."""

    phone_hash: bytes
    deed: Deed
    source: Source
    contact_id: int | None = None
    occurred_at: datetime | None = None
    wording: str | None = None  # what the person read
    ip: str | None = None
    user_agent: str | None = None
    actor: str | None = None  # who acted, when it was not the person
    details: Mapping[str, Any] = field(default_factory=dict)
    known_to_shopify: bool = False  # it comes from there, so nobody has to be told


def opt_in(shop_id: int, phone_hash: bytes, *, source: Source, **proof: Any) -> Change:
    """Record that the person agreed. `proof`: the fields of `Step`. Only the person can undo an opt-out."""
    return apply(shop_id, [Step(phone_hash, Deed.OPT_IN, source, **proof)])[0]


def ask(shop_id: int, phone_hash: bytes, *, source: Source, **proof: Any) -> Change:
    """Record that a confirmation was asked for (double opt-in)."""
    return apply(shop_id, [Step(phone_hash, Deed.ASK, source, **proof)])[0]


def opt_out(shop_id: int, phone_hash: bytes, *, source: Source, **proof: Any) -> Change:
    """Record that the person wants no texts. Needs no contact, is never refused but for being so already."""
    return apply(shop_id, [Step(phone_hash, Deed.OPT_OUT, source, **proof)])[0]


def record_keyword(shop_id: int, phone_hash: bytes, keyword: Keyword, **proof: Any) -> Change | None:
    """What a person's text does: STOP opts out, START opts in, HELP changes nothing (None)."""
    if keyword is Keyword.HELP:
        return None
    deed = Deed.OPT_OUT if keyword is Keyword.STOP else Deed.OPT_IN
    return apply(shop_id, [Step(phone_hash, deed, Source.KEYWORD, **proof)])[0]


def apply(shop_id: int, steps: Sequence[Step]) -> list[Change]:
    """Do each step, within the caller's transaction, one after the other; results in the same order.

    Rows are locked in the order of their hashes, so that two callers never wait for each other in a circle. A refused
    step writes nothing: no event, no row.
    """
    if not steps:
        return []
    now = clock.now()
    standings = lock_standings(shop_id, {step.phone_hash for step in steps})
    changes, events = _walk(standings, steps, now)
    lost = _insert_new(shop_id, [last for last in _last(events) if last["phone_hash"] not in standings])
    if lost:
        # Somebody else gave these phones their first event meanwhile: start from what they wrote.
        standings |= lock_standings(shop_id, lost)
        changes, events = _walk(standings, steps, now)
    _update(shop_id, [last for last in _last(events) if last["phone_hash"] in standings])
    _insert_events(shop_id, events)
    owing.owe(shop_id, {e["phone_hash"]: _urgency(e) for e in events if not e["known_to_shopify"]}, now)
    return changes


def foresee(shop_id: int, steps: Sequence[Step]) -> list[Change]:
    """What `apply` would come to for each step, from where the phones stand now. Changes nothing, locks nothing."""
    if not steps:
        return []
    hashes = sorted({step.phone_hash for step in steps})
    rows = session.execute(_READ, {"shop": shop_id, "phone_hashes": bulk.bytea_array(hashes)})
    return _walk(_standings(rows), steps, clock.now())[0]


def _urgency(event: dict[str, Any]) -> rules.Urgency:
    return rules.urgency(State(event["to_state"]), listed=Source(event["source"]) in rules.IN_BULK)


def _last(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last event of each phone."""
    return list({event["phone_hash"]: event for event in events}.values())


def _walk(
    known: Mapping[bytes, Standing], steps: Sequence[Step], now: datetime
) -> tuple[list[Change], list[dict[str, Any]]]:
    """What each step comes to from these standings, and the events of those that change something."""
    standings = dict(known)
    changes: list[Change] = []
    events: list[dict[str, Any]] = []
    for step in steps:
        before = standings.get(step.phone_hash, Standing())
        occurred_at = min(step.occurred_at or now, now)  # nobody agrees in the future, whatever a list says
        after = rules.transition(before, rules.Event(step.deed, step.source, occurred_at))
        if isinstance(after, Refusal):
            changes.append(Change(before.state, after))
            continue
        standings[step.phone_hash] = Standing(after, step.source, occurred_at)
        changes.append(Change(after))
        events.append(
            {
                "position": len(events),
                "phone_hash": step.phone_hash,
                "contact_id": step.contact_id,
                "from_state": before.state.value,
                "to_state": after.value,
                "source": step.source.value,
                "occurred_at": occurred_at,
                "recorded_at": now,
                "wording": step.wording,
                "ip": step.ip,
                "user_agent": rules.kept_user_agent(step.user_agent),
                "actor": step.actor,
                "details": dict(step.details),
                "known_to_shopify": step.known_to_shopify or step.source is Source.SHOPIFY,
            }
        )
    return changes, events


def lock_standings(shop_id: int, phone_hashes: set[bytes]) -> dict[bytes, Standing]:
    """Where these phones stand, of those that have a row; locked until the transaction ends, in the order of hashes."""
    rows = session.execute(_LOCK, {"shop": shop_id, "phone_hashes": bulk.bytea_array(sorted(phone_hashes))})
    return _standings(rows)


def _standings(rows: Iterable[Row[Any]]) -> dict[bytes, Standing]:
    return {r.phone_hash: Standing(State(r.state), Source(r.source), r.changed_at) for r in rows}


def _insert_new(shop_id: int, events: list[dict[str, Any]]) -> set[bytes]:
    """First rows of phones; gives back those that somebody else was quicker with."""
    if not events:
        return set()
    won = session.scalars(_INSERT_NEW, {"shop": shop_id, "rows": bulk.json_rows(events)})
    return {event["phone_hash"] for event in events} - set(won)


def _update(shop_id: int, events: list[dict[str, Any]]) -> None:
    if events:
        session.execute(_UPDATE, {"shop": shop_id, "rows": bulk.json_rows(events)})


def _insert_events(shop_id: int, events: list[dict[str, Any]]) -> None:
    if events:
        session.execute(_INSERT_EVENTS, {"shop": shop_id, "rows": bulk.json_rows(events)})


_PROBED = """
    SELECT known.* FROM unnest(CAST(:phone_hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, state, source, changed_at FROM consents
        WHERE shop_id = :shop AND phone_hash = given.phone_hash {}
    ) AS known
    """
_LOCK = text(_PROBED.format("FOR UPDATE"))
_READ = text(_PROBED.format("OFFSET 0"))
_INSERT_NEW = text(
    """
    INSERT INTO consents (shop_id, phone_hash, state, changed_at, source, contact_id)
    SELECT :shop, decode(phone_hash, 'hex'), to_state, occurred_at, source, contact_id
    FROM json_to_recordset(CAST(:rows AS json)) AS given(
        phone_hash text, to_state text, occurred_at timestamptz, source text, contact_id bigint
    )
    ORDER BY phone_hash
    ON CONFLICT (shop_id, phone_hash) DO NOTHING RETURNING phone_hash
    """
)
_UPDATE = text(
    """
    UPDATE consents SET state = to_state, changed_at = occurred_at, source = given.source,
        contact_id = coalesce(given.contact_id, consents.contact_id)
    FROM json_to_recordset(CAST(:rows AS json)) AS given(
        phone_hash text, to_state text, occurred_at timestamptz, source text, contact_id bigint
    )
    WHERE consents.shop_id = :shop AND consents.phone_hash = decode(given.phone_hash, 'hex')
    """
)
_INSERT_EVENTS = text(
    """
    INSERT INTO consent_events (shop_id, phone_hash, contact_id, from_state, to_state, source, occurred_at,
        recorded_at, wording, ip, user_agent, actor, details)
    SELECT :shop, decode(phone_hash, 'hex'), contact_id, from_state, to_state, source, occurred_at,
        recorded_at, wording, ip, user_agent, actor, details
    FROM json_to_recordset(CAST(:rows AS json)) AS given(
        position integer, phone_hash text, contact_id bigint, from_state text, to_state text, source text,
        occurred_at timestamptz, recorded_at timestamptz, wording text, ip text, user_agent text, actor text,
        details jsonb
    )
    ORDER BY position
    """
)

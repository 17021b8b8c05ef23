"""Forms that shoppers send, and double opt-in.

A form is stored whatever its number (`receive_request`), and what comes of it is found out later by a job
(`settle_request`): so neither the answer nor the time that it takes tells a stranger whether the number is known. The
text that asks to confirm is sent by the caller, since consent stands below messaging.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from blossom.audit import service as audit
from blossom.consent import queries, rules
from blossom.consent.models import OptInRequest
from blossom.consent.rules import Deed, Outcome, Source, State
from blossom.consent.service.changes import Change, Step, apply
from blossom.consent.service.people import contact_for
from blossom.contacts.rules import Phone
from blossom.platform import clock, crypto
from blossom.platform.db import lock_for_transaction, rows_changed, session
from blossom.shops import queries as shops

CODE_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's: no i, l, o, u, which are misread."""

CODE_LENGTH = 16
"""80 bits, for one day, behind a rate limit."""


@dataclass(frozen=True)
class Asked:
    """Whom to send the text that asks to confirm, and the code in its link."""

    phone: str
    locale: str
    path_prefix: str
    code: str
    opted_out: bool  # then this is the one text that they may get, since the form asks for it


@dataclass(frozen=True)
class Confirmable:
    """What a person confirms, in which language."""

    phone_hash: bytes
    locale: str
    wording: str


Ask = Callable[[Asked], int | Outcome]
"""Sends that text: the id of its dispatch, or why it can't be sent."""


def receive_request(
    shop_id: int,
    phone: Phone,
    *,
    form: str,
    locale: str,
    path_prefix: str,
    wording: str,
    ip: str | None,
    user_agent: str | None,
) -> int | None:
    """Store a form in which the person agreed to `wording`; its id, for a job that calls `settle_request`.

    `form`: the form's own unguessable name. The same form with the same number again is no new one: None.
    """
    cipher = crypto.for_shop(shop_id)
    return session.scalar(
        insert(OptInRequest)
        .values(
            shop_id=shop_id,
            form_hash=cipher.lookup(f"form\x1f{form}\x1f{phone.e164}"),
            phone_sealed=cipher.seal(phone.e164, "phone"),
            phone_hash=cipher.lookup(phone.e164),
            phone_country=phone.country,
            locale=locale,
            path_prefix=path_prefix,
            wording=wording,
            ip=ip,
            user_agent=rules.kept_user_agent(user_agent),
            requested_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["shop_id", "form_hash"])
        .returning(OptInRequest.id)
    )


def settle_request(shop_id: int, request_id: int, ask: Ask) -> Outcome | None:
    """Find out what comes of a form, once, in the caller's transaction. None: it is settled, or in other hands.

    Consent given in the form counts from when it was sent, so a STOP that came since stays.
    """
    request = session.scalars(
        select(OptInRequest)
        .where(OptInRequest.shop_id == shop_id, OptInRequest.id == request_id, OptInRequest.outcome.is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if request is None:
        return None
    # Two forms with one number in the hands of two workers: one waits, and then sees that the other has asked.
    lock_for_transaction(f"opt-in in {shop_id}", int.from_bytes(request.phone_hash[:4], signed=True))
    outcome = _settle(request, ask, clock.now())
    if outcome is not Outcome.ASKED:
        _close(request, outcome)
    session.flush()
    return outcome


def confirm(shop_id: int, code: str, *, ip: str | None, user_agent: str | None) -> Change | None:
    """The phone's owner pressed the button behind the link. Pressed again, it changes nothing and answers the same.

    None: the code is unknown, too old, another shop's, or older than an opt-out.
    """
    request = queries.request_by_code(shop_id, code, clock.now(), lock=True)
    if request is None:
        return None
    if request.outcome == Outcome.CONFIRMED:
        return Change(State.OPTED_IN, rules.Refusal.ALREADY)
    assert request.asked_at is not None, "an asked one has its moment"
    phone = Phone(str(request.phone), request.phone_country)
    asked = {"double_opt_in": True, "asked_at": request.asked_at.isoformat(), "form_ip": request.ip}
    change = _opt_in(request, phone, clock.now(), ip=ip, user_agent=user_agent, **asked)
    request.confirmed_at = clock.now()
    _close(request, Outcome.CONFIRMED)
    session.flush()
    return change


def open_confirmation(shop_id: int, code: str) -> Confirmable | None:
    """What this code would confirm now, or has confirmed already; None as `confirm`. Changes nothing."""
    request = queries.request_by_code(shop_id, code, clock.now())
    return None if request is None else Confirmable(request.phone_hash, request.locale, request.wording)


def lapse_requests(limit: int = 500) -> int:
    """Let go of what was asked and never confirmed; how many. The number is forgotten, and nobody stays pending."""
    now = clock.now()
    late = session.scalars(
        select(OptInRequest)
        .where(OptInRequest.outcome == Outcome.ASKED, OptInRequest.expires_at <= now)
        .order_by(OptInRequest.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for request in sorted(late, key=lambda each: (each.shop_id, each.phone_hash)):
        _close(request, Outcome.LAPSED)
        if not queries.is_asked(request.shop_id, request.phone_hash, now):
            apply(request.shop_id, [Step(request.phone_hash, Deed.LAPSE, Source.STOREFRONT, actor="system")])
    session.flush()
    return len(late)


def prune_requests(limit: int = 5_000) -> int:
    """Delete forms that were settled long ago; how many."""
    old = (
        select(OptInRequest.id)
        .where(
            OptInRequest.outcome != Outcome.ASKED,
            OptInRequest.requested_at < clock.now() - rules.KEPT_FOR,
            OptInRequest.dispatch_id.is_(None),
        )
        .order_by(OptInRequest.requested_at)
        .limit(limit)
    )
    return rows_changed(delete(OptInRequest).where(OptInRequest.id.in_(old)))


def note_forgotten(shop_id: int, request_id: int) -> None:
    """The text with the code was forgotten where it stood."""
    session.execute(
        update(OptInRequest)
        .where(OptInRequest.shop_id == shop_id, OptInRequest.id == request_id)
        .values(dispatch_id=None)
        .execution_options(synchronize_session=False)
    )


def _settle(request: OptInRequest, ask: Ask, now: datetime) -> Outcome:
    shop = shops.get_shop(request.shop_id)
    if shop.uninstalled_at is not None:
        return Outcome.SHOP_LEFT
    standing = queries.standing_of(request.shop_id, request.phone_hash)
    step = rules.next_step(
        standing,
        double_opt_in=queries.settings(request.shop_id).double_opt_in,
        asked_at=queries.asked_at(request.shop_id, request.phone_hash, now - rules.A_MONTH),
        now=now,
    )
    if step is Outcome.OPTED_IN:
        phone = Phone(str(request.phone), request.phone_country)
        change = _opt_in(request, phone, request.requested_at, ip=request.ip, user_agent=request.user_agent)
        return step if change.state is State.OPTED_IN else Outcome.OPTED_OUT_STANDS
    if step is not Outcome.ASKED:
        return step
    if now - request.requested_at > rules.SETTLE_WITHIN:
        return Outcome.TOO_LATE
    if not rules.may_ask_more(*queries.asked_and_confirmed(request.shop_id, now - rules.A_DAY)):
        return Outcome.TOO_MANY_ASKED
    return _ask(request, ask, now, opted_out=standing.state is State.OPTED_OUT)


def _ask(request: OptInRequest, ask: Ask, now: datetime, *, opted_out: bool) -> Outcome:
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    sent = ask(Asked(str(request.phone), request.locale, request.path_prefix, code, opted_out))
    if isinstance(sent, Outcome):
        return sent
    request.outcome, request.asked_at, request.dispatch_id = Outcome.ASKED.value, now, sent
    request.code_hash, request.expires_at = rules.code_hash(code), now + rules.CONFIRM_WITHIN
    proof = Step(
        request.phone_hash,
        Deed.ASK,
        Source.STOREFRONT,
        wording=request.wording,
        ip=request.ip,
        user_agent=request.user_agent,
        details={"request_id": request.id},
    )
    apply(request.shop_id, [proof])
    return Outcome.ASKED


def _opt_in(
    request: OptInRequest, phone: Phone, at: datetime, *, ip: str | None, user_agent: str | None, **details: object
) -> Change:
    """The person agreed at `at`: a contact if there is none yet, the event, and an entry in the trail."""
    contact_id = contact_for(request.shop_id, phone, request.locale)
    (change,) = apply(
        request.shop_id,
        [
            Step(
                request.phone_hash,
                Deed.OPT_IN,
                Source.STOREFRONT,
                contact_id=contact_id,
                occurred_at=at,
                wording=request.wording,
                ip=ip,
                user_agent=user_agent,
                details={"request_id": request.id, **details},
            )
        ],
    )
    if change.changed:
        audit.record(
            request.shop_id,
            "consent.opted_in",
            actor="shopper",
            subject_type="contact",
            subject_id=contact_id,
            details={"by": "form", "double_opt_in": "double_opt_in" in details},
        )
    return change


def _close(request: OptInRequest, outcome: Outcome) -> None:
    request.outcome = outcome.value
    request.phone_sealed = None

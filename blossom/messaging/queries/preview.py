"""What a campaign will do, before it does it: whom it reaches, its cost, how it reads, what stands against it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Select, func, select

from blossom.contacts.models import Contact
from blossom.message_templates.errors import MissingValue, RenderedEmpty, RenderedTooLong
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.values import full_name
from blossom.messaging.queries import estimate
from blossom.messaging.queries.estimate import Estimate
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, local_moment, next_allowed
from blossom.platform.db import session
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import Balance

SAMPLES = 3

People: TypeAlias = Select[*tuple[Any, ...]]


@dataclass(frozen=True)
class Sample:
    """The text as a real recipient would get it. The phone is masked but for its end."""

    contact_id: int
    phone_masked: str
    text: str
    segments: int
    encoding: str


@dataclass(frozen=True)
class Objection:
    """Why it can't be sent, in words for the merchant."""

    code: str
    message: str
    actionable: str


@dataclass(frozen=True)
class Preview:
    """`left_out`: reason → people who get nothing. `put_off`: people who are asleep now, by when they may be texted.

    `first_at`, `last_at`: the first and the last recipient's moment, UTC; None without recipients.
    """

    estimate: Estimate
    left_out: dict[str, int]
    samples: list[Sample]
    objections: list[Objection]
    credit: Balance
    first_at: datetime | None
    last_at: datetime | None
    put_off: dict[datetime, int]

    @property
    def can_send(self) -> bool:
        return not self.objections


def preview(
    shop_id: int,
    audience: Audience,
    source: str,
    sender: str,
    *,
    now: datetime,
    not_before: datetime | None = None,
    local_at: datetime | None = None,
) -> Preview:
    """Everything that the confirmation shows. Raises `TextError` for a text that can't be rendered."""
    shop = session.get_one(Shop, shop_id)
    compiled = language.compile_text(source, Trigger.CAMPAIGN)
    values = {"shop_name": shop.name, "sender": sender, **compiled.stand_ins(shops.proxy_address(shop_id))}
    planned = max(now, not_before or now)
    capped = estimate.capped(shop_id, Caps(shop.daily_cap, shop.weekly_cap), planned)
    prices = wallet.price_list_at(shop_id, now)
    expected = estimate.estimate_costs(shop_id, audience, compiled, values, prices, capped)
    credit = wallet.balance(shop_id)
    people = estimate.reachable(shop_id, audience, capped)
    due = _due(shop, people, now, not_before, local_at)
    left_out = estimate.left_out(shop_id, audience)
    if capped is not None and (number := estimate.count_capped(shop_id, audience, capped)):
        left_out["capped"] = number
    return Preview(
        estimate=expected,
        left_out=left_out,
        samples=_samples(shop_id, people, compiled, values),
        objections=_objections(expected, compiled, credit),
        credit=credit,
        first_at=min(due, default=None),
        last_at=max(due, default=None),
        put_off={moment: number for moment, number in sorted(due.items()) if local_at is None and moment > planned},
    )


def _due(
    shop: Shop, recipients: People, now: datetime, not_before: datetime | None, local_at: datetime | None
) -> Counter[datetime]:
    """Due moment → recipients."""
    people = recipients.subquery("reachable")
    country = func.coalesce(people.c.phone_country, "ZZ")
    quiet = QuietHours(shop.quiet_from, shop.quiet_until, shop.quiet_hours_on)
    due: Counter[datetime] = Counter()
    for zone, code, number in session.execute(
        select(people.c.zone, country, func.count()).group_by(people.c.zone, country)
    ):
        planned = local_moment(local_at.date(), local_at.time(), zone) if local_at else not_before
        due[next_allowed(max(now, planned or now), zone, code, quiet)] += number
    return due


def _samples(shop_id: int, recipients: People, compiled: language.CompiledText, values: dict[str, str]) -> list[Sample]:
    """The first few recipients' texts."""
    people = recipients.subquery("reachable")
    chosen = select(people.c.contact_id).order_by(people.c.contact_id).limit(SAMPLES * 3)
    samples: list[Sample] = []
    for contact in session.scalars(
        select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_(chosen)).order_by(Contact.id)
    ):
        names = {
            "first_name": contact.first_name,
            "last_name": contact.last_name,
            "full_name": full_name(contact.first_name, contact.last_name),
        }
        try:
            text = compiled.render({**values, **names})
        except (MissingValue, RenderedTooLong, RenderedEmpty):
            continue
        size = segments.count(text)
        samples.append(Sample(contact.id, _masked(contact.phone), text, size.segments, size.encoding.value))
        if len(samples) == SAMPLES:
            break
    return samples


def _masked(phone: str | None) -> str:
    return f"{phone[:3]}…{phone[-3:]}" if phone else ""


def _objections(expected: Estimate, compiled: language.CompiledText, credit: Balance) -> list[Objection]:
    found = []
    if expected.recipients == 0:
        found.append(
            Objection(
                "no_recipients",
                "Nobody in this audience has opted in and has a phone number.",
                "Choose another audience, or gather consent first.",
            )
        )
    if compiled.unprovided:
        names = ", ".join(sorted({use.variable for use in compiled.unprovided}))
        found.append(
            Objection(
                "missing_default",
                f"Some people have no value for {names}.",
                "Add what to say instead, as in {{ first_name | default: 'there' }}.",
            )
        )
    if expected.credits > credit.available:
        missing = expected.credits - credit.available
        found.append(
            Objection(
                "insufficient_credit",
                f"It costs {expected.credits} credits and {credit.available} are free: {missing} are missing.",
                "Top up, or choose a smaller audience.",
            )
        )
    return found

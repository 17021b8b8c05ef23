"""What a campaign will do, before it does it: whom it reaches, its cost, how it reads, what stands against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select

from blossom.contacts.models import Contact
from blossom.message_templates.errors import MissingValue, RenderedEmpty, RenderedTooLong
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.language import CompiledText
from blossom.message_templates.rules.values import full_name
from blossom.messaging.queries import census, estimate
from blossom.messaging.queries.census import Census
from blossom.messaging.queries.estimate import Alike, Estimate, Texts
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, local_moment, next_allowed
from blossom.messaging.rules.texts import people_of
from blossom.platform.db import session
from blossom.platform.languages import noted
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.errors import InsufficientCredit
from blossom.wallet.rules import Balance, PriceList

SAMPLES = 3


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
class TextSums:
    """One of several texts. `share`: per cent of the audience, `people`: so many that it is tried on. `of_all`: what it
    would take if everybody got it. `sample`: as one recipient gets it."""

    number: int
    share: int
    people: int
    of_all: Estimate
    sample: Sample | None

    @property
    def credits(self) -> int:
        """What trying it costs, about: who gets it is left to chance."""
        if not self.of_all.recipients:
            return 0
        return -(-self.of_all.credits * self.people // self.of_all.recipients)


@dataclass(frozen=True)
class Preview:
    """`left_out`: reason → people who get nothing. `put_off`: people who are asleep now, by when they may be texted.

    `first_at`, `last_at`: the first and the last recipient's moment, UTC; None without recipients. `texts`: each of
    several; `estimate` then is the most that they can take.
    """

    estimate: Estimate
    left_out: dict[str, int]
    samples: list[Sample]
    objections: list[Objection]
    credit: Balance
    first_at: datetime | None
    last_at: datetime | None
    put_off: dict[datetime, int]
    texts: Sequence[TextSums] = ()

    @property
    def can_send(self) -> bool:
        return not self.objections


def preview(
    shop_id: int,
    audience: Audience,
    source: str,
    sender: str,
    *,
    others: Sequence[str] = (),
    shares: Sequence[int] = (),
    now: datetime,
    not_before: datetime | None = None,
    local_at: datetime | None = None,
) -> Preview:
    """Everything that the confirmation shows, counted now. `others`: further texts that are tested, `shares` those of
    all texts, in per cent. Raises `TextError` for a text that can't be rendered."""
    shop = session.get_one(Shop, shop_id)
    texts = [language.compile_text(each, Trigger.CAMPAIGN) for each in (source, *others)]
    caps = Caps(shop.daily_cap, shop.weekly_cap)
    counted = census.take(shop_id, audience, caps, now=now, planned=max(now, not_before or now))
    seen = of_census(shop, counted, texts, sender, shares=shares, now=now, not_before=not_before, local_at=local_at)
    return replace(seen, samples=_first_texts(shop, audience, texts[0], sender, caps, max(now, not_before or now)))


def of_census(
    shop: Shop,
    counted: Census,
    texts: Texts,
    sender: str,
    *,
    shares: Sequence[int] = (),
    now: datetime,
    not_before: datetime | None = None,
    local_at: datetime | None = None,
) -> Preview:
    """The same of an audience that was counted before, without samples: nobody is read but who stands for each of
    several texts. Raises `NotFound` without a price list."""
    prices = wallet.price_list_at(shop.id, now)
    expected = summed(shop, counted, texts, sender, prices)
    credit = wallet.balance_if_any(shop.id)
    planned = max(now, not_before or now)
    due = due_moments(shop, counted.places(), now, not_before, local_at)
    return Preview(
        estimate=expected,
        left_out=counted.left_out,
        samples=[],
        objections=_objections(expected, texts, credit),
        credit=credit,
        first_at=min(due, default=None),
        last_at=max(due, default=None),
        put_off={moment: number for moment, number in sorted(due.items()) if local_at is None and moment > planned},
        texts=_each_text(shop, counted, texts, shares, sender, prices) if shares else [],
    )


def _each_text(
    shop: Shop, counted: Census, texts: Texts, shares: Sequence[int], sender: str, prices: PriceList
) -> list[TextSums]:
    someone = some_contacts(shop.id, [group.someone for group in counted.groups[:1]])
    people = people_of(shares, counted.recipients)
    return [
        TextSums(
            number=number,
            share=shares[number],
            people=people[number],
            of_all=summed(shop, counted, [compiled], sender, prices),
            sample=sample_of(someone[0], compiled, values_for_all(shop, compiled, sender)) if someone else None,
        )
        for number, compiled in enumerate(texts)
    ]


def summed(shop: Shop, counted: Census, texts: Texts, sender: str, prices: PriceList) -> Estimate:
    """What the text costs the audience that was counted; of several texts, the dearest for each person."""
    values = estimate.same_for_all(shop, texts, sender)
    sized = estimate.sized_names(texts)
    alike: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for group in counted.groups:
        alike[group.country, tuple(getattr(group, f"{name}_size") for name in sized)] += group.people
    groups = [Alike(country, people, sizes) for (country, sizes), people in alike.items()]
    return estimate.total(groups, sized, texts, values, prices)


def values_for_all(shop: Shop, compiled: CompiledText, sender: str) -> dict[str, str]:
    """What is the same for everybody who gets the text, and for links what has their size."""
    return estimate.same_for_all(shop, [compiled], sender)


def due_moments(
    shop: Shop,
    places: Mapping[tuple[str, str], int],
    now: datetime,
    not_before: datetime | None,
    local_at: datetime | None,
) -> Counter[datetime]:
    """Due moment → recipients. `places`: (zone, country) → recipients."""
    quiet = QuietHours(shop.quiet_from, shop.quiet_until, shop.quiet_hours_on)
    due: Counter[datetime] = Counter()
    for (zone, country), number in places.items():
        planned = local_moment(local_at.date(), local_at.time(), zone) if local_at else not_before
        due[next_allowed(max(now, planned or now), zone, country, quiet)] += number
    return due


def _first_texts(
    shop: Shop, audience: Audience, compiled: CompiledText, sender: str, caps: Caps, planned: datetime
) -> list[Sample]:
    """The first few recipients' texts."""
    people = estimate.reachable(shop.id, audience, estimate.capped(shop.id, caps, planned)).subquery("reachable")
    chosen = session.scalars(select(people.c.contact_id).order_by(people.c.contact_id).limit(SAMPLES * 3)).all()
    values = values_for_all(shop, compiled, sender)
    samples = [sample for contact in some_contacts(shop.id, chosen) if (sample := sample_of(contact, compiled, values))]
    return samples[:SAMPLES]


def some_contacts(shop_id: int, contact_ids: Collection[int]) -> list[Contact]:
    """Those of them that the shop has, by id."""
    return list(
        session.scalars(
            select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_(contact_ids)).order_by(Contact.id)
        )
    )


def names_of(contact: Contact) -> dict[str, str | None]:
    """What a text says of this very person."""
    first, last = contact.first_name, contact.last_name
    return {"first_name": first, "last_name": last, "full_name": full_name(first, last)}


def sample_of(contact: Contact, compiled: CompiledText, values: dict[str, str]) -> Sample | None:
    """The text as this contact gets it; None if it can't be made for them."""
    try:
        text = compiled.render({**values, **names_of(contact)})
    except (MissingValue, RenderedTooLong, RenderedEmpty):
        return None
    size = segments.count(text)
    return Sample(contact.id, masked(contact.phone), text, size.segments, size.encoding.value)


def masked(phone: str | None) -> str:
    """A number by its ends."""
    return f"{phone[:3]}…{phone[-3:]}" if phone else ""


def _objections(expected: Estimate, texts: Texts, credit: Balance) -> list[Objection]:
    found = []
    if expected.recipients == 0:
        found.append(
            Objection(
                "no_recipients",
                noted("Nobody in this audience has opted in and has a phone number."),
                noted("Choose another audience, or gather consent first."),
            )
        )
    if names := ", ".join(sorted({use.variable for compiled in texts for use in compiled.unprovided})):
        found.append(
            Objection(
                "missing_default",
                noted("Some people have no value for %(names)s.", names=names),
                noted("Add what to say instead, as in {{ first_name | default: 'there' }}."),
            )
        )
    if expected.credits > credit.available:
        refused = InsufficientCredit(expected.credits, credit.available)
        found.append(Objection(refused.code, refused.message, refused.actionable or ""))
    return found

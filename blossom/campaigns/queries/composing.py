"""What the compose page shows of a text while it is typed: how it reads, what it costs, whom it reaches, and when.

All by the same rules as the API's preview and the sending: `message_templates.rules.preview` renders, the linter
judges, `messaging.queries.previewing` sums. What is left is to put that side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from blossom.campaigns.queries import counting
from blossom.campaigns.rules.schedule import Schedule
from blossom.contacts import queries as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.models import Contact
from blossom.contacts.rules import normalise_phone
from blossom.message_templates.errors import RenderError
from blossom.message_templates.rules import cures, language, opt_out, segments
from blossom.message_templates.rules.catalogue import Trigger, examples
from blossom.message_templates.rules.cures import CureOffer
from blossom.message_templates.rules.language import CompiledText
from blossom.message_templates.rules.mending import Mend, mend
from blossom.message_templates.rules.preview import Preview as TextPreview
from blossom.message_templates.rules.preview import preview as preview_text
from blossom.message_templates.rules.values import Value
from blossom.messaging import queries as messaging
from blossom.messaging.queries import previewing
from blossom.messaging.queries.census import Census
from blossom.messaging.rules.quiet_hours import QuietHours, next_allowed, open_minutes, zone_of
from blossom.platform.languages import noted
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet

PLACES_DRAWN = 4
"""Of the places where most recipients are, so many get a strip of hours."""


class Person(NamedTuple):
    """Whose text is shown. `contact_id` None: nobody's, with example values. `known_by`: why they are in the list."""

    contact_id: int | None
    name: str
    phone: str
    known_by: str = ""


class Place(NamedTuple):
    """Where recipients are, and when they would get the text. `spans`, `planned_at`: minutes of their day."""

    zone: str
    country: str
    people: int
    day: datetime
    spans: list[tuple[int, int]]
    planned_at: int
    goes_at: datetime
    waits: bool


@dataclass(frozen=True)
class Look:
    """`mends`: of each finding of the text, in order. `census` None: nobody chosen, or not counted yet (`is_counting`).
    `sums` None: that, or the text is faulty."""

    shop: Shop
    text: TextPreview
    person: Person
    people: list[Person]
    mends: list[Mend | None]
    offers: list[CureOffer]
    census: Census | None
    is_counting: bool
    sums: messaging.Preview | None
    places: list[Place]


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. `person`: whose text to show, of those offered; `somebody`: a contact to offer and show
    whether they are in the audience or not. `word`: what people without a value may read instead."""

    body: str
    audience: Audience | None
    schedule: Schedule | None
    person: int | None = None
    somebody: int | None = None
    as_example: bool = False
    word: str = "there"


def look(shop_id: int, asked: Asked, now: datetime) -> Look:
    """Look at a text in the making. Raises `NotFound` for a segment that is not there."""
    shop = shops.get_shop(shop_id)
    hour = asked.schedule.scheduled_at if asked.schedule else None
    counted = counting.known_census(shop_id, asked.audience, hour or now) if asked.audience else None
    line = opt_out.line_of(shop.opt_out_text, shop.stop_keywords)
    compiled, _ = language.examine(
        opt_out.with_opt_out(asked.body, line, keywords=shop.stop_keywords), Trigger.CAMPAIGN
    )
    people = _people(shop, counted, compiled, asked.somebody)
    chosen = _chosen(people, asked)
    values: Mapping[str, Value] = {"shop_name": shop.name, "sender": shop.sender}
    if chosen is not None:
        values = {**values, **previewing.names_of(chosen[1])}
    text = preview_text(
        asked.body,
        Trigger.CAMPAIGN,
        values=values,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        site=shops.proxy_address(shop.id),
    )
    sums = None
    if counted is not None and compiled is not None:
        sums = _sums(shop, counted, compiled, asked.schedule, now)
    person = chosen[0] if chosen else _example()
    return Look(
        shop=shop,
        text=text,
        person=person,
        people=[*(each for each, _ in people), _example()],
        mends=[mend(asked.body, finding, Trigger.CAMPAIGN, asked.word) for finding in text.findings],
        offers=_offers(shop, asked, line, counted, now),
        census=counted,
        is_counting=asked.audience is not None and counted is None,
        sums=sums,
        places=_places(shop, counted, asked.schedule, now),
    )


def person_by_phone(shop_id: int, typed: str) -> tuple[int | None, str | None]:
    """The contact with that number; or why there is none."""
    try:
        phone = normalise_phone(typed, shops.get_shop(shop_id).default_country)
    except PhoneRefused as refused:
        return None, refused.message
    found = contacts.contact_by_phone(shop_id, phone.e164)
    return (found.id, None) if found else (None, noted("Nobody of your contacts has this number."))


def _sums(
    shop: Shop, counted: Census, compiled: CompiledText, schedule: Schedule | None, now: datetime
) -> messaging.Preview:
    return previewing.of_census(
        shop,
        counted,
        [compiled],
        shop.sender,
        now=now,
        not_before=schedule.scheduled_at if schedule else None,
        local_at=schedule.local_at if schedule else None,
    )


def _people(
    shop: Shop, counted: Census | None, compiled: CompiledText | None, asked_for: int | None
) -> list[tuple[Person, Contact]]:
    """Some real recipients whose texts differ: the first one, the one with the longest text, one without a first name;
    and whoever was asked for."""
    known_by: dict[int, str] = {}
    if counted and counted.groups:
        known_by[counted.groups[0].someone] = ""
        if compiled is not None:
            longest = max(counted.groups, key=lambda group: abs(group.first_name_size) + abs(group.last_name_size))
            known_by.setdefault(longest.someone, "longest")
            special = next((group for group in counted.groups if group.first_name_size < 0), None)
            if special:  # a name that makes the text UCS-2
                known_by.setdefault(special.someone, "special")
        nameless = next((group for group in counted.groups if not group.first_name_size), None)
        if nameless:
            known_by.setdefault(nameless.someone, "nameless")
    if asked_for is not None:
        known_by.setdefault(asked_for, "chosen")
    if not known_by:
        return []
    found = {contact.id: contact for contact in previewing.some_contacts(shop.id, list(known_by))}
    return [(_person(found[each], why), found[each]) for each, why in known_by.items() if each in found]


def _person(contact: Contact, known_by: str) -> Person:
    name = previewing.names_of(contact)["full_name"] or ""
    return Person(contact.id, name, previewing.masked(contact.phone), known_by)


def _chosen(people: list[tuple[Person, Contact]], asked: Asked) -> tuple[Person, Contact] | None:
    if asked.as_example or not people:
        return None
    wanted = asked.somebody or asked.person
    return next((each for each in people if each[0].contact_id == wanted), people[0])


def _example() -> Person:
    values = examples(Trigger.CAMPAIGN)
    return Person(None, str(values["full_name"]), "", "example")


def _offers(shop: Shop, asked: Asked, line: str, counted: Census | None, now: datetime) -> list[CureOffer]:
    """What would save, measured on everybody who gets the text; while nobody is counted, on an example."""
    prices = wallet.price_list_at(shop.id, now) if counted and counted.groups else None
    sums: dict[str, tuple[int, int | None]] = {}

    def sum_of(source: str) -> tuple[int, int | None]:
        """Segments in all, and credits."""
        compiled, _ = language.examine(source, Trigger.CAMPAIGN)
        if compiled is None:
            return 0, None
        if counted is not None and prices is not None:
            expected = previewing.summed(shop, counted, [compiled], shop.sender, prices)
            return expected.segments, expected.credits
        example = {**examples(Trigger.CAMPAIGN), **previewing.values_for_all(shop, compiled, shop.sender)}
        try:
            return segments.count(compiled.render(example)).segments, None
        except RenderError:
            return 0, None

    def measure(source: str) -> int:
        if source not in sums:  # several cures come to the same text
            sums[source] = sum_of(source)
        return sums[source][0]

    def credits_of(source: str) -> int | None:
        return sums[opt_out.with_opt_out(source, line, keywords=shop.stop_keywords)][1]

    found = cures.cures_of(asked.body, measure, line=line, keywords=shop.stop_keywords)
    before = credits_of(asked.body) if found else None
    return [
        CureOffer(name, cure, None if before is None else before - (credits_of(cure.text) or 0))
        for name, cure in found.items()
    ]


def _places(shop: Shop, counted: Census | None, schedule: Schedule | None, now: datetime) -> list[Place]:
    """Where most recipients are; without any, where the shop is."""
    quiet = QuietHours(shop.quiet_from, shop.quiet_until, shop.quiet_hours_on)
    found = counted.places().most_common(PLACES_DRAWN) if counted else []
    return [
        _place(zone, country, people, quiet, schedule, now)
        for (zone, country), people in found or [((shop.timezone, shop.default_country), 0)]
    ]


def _place(zone: str, country: str, people: int, quiet: QuietHours, schedule: Schedule | None, now: datetime) -> Place:
    local_zone = zone_of(zone)
    if schedule and schedule.local_at:
        planned = schedule.local_at.replace(tzinfo=local_zone)
    else:
        planned = ((schedule and schedule.scheduled_at) or now).astimezone(local_zone)
    begins = max(planned, now.astimezone(local_zone))
    goes_at = next_allowed(begins, zone, country, quiet)
    return Place(
        zone=local_zone.key,
        country=country,
        people=people,
        day=planned,
        spans=open_minutes(planned.date(), zone, country, quiet),
        planned_at=planned.hour * 60 + planned.minute,
        goes_at=goes_at,
        waits=goes_at > begins,
    )

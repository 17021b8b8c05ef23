"""What the compose page shows of a text while it is typed: how it reads, what it costs, whom it reaches, and when.

All by the same rules as the API's preview and the sending: `message_templates.rules.preview` renders, the linter
judges, `messaging.queries.previewing` sums. What is left is to put that side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from blossom.campaigns.queries import counting
from blossom.campaigns.rules.ab_test import LETTERS, AbTest
from blossom.campaigns.rules.schedule import Schedule
from blossom.contacts import queries as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.models import Contact
from blossom.contacts.rules import normalise_phone
from blossom.message_templates.errors import RenderError
from blossom.message_templates.rules import capitals, cures, language, opt_out, segments
from blossom.message_templates.rules.catalogue import Trigger, examples
from blossom.message_templates.rules.characters import Cure
from blossom.message_templates.rules.cures import CureOffer
from blossom.message_templates.rules.language import CompiledText
from blossom.message_templates.rules.mending import Mend, mend
from blossom.message_templates.rules.preview import Preview as TextPreview
from blossom.message_templates.rules.preview import measured
from blossom.message_templates.rules.preview import preview as preview_text
from blossom.message_templates.rules.values import Value
from blossom.messaging import queries as messaging
from blossom.messaging.queries import previewing
from blossom.messaging.queries.census import Census, Group
from blossom.messaging.rules.quiet_hours import QuietHours, next_allowed, open_minutes, zone_of
from blossom.platform import gsm
from blossom.platform.languages import noted
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import PriceList

PLACES_DRAWN = 4
_OTHERS_READ = 8
"""So many whose names are GSM in capitals are read beside those who are offered: which of them are Greek?"""
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
class Written:
    """One of the texts: as it was typed (`body`), and as `person` of the look reads it. `mends`: of each finding, in
    order. `sums`: what they all cost (`Look`)."""

    letter: str
    body: str
    text: TextPreview
    mends: list[Mend | None]
    offers: list[CureOffer]
    sums: messaging.Preview | None


@dataclass(frozen=True)
class Look:
    """`texts`: the one, or those that are tested. `census` None: nobody chosen, or not counted yet (`is_counting`).
    `sums` None: that, or a text is faulty, or nothing has a price (`lacks_prices`); of several texts each person's
    dearest is summed. `split`: letter → people who get that text in the test, and "" → the rest; empty without a test,
    or a census. `is_linked`: as far as is known each text has a link that can be clicked."""

    shop: Shop
    texts: list[Written]
    person: Person
    people: list[Person]
    census: Census | None
    is_counting: bool
    lacks_prices: bool
    sums: messaging.Preview | None
    places: list[Place]
    split: dict[str, int]
    is_linked: bool


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. `person`: whose text to show, of those offered; `somebody`: a contact to offer and show
    whether they are in the audience or not. `word`: what people without a value may read instead. `test`: of several
    texts; None also while its shares are no sound ones."""

    bodies: Sequence[str]
    audience: Audience | None
    schedule: Schedule | None
    person: int | None = None
    somebody: int | None = None
    as_example: bool = False
    word: str = "there"
    test: AbTest | None = None


def look(shop_id: int, asked: Asked, now: datetime) -> Look:
    """Look at a text in the making. Raises `NotFound` for a segment that is not there."""
    shop = shops.get_shop(shop_id)
    hour = asked.schedule.scheduled_at if asked.schedule else None
    counted = counting.known_census(shop_id, asked.audience, hour or now) if asked.audience else None
    line = opt_out.line_of(shop.opt_out_text, shop.stop_keywords)
    texts = [
        language.examine(opt_out.with_opt_out(body, line, keywords=shop.stop_keywords), Trigger.CAMPAIGN)[0]
        for body in asked.bodies
    ]
    people, others = _people(shop, counted, texts[0], asked.somebody)
    chosen = _chosen(people, asked)
    values: Mapping[str, Value] = {"shop_name": shop.name, "sender": shop.sender}
    if chosen is not None:
        values = {**values, **previewing.names_of(chosen[1])}
    sound = [compiled for compiled in texts if compiled is not None]
    prices = wallet.price_list_if_any(shop_id, now) if counted else None
    sums = None
    if counted is not None and prices is not None and len(sound) == len(texts):
        sums = _sums(shop, counted, sound, asked.schedule, now)
    # What a cure saves is told for everybody where everybody gets that text.
    measured_on = counted if len(texts) == 1 else None
    greek = _greek(shop, [contact for _, contact in [*([chosen] if chosen else []), *people]] + others)
    return Look(
        shop=shop,
        texts=[
            _written(
                shop, letter, body, values, _offers(shop, body, line, measured_on, greek, prices), sums, asked.word
            )
            for letter, body in zip(LETTERS, asked.bodies, strict=False)
        ],
        person=chosen[0] if chosen else _example(),
        people=[*(each for each, _ in people), _example()],
        census=counted,
        is_counting=asked.audience is not None and counted is None,
        lacks_prices=counted is not None and prices is None,
        sums=sums,
        places=_places(shop, counted, asked.schedule, now),
        split=_split(asked.test, counted),
        is_linked=all(compiled.links for compiled in sound),
    )


def _split(test: AbTest | None, counted: Census | None) -> dict[str, int]:
    if test is None or counted is None:
        return {}
    people = test.people_of(counted.recipients)
    return {**dict(zip(test.letters, people, strict=True)), "": counted.recipients - sum(people)}


def _written(
    shop: Shop,
    letter: str,
    body: str,
    values: Mapping[str, Value],
    offers: list[CureOffer],
    sums: messaging.Preview | None,
    word: str,
) -> Written:
    text = preview_text(
        body,
        Trigger.CAMPAIGN,
        values=values,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        sender=shop.sender,
        site=shops.proxy_address(shop.id),
    )
    mends = [mend(body, finding, Trigger.CAMPAIGN, word) for finding in text.findings]
    return Written(letter, body, text, mends, offers, sums)


def person_by_phone(shop_id: int, typed: str) -> tuple[int | None, str | None]:
    """The contact with that number; or why there is none."""
    try:
        phone = normalise_phone(typed, shops.get_shop(shop_id).default_country)
    except PhoneRefused as refused:
        return None, refused.message
    found = contacts.contact_by_phone(shop_id, phone.e164)
    return (found.id, None) if found else (None, noted("Nobody of your contacts has this number."))


def _sums(
    shop: Shop, counted: Census, texts: list[CompiledText], schedule: Schedule | None, now: datetime
) -> messaging.Preview:
    not_before, local_at = (schedule.scheduled_at, schedule.local_at) if schedule else (None, None)
    return previewing.of_census(shop, counted, texts, shop.sender, now=now, not_before=not_before, local_at=local_at)


def _people(
    shop: Shop, counted: Census | None, compiled: CompiledText | None, asked_for: int | None
) -> tuple[list[tuple[Person, Contact]], list[Contact]]:
    """Some real recipients whose texts differ: the first one, the one with the longest text, one without a first name;
    and whoever was asked for. And up to `_OTHERS_READ` others, of whom some may be Greek."""
    known_by: dict[int, str] = {}
    if counted and counted.groups:
        known_by[counted.groups[0].someone] = ""
        if compiled is not None:
            longest = max(counted.groups, key=_name_units)
            known_by.setdefault(longest.someone, "longest")
            dear = [group for group in counted.groups if group.first_name_size < 0]  # these make the text UCS-2
            if dear:
                known_by.setdefault(dear[0].someone, "special")
        nameless = next((group for group in counted.groups if not group.first_name_size), None)
        if nameless:
            known_by.setdefault(nameless.someone, "nameless")
    if asked_for is not None:
        known_by.setdefault(asked_for, "chosen")
    curable = (group.someone for group in counted.groups if _saves_in_capitals(group)) if counted else iter(())
    others = set(islice(curable, _OTHERS_READ)) - known_by.keys()
    if not known_by:
        return [], []
    found = {contact.id: contact for contact in previewing.some_contacts(shop.id, [*known_by, *others])}
    offered = [(_person(found[each], why), found[each]) for each, why in known_by.items() if each in found]
    return offered, [found[each] for each in sorted(others) if each in found]


def _name_units(group: Group) -> int:
    return gsm.units_of(group.first_name_size) + gsm.units_of(group.last_name_size)


def _saves_in_capitals(group: Group) -> bool:
    return any(gsm.is_gsm_in_capitals(size) for size in (group.first_name_size, group.last_name_size))


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


class _Reader(NamedTuple):
    """Somebody with Greek in their own values, and which those are."""

    name: str
    values: Mapping[str, Value]
    greek: frozenset[str]


class _Greek(NamedTuple):
    """`variables`: those whose values are known to be Greek, of the shop or of one of `readers`, whom we looked at."""

    readers: list[_Reader]
    variables: frozenset[str]


def _greek(shop: Shop, people: Iterable[Contact]) -> _Greek:
    """A census knows of names their size, and whether they are GSM in capitals; their script is known of these few."""
    of_all: Mapping[str, Value] = {"shop_name": shop.name, "sender": shop.sender}
    of_shop = capitals.greek_values(of_all)
    readers = []
    for contact in people:
        names = previewing.names_of(contact)
        if found := capitals.greek_values({**of_all, **names}) - of_shop:
            readers.append(_Reader(names["full_name"] or "", {**of_all, **names}, found))
    return _Greek(readers, of_shop.union(*(each.greek for each in readers)))


def _offers(
    shop: Shop, body: str, line: str, counted: Census | None, greek: _Greek, prices: PriceList | None
) -> list[CureOffer]:
    """What would save, measured on everybody who gets the text; while nobody is counted, or nothing has a price, on an
    example. What saves by the Greek of people's names, and nothing over everybody, is measured on one of them."""
    sums: dict[str, tuple[int, int | None]] = {}

    def sum_of(source: str) -> tuple[int, int | None]:
        """Segments in all, and credits."""
        compiled, _ = language.examine(source, Trigger.CAMPAIGN)
        if compiled is None:
            return 0, None
        if counted is not None and counted.groups and prices is not None:
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

    def cures_by(of: cures.Measure) -> dict[str, Cure]:
        return cures.cures_of(body, of, line=line, keywords=shop.stop_keywords, greek=greek.variables)

    found = cures_by(measure)
    before = credits_of(body) if found else None
    offers = [
        CureOffer(name, cure, None if before is None else before - (credits_of(cure.text) or 0))
        for name, cure in found.items()
    ]
    reader = next((one for one in greek.readers if capitals.variables_in_capitals(body, one.greek).changes), None)
    if reader is None:
        return offers
    site = shops.proxy_address(shop.id)

    def measure_person(source: str) -> int:
        return measured(source, Trigger.CAMPAIGN, values=reader.values, site=site)

    return offers + [
        CureOffer(name, cure, None, reader.name)
        for name, cure in cures_by(measure_person).items()
        if name in cures.GREEK and name not in found
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

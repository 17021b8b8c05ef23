"""What a text to an audience will cost and whom it will reach, without decrypting anybody.

Contacts keep the sizes of their names in the clear. People of the same country and sizes get texts of the same number
of segments, so the audience is counted by these groups in one statement, and one probe a group is rendered: 1,000,000
people are some thousand groups.

Of several texts, of which nobody knows yet who gets which, each person counts with the dearest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, true

from blossom.consent import rules as consent
from blossom.consent.models import Consent
from blossom.contacts.models import Contact
from blossom.message_templates.rules import estimate, language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.language import CompiledText
from blossom.messaging.models import Batch, Dispatch, DispatchText, Message
from blossom.messaging.rules import caps as caps_rules
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.states import MARKETING_KINDS
from blossom.platform import db
from blossom.platform.db import session
from blossom.segments import queries as segments
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import PriceList

Texts = Sequence[CompiledText]
"""One text; or several, of which each person gets one."""

MEGABYTES = 64
"""What a statement that reads a whole audience may use: the consents of a million people, hashed."""


@dataclass(frozen=True)
class CountryCost:
    """`country`: of the number, or "ZZ" for one that belongs to none. Credits are whole."""

    country: str
    recipients: int
    segments: int
    credits: int


@dataclass
class Estimate:
    """An audience's texts, summed. `by_segments`: segments of a text → recipients."""

    recipients: int = 0
    segments: int = 0
    credits: int = 0
    by_country: list[CountryCost] = field(default_factory=list)
    by_segments: dict[int, int] = field(default_factory=dict)
    unrenderable: int = 0  # people whose values the text can't do without; they will be skipped


@dataclass
class Survey:
    """`left_out`: reason → people of the audience who get no message. `places`: zones with the countries of numbers
    ("ZZ": of none) where the others are."""

    estimate: Estimate = field(default_factory=Estimate)
    left_out: dict[str, int] = field(default_factory=dict)
    places: set[tuple[str, str]] = field(default_factory=set)


class Alike(NamedTuple):
    """People whose texts cost the same: the country of their numbers and the sizes of their names."""

    country: str | None
    people: int
    sizes: tuple[int, ...]


def reachable(
    shop_id: int, audience: Audience, without: Select[*tuple[Any, ...]] | None = None
) -> Select[*tuple[Any, ...]]:
    """The audience's contacts that have opted in and have a phone: the recipients. `without`: hashes of phones
    that are left out (`capped`)."""
    people = segments.audience_select(shop_id, audience).subquery("people")
    recipients = select(people).join(
        Consent,
        and_(
            Consent.shop_id == shop_id,
            Consent.phone_hash == people.c.phone_hash,
            Consent.state == consent.State.OPTED_IN.value,
        ),
    )
    return recipients if without is None else recipients.where(people.c.phone_hash.not_in(without))


def capped(shop_id: int, caps: Caps, at: datetime) -> Select[*tuple[Any, ...]] | None:
    """Hashes of the phones that have had as many marketing texts as the caps allow by `at`; None without caps.

    An answer for planning: whoever is capped at the moment of sending is asked then (`composing`).
    """
    if not caps.any:
        return None
    texted_at = func.coalesce(Message.sent_at, Message.created_at)
    texts = (  # dispatch by dispatch, behind a fence: a join would be planned as a walk over all messages
        select(Message.phone_hash, texted_at.label("texted_at"))
        .where(
            Message.id.between(Dispatch.id * message_ids.SPAN, (Dispatch.id + 1) * message_ids.SPAN),
            Message.shop_id == shop_id,
            Message.dispatch_id == Dispatch.id,
            Message.state.in_(("sent", "delivered", "unconfirmed")),
            texted_at > at - caps_rules.WEEK,
        )
        .offset(0)
        .lateral("texts")
    )
    spans = ((caps.daily, caps_rules.DAY), (caps.weekly, caps_rules.WEEK))
    reached = [func.count().filter(texts.c.texted_at > at - span) >= cap for cap, span in spans if cap is not None]
    return (
        select(texts.c.phone_hash)
        .select_from(Dispatch)
        .join(texts, true())
        .where(
            Dispatch.shop_id == shop_id,
            Dispatch.kind.in_(MARKETING_KINDS),
            Dispatch.prepared_at > at - caps_rules.LONGEST_DISPATCH,
        )
        .group_by(texts.c.phone_hash)
        .having(or_(*reached))
    )


def survey(shop_id: int, audience: Audience, texts: Texts, values: dict[str, str], prices: PriceList) -> Survey:
    """All that is to be known of an audience before its messages are made, read in one pass over it."""
    reasons: Counter[str] = Counter()
    groups: list[Alike] = []
    found = Survey()
    sized = sized_names(texts)
    columns = ("zone", "phone_country", *(f"{name}_size" for name in sized))
    for without_phone, consent_state, number, zone, country, *sizes in _by_consent(shop_id, audience, columns):
        if reason := reason_to_leave_out(without_phone, consent_state):
            reasons[reason] += number
        else:
            groups.append(Alike(country, number, tuple(sizes)))
            found.places.add((zone, country or "ZZ"))
    found.left_out = dict(reasons)
    found.estimate = total(groups, sized, texts, values, prices)
    return found


def _by_consent(shop_id: int, audience: Audience, columns: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Rows of: has no phone, state of consent, how many people, and these columns of the audience."""
    people = segments.audience_select(shop_id, audience).subquery("people")
    state = func.coalesce(Consent.state, literal(consent.State.NEVER_SUBSCRIBED.value))
    by = (people.c.phone_hash.is_(None), state)
    more = [people.c[name] for name in columns]
    db.use_memory(MEGABYTES)
    rows = session.execute(
        select(*by, func.count(), *more)
        .select_from(people)
        .outerjoin(Consent, and_(Consent.shop_id == shop_id, Consent.phone_hash == people.c.phone_hash))
        .group_by(*by, *more)
    )
    return [tuple(row) for row in rows]


def reason_to_leave_out(without_phone: bool, consent_state: str) -> str | None:
    """Why somebody of an audience gets no message at all; None: they do."""
    if without_phone:
        return "no_phone"
    if consent_state == consent.State.OPTED_IN:
        return None
    return "opted_out" if consent_state == consent.State.OPTED_OUT else "not_opted_in"


def estimate_costs(
    shop_id: int,
    audience: Audience,
    texts: Texts,
    values: dict[str, str],
    prices: PriceList,
    without: Select[*tuple[Any, ...]] | None = None,
) -> Estimate:
    """Sum up the texts to an audience. `values`: what is the same for everybody (`shop_name`, `sender`), and for links
    what has their size (`CompiledText.stand_ins`)."""
    return sum_up(reachable(shop_id, audience, without), texts, values, prices)


def cost_of_messages(shop_id: int, dispatch: Dispatch, *which: ColumnElement[bool]) -> int:
    """What these messages of a dispatch will cost, summed anew: names may have been corrected since it was begun. Of
    several texts, each with the one that it gets; who waits for the winner, with the dearest."""
    sources = session.scalars(
        select(DispatchText.source)
        .where(DispatchText.shop_id == shop_id, DispatchText.dispatch_id == dispatch.id)
        .order_by(DispatchText.number)
    ).all()
    if not sources:
        return _cost(shop_id, dispatch, [dispatch.source], *which)
    of_batch = (Batch.dispatch_id == Message.dispatch_id) & (Batch.number == Message.batch_number)
    groups: list[tuple[int | None, Sequence[str]]] = [(None, sources)]
    groups += [(number, [source]) for number, source in enumerate(sources)]
    return sum(
        _cost(
            shop_id,
            dispatch,
            texts,
            *which,
            select(Batch.number).where(of_batch, Batch.text_number.is_not_distinct_from(number)).exists(),
        )
        for number, texts in groups
    )


def _cost(shop_id: int, dispatch: Dispatch, sources: Sequence[str], *which: ColumnElement[bool]) -> int:
    shop, stand = session.get_one(Shop, shop_id), message_ids.of_dispatch(dispatch.id)
    people = (
        select(Message.country.label("phone_country"), Contact.first_name_size, Contact.last_name_size)
        .outerjoin(Contact, (Contact.shop_id == Message.shop_id) & (Contact.phone_hash == Message.phone_hash))
        .where(
            Message.id.between(stand.first, stand.last),
            Message.shop_id == shop_id,
            Message.dispatch_id == dispatch.id,
            *which,
        )
    )
    texts = [language.compile_text(source, Trigger(dispatch.trigger)) for source in sources]
    values = same_for_all(shop, texts, dispatch.sender)
    return sum_up(people, texts, values, wallet.price_list(int(dispatch.price_list_id or 0))).credits


def same_for_all(shop: Shop, texts: Texts, sender: str) -> dict[str, str]:
    """What is the same for everybody who gets one of the texts, and for links what has their size."""
    site, values = shops.proxy_address(shop.id), {"shop_name": shop.name, "sender": sender}
    for compiled in texts:
        values |= compiled.stand_ins(site)
    return values


def sum_up(
    people_select: Select[*tuple[Any, ...]], texts: Texts, values: dict[str, str], prices: PriceList
) -> Estimate:
    """Sum up the texts to these people: rows of `phone_country`, `first_name_size` and `last_name_size`."""
    people = people_select.subquery("recipients")
    sized = sized_names(texts)
    sizes = [people.c[f"{name}_size"] for name in sized]
    db.use_memory(MEGABYTES)
    rows = session.execute(
        select(people.c.phone_country, func.count(), *sizes).group_by(people.c.phone_country, *sizes)
    )
    return total([Alike(country, number, tuple(of)) for country, number, *of in rows], sized, texts, values, prices)


def sized_names(texts: Texts) -> list[str]:
    """The names in any of the texts whose sizes differ from person to person."""
    used = frozenset[str]().union(*(compiled.variables for compiled in texts))
    return [name for name in ("first_name", "last_name") if used & {name, "full_name"}]


def total(
    groups: Iterable[Alike], sized: Sequence[str], texts: Texts, values: dict[str, str], prices: PriceList
) -> Estimate:
    """Sum up the texts to these groups. `sized`: whose sizes stand in them, in this order (`sized_names`)."""
    found, probes, countries = Estimate(), dict[tuple[int, ...], int](), dict[str, list[int]]()
    for country, number, key in groups:
        if key not in probes:
            sizes = dict(zip(sized, key, strict=True))
            probes[key] = max(estimate.segments_for(compiled, values, sizes) for compiled in texts)
        parts = probes[key]
        found.recipients += number
        if parts == 0:
            found.unrenderable += number
            continue
        found.by_segments[parts] = found.by_segments.get(parts, 0) + number
        sums = countries.setdefault(country or "ZZ", [0, 0, 0])
        for place, amount in enumerate((number, parts * number, prices.credits(country, parts) * number)):
            sums[place] += amount
    in_order = sorted(countries.items(), key=lambda country: (-country[1][0], country[0]))
    found.by_country = [CountryCost(name, *sums) for name, sums in in_order]
    found.segments = sum(cost.segments for cost in found.by_country)
    found.credits = sum(cost.credits for cost in found.by_country)
    return found

"""The states of consent, what may change them, and who may be texted. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from blossom.platform.keywords import COURTESY, classify_keyword, fold
from blossom.platform.keywords import Keyword as Keyword
from blossom.platform.languages import noted


class State(StrEnum):
    """Where a phone stands in a shop. A phone that we know nothing of is NEVER_SUBSCRIBED."""

    NEVER_SUBSCRIBED = "never_subscribed"
    PENDING = "pending"  # asked to confirm (double opt-in), not confirmed yet
    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


class Source(StrEnum):
    """Where a change came from."""

    CHECKOUT = "checkout"
    STOREFRONT = "storefront"
    KEYWORD = "keyword"
    IMPORT = "import"
    API = "api"
    SHOPIFY = "shopify"
    MERCHANT = "merchant"


class Deed(StrEnum):
    """What happened to consent."""

    ASK = "ask"  # a confirmation was asked for
    OPT_IN = "opt_in"
    OPT_OUT = "opt_out"
    RETRACT = "retract"  # the list that was the only proof of an opt-in no longer says yes
    LAPSE = "lapse"  # the confirmation that was asked for did not come in time
    FORGET = "forget"  # the person wants to be forgotten


class Refusal(StrEnum):
    """Why a deed changed nothing."""

    ALREADY = "already"  # the state is that already
    OPTED_OUT_STANDS = "opted_out_stands"  # only the person can undo an opt-out
    OLDER_THAN_OPT_OUT = "older_than_opt_out"  # agreed before the opt-out, heard of after it
    PROVEN_ELSEWHERE = "proven_elsewhere"  # a list can't retract what the person told us themselves


class Purpose(StrEnum):
    """What a text is for. Marketing needs `opted_in`; an order's own texts need only that nobody said STOP."""

    MARKETING = "marketing"
    TRANSACTIONAL = "transactional"


BY_THE_PERSON = frozenset({Source.CHECKOUT, Source.STOREFRONT, Source.KEYWORD})
"""Sources in which the person acts. A list, a member of staff, another system or Shopify's copy can't undo a STOP."""

FROM_A_LIST = frozenset({Source.IMPORT, Source.SHOPIFY})
"""Sources that repeat what another list says."""

IN_BULK = FROM_A_LIST | {Source.API}
"""Sources that may bring a hundred thousand phones at once."""


class Urgency(IntEnum):
    """In which order Shopify is told of a shop's changes, the first first."""

    STOP = 0  # an opt-out by the person, or one that staff noted for them
    PERSON = 1  # whatever else these did
    LISTED_STOP = 2  # an opt-out that a list or another system brought
    LISTED = 3  # the rest


def urgency(state: State, *, listed: bool) -> Urgency:
    """How urgent it is to tell Shopify that a phone is in `state` now. `listed`: it came with many (`IN_BULK`), or a
    look through many turned it up."""
    if state is State.OPTED_OUT:
        return Urgency.LISTED_STOP if listed else Urgency.STOP
    return Urgency.LISTED if listed else Urgency.PERSON


LATER_THERE = "later_there"
"""How a push to Shopify may end: it keeps the later of two words, and its own is one that doesn't count here, such as
an opt-in after an opt-out."""


@dataclass(frozen=True)
class Event:
    """What happened, as far as the next state depends on it. `occurred_at` is aware."""

    deed: Deed
    source: Source
    occurred_at: datetime


@dataclass(frozen=True)
class Standing:
    """Where a phone stands, by which source, since when (both None before the first event)."""

    state: State = State.NEVER_SUBSCRIBED
    source: Source | None = None
    changed_at: datetime | None = None


def transition(standing: Standing, event: Event) -> State | Refusal:
    """The state after `event`, or why it changes nothing.

    An opt-out is honoured whenever it is heard of, whatever its date: texting one person too few is the right mistake.
    An opt-in after an opt-out counts only if the person gave it, and gave it later. Being asked is no consent: anybody
    can type a number into a form, so an opt-out stands until its phone's owner has confirmed.

    A STOP by a text after another opt-out is one more, since it weighs more: what was asked or agreed to before it
    (a confirmation's link, a START that is heard late) counts no more, and no form asks again. And so is an opt-in by
    the person after a list's: no list takes that back.
    """
    if event.deed is Deed.OPT_OUT:
        if standing.state is not State.OPTED_OUT:
            return State.OPTED_OUT
        said_later = standing.changed_at is None or event.occurred_at > standing.changed_at
        return State.OPTED_OUT if event.source is Source.KEYWORD and said_later else Refusal.ALREADY
    if event.deed is Deed.RETRACT:
        if standing.state not in (State.OPTED_IN, State.PENDING):
            return Refusal.ALREADY
        return State.NEVER_SUBSCRIBED if standing.source in FROM_A_LIST else Refusal.PROVEN_ELSEWHERE
    if event.deed is Deed.FORGET:  # nobody is texted whom we don't know any more; that they said no stays known
        return State.NEVER_SUBSCRIBED if standing.state in (State.OPTED_IN, State.PENDING) else Refusal.ALREADY
    if event.deed is Deed.LAPSE:
        return State.NEVER_SUBSCRIBED if standing.state is State.PENDING else Refusal.ALREADY
    if standing.state is State.OPTED_OUT:
        if event.source not in BY_THE_PERSON or event.deed is Deed.ASK:
            return Refusal.OPTED_OUT_STANDS
        if standing.changed_at is not None and event.occurred_at < standing.changed_at:
            return Refusal.OLDER_THAN_OPT_OUT
    if event.deed is Deed.OPT_IN:
        weighs_more = standing.source in FROM_A_LIST and event.source in BY_THE_PERSON
        return Refusal.ALREADY if standing.state is State.OPTED_IN and not weighs_more else State.OPTED_IN
    return Refusal.ALREADY if standing.state in (State.PENDING, State.OPTED_IN) else State.PENDING


def may_text(state: State, purpose: Purpose) -> tuple[bool, str | None]:
    """Whether a text for `purpose` may go to a phone in `state`, and if not, why not: the state's own name."""
    allowed = state is State.OPTED_IN if purpose is Purpose.MARKETING else state is not State.OPTED_OUT
    return (True, None) if allowed else (False, state.value)


class Outcome(StrEnum):
    """What became of a form that a shopper sent. An open one has none yet, or was ASKED and waits for its answer."""

    OPTED_IN = "opted_in"
    ASKED = "asked"  # a text with a link is on its way, or was sent
    CONFIRMED = "confirmed"
    LAPSED = "lapsed"  # asked, and not confirmed in time
    ALREADY = "already"  # was opted in before
    OPTED_OUT_STANDS = "opted_out_stands"  # said STOP by a text: a START by a text undoes it, a form doesn't
    ASKED_BEFORE = "asked_before"  # too often, or a moment ago: the limits of one phone
    TOO_MANY_ASKED = "too_many_asked"  # the shop has asked too many who don't answer
    NO_CREDIT = "no_credit"
    NOT_TEXTABLE = "not_textable"
    TOO_LATE = "too_late"
    SHOP_LEFT = "shop_left"


def code_hash(code: str) -> bytes:
    """What is kept of a confirmation's code: SHA-256, of small letters (a code may be typed)."""
    return hashlib.sha256(code.lower().encode("utf-8", "replace")).digest()


CONFIRM_WITHIN = timedelta(hours=24)
"""How long a confirmation's link is good."""

SETTLE_WITHIN = timedelta(hours=1)
"""A confirmation that could not be asked for within this time would come out of the blue."""

KEPT_FOR = timedelta(days=30)
"""How long a settled form is kept: what it came to stands in the events, with its words and its address."""

ASKS_A_DAY, ASKS_A_MONTH = 2, 5
"""Confirmations that one phone is asked for within 24 hours, and within 30 days, at most, whoever types it."""

ASKS_OF_OPTED_OUT_A_MONTH = 2
"""The same for a phone that is opted out; not both on one day."""

ASK_AGAIN_AFTER = timedelta(minutes=5)

A_DAY, A_MONTH = timedelta(days=1), timedelta(days=30)


def may_ask_more(asked: int, confirmed: int) -> bool:
    """Whether a shop that has `asked` so many phones within 24 hours, of which so many have `confirmed`, may ask one
    more. Each costs the shop a text, and whoever types strangers' numbers pays nothing: addresses can be changed or
    made up, so this holds when their limits don't. Real shoppers confirm more often than one in five."""
    return asked < ASKED_IN_VAIN + 5 * confirmed


ASKED_IN_VAIN = 500


def next_step(standing: Standing, *, double_opt_in: bool, asked_at: Sequence[datetime], now: datetime) -> Outcome:
    """What a form comes to: OPTED_IN or ASKED, or why neither. `asked_at`: when this phone was asked in the last
    `A_MONTH`.

    Who is opted out has to confirm whatever the shop's setting, since a stranger could have typed the number.
    """
    if standing.state is State.OPTED_IN:
        return Outcome.ALREADY
    opted_out = standing.state is State.OPTED_OUT
    if opted_out and standing.source is Source.KEYWORD:
        return Outcome.OPTED_OUT_STANDS
    if not (double_opt_in or opted_out):
        return Outcome.OPTED_IN
    today = sum(now - at < A_DAY for at in asked_at)
    a_day, a_month = (1, ASKS_OF_OPTED_OUT_A_MONTH) if opted_out else (ASKS_A_DAY, ASKS_A_MONTH)
    if today >= a_day or len(asked_at) >= a_month or any(now - at < ASK_AGAIN_AFTER for at in asked_at):
        return Outcome.ASKED_BEFORE
    return Outcome.ASKED


@dataclass(frozen=True)
class Settings:
    """How a shop asks for consent. `wordings`: locale → what a shopper agrees to, in place of our own words."""

    double_opt_in: bool = False
    in_theme: bool = True  # the shopper's pages stand in the shop's theme; else they are pages of their own
    wordings: Mapping[str, str] = field(default_factory=dict)
    privacy_url: str | None = None
    join_keywords: Sequence[str] = ()  # what people text to the shop to opt in


WORDING = noted(
    "Yes, %(shop)s may send me marketing texts (offers and news) at this number, also by automated means. Consent is "
    "not a condition of any purchase. I can end this at any time, and message and data rates may apply."
)
"""What a shopper agrees to, in a shop that has no words of its own."""

WORDING_LIMIT = 1_000


MOST_JOIN_KEYWORDS = 10


def settings_faults(settings: Settings, stop_keywords: Iterable[str] = ()) -> dict[str, str]:
    """Each setting's fault by its name. `stop_keywords`: the shop's own words that end texts."""
    faults = {}
    if fault := _join_keywords_fault(settings.join_keywords, list(stop_keywords)):
        faults["join_keywords"] = fault
    for locale, wording in settings.wordings.items():
        if not _LOCALE.fullmatch(locale):
            faults[f"wordings.{locale[:20]}"] = "must be under a locale such as el or pt-BR"
        elif not 20 <= len(wording.strip()) <= WORDING_LIMIT or "\0" in wording:
            faults[f"wordings.{locale}"] = f"must have 20 to {WORDING_LIMIT} characters, and say what is agreed to"
    if settings.privacy_url is not None and not _HTTPS.fullmatch(settings.privacy_url):
        faults["privacy_url"] = "must be an address that begins with https://"
    return faults


def _join_keywords_fault(words: Sequence[str], stop_keywords: Sequence[str]) -> str | None:
    if len(words) > MOST_JOIN_KEYWORDS:
        return f"may be {MOST_JOIN_KEYWORDS} words at most"
    for word in words:
        folded = fold(word)
        if not 2 <= len(word.strip()) <= 30 or "\0" in word or set(folded.split()) <= COURTESY:
            return "must be words of 2 to 30 characters that nobody says by chance"
        if (meant := classify_keyword(word, stop_keywords)) is not None:
            return f"may not have “{word.strip()}”, which means {meant.name} already"
    return None


_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_HTTPS = re.compile(r"https://[^\s/\x00]+\.[^\s\x00]{2,500}")


def kept_user_agent(said: str | None) -> str | None:
    """What is kept of the name that a browser gives itself: enough to know it by, whatever it sends."""
    return (said or "").replace("\0", "")[:500] or None


@dataclass(frozen=True)
class ProofEntry:
    """One event, as it is shown."""

    occurred_at: datetime
    recorded_at: datetime
    from_state: State
    to_state: State
    source: Source
    wording: str | None
    ip: str | None
    user_agent: str | None
    actor: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Proof:
    """Why a contact may, or may not, be texted: all that was ever recorded of their phone's consent, oldest first."""

    shop_name: str
    shop_domain: str
    timezone: str  # in which moments are shown
    made_at: datetime
    contact_id: int
    name: str | None
    phone: str | None  # E.164
    state: State
    marketing_allowed: bool
    transactional_allowed: bool
    entries: Sequence[ProofEntry]

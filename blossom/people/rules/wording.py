"""How people, and what happened to their consent, are put in words; where a list goes on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from blossom.consent.rules import FROM_A_LIST, ProofEntry, Source, State
from blossom.contacts.rules import phones
from blossom.platform import languages, localised
from blossom.platform.languages import noted

STATE_WORDS = {
    State.OPTED_IN: noted("Opted in"),
    State.PENDING: noted("Waiting to confirm"),
    State.OPTED_OUT: noted("Opted out"),
    State.NEVER_SUBSCRIBED: noted("Never subscribed"),
}
"""In the order of the list's filters."""

SOURCE_WORDS = {
    Source.CHECKOUT: noted("at the checkout"),
    Source.STOREFRONT: noted("on your storefront"),
    Source.KEYWORD: noted("by a text message"),
    Source.IMPORT: noted("in an imported file"),
    Source.API: noted("through the API"),
    Source.SHOPIFY: noted("as Shopify told us"),
    Source.MERCHANT: noted("in Blossom, by your staff"),
}


@dataclass(frozen=True)
class Mark:
    """After which row a list goes on: a contact's id, and for lists by state the moment of its last change."""

    contact_id: int
    changed_at: datetime | None = None

    def __str__(self) -> str:
        if self.changed_at is None:
            return str(self.contact_id)
        return f"{self.contact_id}.{(self.changed_at - _EPOCH) // _MICROSECOND}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MARK = re.compile(r"([1-9][0-9]{0,17})(?:\.([0-9]{1,16}))?")


def read_mark(given: str) -> Mark | None:
    """The mark as an address has it, or None for anything that is none."""
    found = _MARK.fullmatch(given)
    if found is None:
        return None
    return Mark(int(found[1]), _EPOCH + int(found[2]) * _MICROSECOND if found[2] else None)


def verdict(allowed: bool, reason: str | None, last: ProofEntry | None) -> str:
    """Why a person may, or may not, get marketing texts. `reason` as `consent.queries.may_text` gives it."""
    if allowed and last is not None:
        return noted("They agreed %(where)s.", where=SOURCE_WORDS[last.source])
    return _REASONS.get(reason or "", noted("Their consent does not allow it."))


NO_PHONE = "no_phone"
_REASONS = {
    NO_PHONE: noted("There is no phone number."),
    State.NEVER_SUBSCRIBED.value: noted("They have not agreed to texts. Without their consent nobody gets marketing."),
    State.PENDING.value: noted("They were asked to confirm by a text, and have not done so yet."),
    State.OPTED_OUT.value: noted("They opted out. Only they themselves can undo that."),
}


def order_verdict(allowed: bool, reason: str | None) -> str:
    """The same for texts on a person's own orders."""
    if allowed:
        return noted("They have not opted out.")
    return _REASONS[NO_PHONE] if reason == NO_PHONE else noted("They opted out of all texts.")


def happening(entry: ProofEntry) -> str:
    """What happened, as a heading."""
    before, after = entry.from_state, entry.to_state
    if after is State.NEVER_SUBSCRIBED and entry.source not in FROM_A_LIST:
        return noted("Did not confirm in time")
    if after is State.NEVER_SUBSCRIBED:  # nobody acts where a list only no longer says yes
        return noted("Was forgotten") if entry.actor else noted("No longer agrees")
    if after is State.OPTED_OUT:
        return noted("Opted out once more") if before is after else noted("Opted out")
    if after is State.PENDING:
        return noted("Was asked to confirm")
    if before is after:
        return noted("Agreed themselves, after a list had said so")
    return noted("Confirmed that they agree") if before is State.PENDING else noted("Agreed to texts")


def doer(actor: str) -> str:
    """Who acted, from the actor of an event: `staff:7`, `api_key:3`. Blossom knows no names of staff."""
    kind, _, number = actor.partition(":")
    if kind == "staff" and number:
        return noted("Staff member no. %(number)s", number=number)
    return noted("API key no. %(number)s", number=number) if kind == "api_key" and number else actor


def facts(entry: ProofEntry) -> list[tuple[str, str]]:
    """What else was recorded of an event, as names and values."""
    known = [
        (noted("IP address"), entry.ip),
        (noted("Browser"), entry.user_agent),
        (noted("Done by"), entry.actor and doer(entry.actor)),
    ]
    found = [(name, value) for name, value in known if value]
    return found + [(_detail(name), _value(name, value)) for name, value in entry.details.items()]


def _value(name: str, value: object) -> str:
    if value is True:
        return _YES
    return _VALUES.get(name, {}).get(str(value)) or str(value)


HOW_WORDS = {
    "in_person": noted("in person, in your shop"),
    "on_paper": noted("on paper"),
    "by_phone": noted("by phone"),
    "in_writing": noted("by e-mail or another message"),
    "on_a_website": noted("on another website of yours"),
    "at_an_event": noted("at an event"),
}
"""How somebody agreed whom a merchant adds by hand; the codes stand in the proof."""

_YES = noted("yes")
_DETAILS = {
    "request_id": noted("Number of the request"),
    "double_opt_in": noted("Double opt-in"),
    "import_id": noted("Number of the import"),
    "line": noted("Line of the file"),
    "collected": noted("How they agreed"),
    "level": noted("How sure Shopify is of it"),
    "collected_from": noted("Where Shopify has it from"),
    "inbound_text_id": noted("Number of their text"),
    "dispatch": noted("Number of the sending"),
}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "collected": HOW_WORDS,
    "level": {
        "SINGLE_OPT_IN": noted("they agreed once"),
        "CONFIRMED_OPT_IN": noted("they agreed, and confirmed it"),
        "UNKNOWN": noted("it does not say"),
    },
    "collected_from": {
        "SHOPIFY": noted("from its own checkout or pages"),
        "OTHER": noted("from another program"),
    },
}


def _detail(name: str) -> str:
    return _DETAILS.get(name) or name.replace("_", " ").capitalize()


def phone_shown(e164: str | None) -> str | None:
    """A number in groups, as it is read: `+30 691 234 5678`."""
    return phones.in_groups(e164)


def name_of(first_name: str | None, last_name: str | None) -> str | None:
    """Both names, as far as they are known."""
    return " ".join(filter(None, (first_name, last_name))) or None


def country_name(code: str | None) -> str | None:
    """The reader's name of a country."""
    return None if code is None else languages.country(code)


def language_name(tag: str | None) -> str | None:
    """The reader's name of a language (`el-GR`: Greek); what names none, as it stands."""
    if tag is None:
        return None
    names = localised.forms(languages.reader()).languages
    return str(names.get(tag.replace("_", "-").partition("-")[0].lower(), tag))

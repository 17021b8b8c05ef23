"""What the compose page says of things that code names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from blossom.campaigns.rules.states import Priority
from blossom.message_templates.rules.catalogue import Trigger, variables
from blossom.platform import languages, localised
from blossom.platform.languages import noted, t

CURE_WORDS = {
    "typographic": noted("Write quotes, dashes and spaces plainly"),
    "emoji": noted("Leave emoji out"),
    "plain_letters": noted("Write letters without their accents"),
    "greek_capitals": noted("Write Greek in capitals"),
    "everything": noted("Do all of that"),
}

REASON_WORDS = {
    "not_opted_in": noted("have not agreed to texts"),
    "opted_out": noted("opted out"),
    "capped": noted("have had enough texts lately"),
    "no_phone": noted("have no phone number"),
}

PRIORITY_WORDS = {
    Priority.HIGH: noted("High: before your other campaigns"),
    Priority.NORMAL: noted("Normal"),
    Priority.LOW: noted("Low: after your other campaigns"),
}

_VARIABLE_WORDS = {
    "first_name": noted("First name"),
    "last_name": noted("Last name"),
    "full_name": noted("Full name"),
    "shop_name": noted("Your shop's name"),
    "sender": noted("Sender"),
    "opt_out_link": noted("Opt-out link"),
}


class Snippet(NamedTuple):
    """A variable, what to call it, and how it is written into a text."""

    name: str
    words: str
    code: str


class Variables:
    """Those of campaigns, each with a word for people without a value where some are."""

    def __iter__(self) -> Iterator[Snippet]:
        for variable in variables(Trigger.CAMPAIGN).values():
            code = f'{variable.name} | default: "{t("there")}"' if variable.nullable else variable.name
            yield Snippet(variable.name, t(_VARIABLE_WORDS[variable.name]), f"{{{{ {code} }}}}")


def city(zone: str) -> str:
    """What people call a time zone: `Athens`."""
    return localised.city(zone, languages.reader())


def country(code: str) -> str:
    """The name of a country by its two letters; ZZ is that of numbers that belong to none."""
    if code == "ZZ":
        return t("No country's own numbers")
    return localised.country(code, languages.reader())

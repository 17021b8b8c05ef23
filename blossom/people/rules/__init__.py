"""Words for people and their consent; marks in lists. Pure."""

from blossom.people.rules.wording import (
    SOURCE_WORDS,
    STATE_WORDS,
    Mark,
    country_name,
    doer,
    facts,
    happening,
    language_name,
    name_of,
    order_verdict,
    phone_shown,
    read_mark,
    verdict,
)

__all__ = [
    "SOURCE_WORDS",
    "STATE_WORDS",
    "Mark",
    "country_name",
    "doer",
    "facts",
    "happening",
    "language_name",
    "name_of",
    "order_verdict",
    "phone_shown",
    "read_mark",
    "verdict",
]

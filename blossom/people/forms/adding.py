"""Somebody who is added by hand, as it was typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.contacts.rules import people as people_rules
from blossom.people.rules.adding import NewPerson
from blossom.people.rules.wording import HOW_WORDS
from blossom.platform.languages import noted

FIELDS = ("phone", "first_name", "last_name", "email", "tags", "consent", "how")
_LONGEST = 100_000
"""Characters of a field: more than all the tags that anybody may have."""


@dataclass(frozen=True)
class NewContact:
    """What was typed; and whom it names, or what is wrong with it."""

    typed: Mapping[str, str]
    faults: Mapping[str, str]
    person: NewPerson | None


def read_new(given: Mapping[str, str], default_country: str) -> NewContact:
    """Read the form. A number without country code is one of `default_country`."""
    typed = {name: given.get(name, "")[:_LONGEST] for name in FIELDS}
    typed["attested"] = "on" if given.get("attested") else ""
    faults: dict[str, str] = {}
    phone = None
    try:
        phone = normalise_phone(typed["phone"], default_country)
    except PhoneRefused as refused:
        faults["phone"] = refused.message
    names = {name: people_rules.one_line(typed[name]) for name in ("first_name", "last_name")}
    for name, value in names.items():
        if value is not None and len(value) > people_rules.NAME_LIMIT:
            faults[name] = noted("This is too long for a name.")
    email = people_rules.email_of(typed["email"])
    if typed["email"].strip() and email is None:
        faults["email"] = noted("This is not an e-mail address.")
    agreed = typed["consent"] == "yes"
    how = typed["how"] if typed["how"] in HOW_WORDS else None
    if agreed and how is None:
        faults["how"] = noted("Say how they agreed.")
    if agreed and not typed["attested"]:
        faults["attested"] = noted("Confirm it, or add them without consent.")
    written = typed["tags"].split(",")
    tags = people_rules.clean_tags(written)
    if len(tags) < len(set(map(people_rules.one_line, written)) - {None}):
        faults["tags"] = noted(
            "Somebody may have %(most)s tags of %(long)s characters.",
            most=people_rules.TAGS_LIMIT,
            long=people_rules.NAME_LIMIT,
        )
    if faults or phone is None:
        return NewContact(typed, faults, None)
    how = how if agreed else None
    return NewContact(typed, {}, NewPerson(phone, names["first_name"], names["last_name"], email, tags, how))

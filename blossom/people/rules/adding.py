"""Somebody who is to be added by hand. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.contacts.rules import Phone


@dataclass(frozen=True)
class NewPerson:
    """`how`: in which way they agreed to texts (a code of `wording.HOW_WORDS`); None: nobody says that they have."""

    phone: Phone
    first_name: str | None
    last_name: str | None
    email: str | None
    tags: tuple[str, ...]
    how: str | None

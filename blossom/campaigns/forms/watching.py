"""What the pages on recipients read of addresses and forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.messaging.rules.states import MessageState

_PLACE = re.compile(r"([0-9]{1,10})\.([1-9][0-9]{0,17})")
_LONGEST = 60  # characters of a number, however it is written
_LARGEST_BATCH = 2**31 - 1


@dataclass(frozen=True)
class Choice:
    """Which recipients: those in one state, or all; and after which batch and message the list goes on."""

    state: MessageState | None = None
    after: tuple[int, int] | None = None


def read_choice(given: Mapping[str, str]) -> Choice | None:
    """The list that an address names; None for an address that names none."""
    state, after = given.get("state", ""), given.get("after")
    if state and state not in set(MessageState) - {MessageState.SENDING}:
        return None
    place = _PLACE.fullmatch(after) if after is not None else None
    if after is not None and (place is None or int(place[1]) > _LARGEST_BATCH):
        return None
    return Choice(MessageState(state) if state else None, (int(place[1]), int(place[2])) if place else None)


@dataclass(frozen=True)
class Search:
    """What was typed, and the number in E.164 that it is; or what is wrong with it, in words for `t`."""

    typed: str
    phone: str | None = None
    fault: str | None = None


def read_search(given: Mapping[str, str], default_country: str) -> Search:
    """Read the field. A number without country code is one of `default_country`."""
    typed = given.get("phone", "")[:_LONGEST].strip()
    try:
        return Search(typed, phone=normalise_phone(typed, default_country).e164)
    except PhoneRefused as refused:
        return Search(typed, fault=refused.message)

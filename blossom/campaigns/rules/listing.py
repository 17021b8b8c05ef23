"""Which campaigns a list shows, in which order, and where its next page begins. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import orjson

from blossom.campaigns.rules.states import Action, CampaignState, may, may_delete
from blossom.platform.languages import noted


class Sort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    CHANGED = "changed"  # the merchant's last change first
    NAME = "name"


SORT_WORDS = {
    Sort.NEWEST: noted("Newest first"),
    Sort.OLDEST: noted("Oldest first"),
    Sort.CHANGED: noted("Last changed first"),
    Sort.NAME: noted("By name"),
}

SHOWN_STATES = (
    CampaignState.DRAFT,
    CampaignState.SCHEDULED,
    CampaignState.SENDING,
    CampaignState.PAUSED,
    CampaignState.COMPLETED,
    CampaignState.FAILED,
    CampaignState.CANCELLED,
)
"""By which a list can be filtered, in the order of its tabs."""

LONGEST_SEARCH = 100
_LONGEST_KEY = 1_000


@dataclass(frozen=True)
class Mark:
    """After which row a list goes on: its id, and by what it was sorted (a name's key, microseconds since 1970)."""

    campaign_id: int
    value: str | int | None = None

    def __str__(self) -> str:
        """As an address has it. It needs no signature: it only narrows what is bound to the shop anyway."""
        return base64.urlsafe_b64encode(orjson.dumps([self.campaign_id, self.value])).decode().rstrip("=")


def read_mark(given: str, sort: Sort) -> Mark | None:
    """The mark as an address of a list sorted so has it; None for anything that is none."""
    try:
        found = orjson.loads(base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(found, list) or len(found) != 2:
        return None
    campaign_id, value = found
    if type(campaign_id) is not int or not 0 < campaign_id < 2**63:
        return None
    if sort is Sort.NAME:
        good = isinstance(value, str) and "\0" not in value and len(value) <= _LONGEST_KEY
    elif sort is Sort.CHANGED:
        good = type(value) is int and 0 <= value < 2**56
    else:
        good = value is None
    return Mark(campaign_id, value) if good else None


@dataclass(frozen=True)
class Choice:
    """Which list: `words` of the name as they were typed, a state, an order, and after which row."""

    words: str = ""
    state: CampaignState | None = None
    sort: Sort = Sort.NEWEST
    after: Mark | None = None


def address(choice: Choice, **changes: Any) -> str:
    """Where the list that was chosen stands, or with `changes` another; never on a later page unless they say so."""
    wanted = replace(choice, **{"after": None, **changes})
    named = {
        "q": wanted.words,
        "state": wanted.state.value if wanted.state else "",
        "sort": wanted.sort.value if wanted.sort is not Sort.NEWEST else "",
        "after": str(wanted.after or ""),
    }
    query = urlencode({name: value for name, value in named.items() if value})
    return f"/campaigns?{query}" if query else "/campaigns"


class RowDeed(StrEnum):
    """What can be done to a campaign without leaving the list."""

    DUPLICATE = "duplicate"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DELETE = "delete"


ASKED_FIRST = frozenset({RowDeed.CANCEL, RowDeed.DELETE})
"""What can't be undone."""

NEEDED = {RowDeed.DUPLICATE: "campaigns:write", RowDeed.DELETE: "campaigns:write"}
"""The right that a deed takes; the others take "campaigns:send"."""


def needed(deed: RowDeed) -> str:
    return NEEDED.get(deed, "campaigns:send")


def deeds(state: CampaignState, *, has_dispatch: bool, rights: frozenset[str]) -> list[RowDeed]:
    """What somebody with these rights can do to a campaign as it stands."""
    possible = {
        RowDeed.DUPLICATE: True,
        RowDeed.PAUSE: may(Action.PAUSE, state),
        RowDeed.RESUME: may(Action.RESUME, state),
        RowDeed.CANCEL: may(Action.CANCEL, state),
        RowDeed.DELETE: may_delete(state, has_dispatch=has_dispatch),
    }
    return [deed for deed in RowDeed if possible[deed] and needed(deed) in rights]

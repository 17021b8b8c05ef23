"""The choices in the address of the list of campaigns."""

from __future__ import annotations

from collections.abc import Mapping

from blossom.campaigns.rules.listing import LONGEST_SEARCH, SHOWN_STATES, Choice, Sort, read_mark
from blossom.campaigns.rules.states import CampaignState


def read_choice(given: Mapping[str, str]) -> Choice | None:
    """The list that an address names; None for an address that names none."""
    state, sort, after = given.get("state", ""), given.get("sort", "") or Sort.NEWEST.value, given.get("after")
    if (state and state not in {each.value for each in SHOWN_STATES}) or sort not in set(Sort):
        return None
    mark = read_mark(after, Sort(sort)) if after is not None else None
    if after is not None and mark is None:
        return None
    words = " ".join(given.get("q", "").split())[:LONGEST_SEARCH]
    return Choice(words, CampaignState(state) if state else None, Sort(sort), mark)

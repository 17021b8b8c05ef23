"""What people text, in a merchant's words; where a conversation goes on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blossom.consent.rules import Keyword
from blossom.platform.languages import noted
from blossom.replies.rules import Kept

KEPT_WORDS = {
    Kept.REPLIES: noted("Replies"),
    Kept.UNREAD: noted("Unread"),
    Kept.ALL: noted("With STOP and the like"),
}
"""In the order of the filters."""

KEYWORD_WORDS = {
    Keyword.STOP.value: noted("Ended all texts to them"),
    Keyword.START.value: noted("Asked for texts again"),
    Keyword.HELP.value: noted("Asked for help"),
    Keyword.JOIN.value: noted("Asked for texts by your own word"),
}

_MARK = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
LAST = 10**18 - 1
"""Above every id: where a list begins."""


@dataclass(frozen=True)
class Heads:
    """Where a conversation goes on: before which dispatch of ours, and before which text of theirs."""

    ours: int = LAST
    theirs: int = LAST

    def __str__(self) -> str:
        return f"{self.ours}-{self.theirs}"


def read_heads(given: str) -> Heads | None:
    """The mark as an address has it, or None for anything that is none."""
    found = _MARK.fullmatch(given)
    return Heads(int(found[1]), int(found[2])) if found else None

"""A test of several texts: text A is the campaign's own, up to three more stand here. Each goes to a share of the
audience, chosen by chance; when it is known which does best, the rest gets that one. Pure.

Its texts are checked where the campaign's own is, when it is planned or sent; until then they may be unfinished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from blossom.messaging.rules import texts as rules
from blossom.messaging.rules.texts import LETTERS
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted

__all__ = ["LARGEST_SHARE", "LETTERS", "LONGEST", "SHORTEST", "AbTest", "Winner", "is_after", "letter_number"]

LARGEST_SHARE = 50
"""Per cent of the audience that one text may be tried on."""

SHORTEST = timedelta(minutes=30)
LONGEST = timedelta(hours=24)

_KEYS = {"texts", "shares", "winner", "after_minutes"}


class Winner(StrEnum):
    """How the text for the rest is found."""

    CLICKS = "clicks"  # the highest share of people who clicked, a while after the last of the test was sent
    BY_HAND = "by_hand"  # somebody chooses


@dataclass(frozen=True)
class AbTest:
    """`texts`: B and on, Liquid as the merchant wrote it. `shares`: whole per cent, one for each text with A.

    100 per cent together is a plain split: there is no rest, so there is no `winner`. `after` goes with
    `Winner.CLICKS` alone.
    """

    texts: tuple[str, ...]
    shares: tuple[int, ...]
    winner: Winner | None = None
    after: timedelta | None = None

    @property
    def letters(self) -> tuple[str, ...]:
        return LETTERS[: len(self.shares)]

    @property
    def rest_share(self) -> int:
        """Per cent of the audience that wait for the winner."""
        return 100 - sum(self.shares)

    def bodies(self, body: str) -> tuple[str, ...]:
        """All texts, with the campaign's own (A) first."""
        return (body, *self.texts)

    def people_of(self, total: int) -> tuple[int, ...]:
        """How many of `total` recipients each text is tried on; the others are the rest."""
        return rules.people_of(self.shares, total)

    def to_json(self) -> dict[str, Any]:
        return {
            "texts": list(self.texts),
            "shares": list(self.shares),
            "winner": self.winner.value if self.winner else None,
            "after_minutes": self.after // timedelta(minutes=1) if self.after else None,
        }

    @classmethod
    def from_json(cls, given: Any) -> AbTest:
        """Read a test that is stored, or that somebody wrote. What has no meaning is dropped: a winner where there is
        no rest, a time where somebody chooses.

        Raises `InvalidInput` with one fault, at `ab_test`.
        """
        if not isinstance(given, dict) or not given.keys() <= _KEYS:
            raise _fault(noted("Give texts, shares, and how the winner is found."))
        texts: Any = given.get("texts")
        shares: Any = given.get("shares")
        if not _all_of(texts, str) or not 1 <= len(texts) < len(LETTERS):
            raise _fault(noted("Write one to %(most)s more texts.", most=len(LETTERS) - 1))
        if not _all_of(shares, int) or len(shares) != len(texts) + 1:
            raise _fault(noted("Give each text a share."))
        if not all(1 <= share <= LARGEST_SHARE for share in shares):
            raise _fault(noted("A share is 1 to %(most)s per cent.", most=LARGEST_SHARE))
        if sum(shares) > 100:
            raise _fault(noted("The shares come to %(sum)s per cent: more than all.", sum=sum(shares)))
        winner, after = _rule(given) if sum(shares) < 100 else (None, None)
        return cls(tuple(texts), tuple(shares), winner, after)


def letter_number(letter: str) -> int | None:
    """The number of the text that is called so; None for no letter of a text."""
    return LETTERS.index(letter) if letter in LETTERS else None


def is_after(minutes: int) -> bool:
    """Whether a winner may be decided so long after the test; of any number that somebody can type."""
    return SHORTEST <= timedelta(minutes=min(max(minutes, 0), 10_000)) <= LONGEST


def _rule(given: dict[str, Any]) -> tuple[Winner, timedelta | None]:
    if given.get("winner") not in list(Winner):
        raise _fault(noted("Say how the winner is found: by clicks, or by hand."))
    winner = Winner(given["winner"])
    if winner is Winner.BY_HAND:
        return winner, None
    minutes = given.get("after_minutes")
    if type(minutes) is not int or not is_after(minutes):
        raise _fault(noted("The winner is decided 30 minutes to 24 hours after the last text of the test."))
    return winner, timedelta(minutes=minutes)


def _all_of(values: Any, kind: type[str] | type[int]) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(type(each) is kind for each in values)


def _fault(words: str) -> InvalidInput:
    return InvalidInput({"ab_test": words})

"""Of the compose page's form: the texts that are tested against each other, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from blossom.campaigns.rules.ab_test import LARGEST_SHARE, LETTERS, AbTest, Winner, is_after
from blossom.message_templates.rules.markup import MAX_SOURCE, normalise_newlines
from blossom.platform.languages import noted

LONGEST_BODY = 2 * MAX_SOURCE
"""More than can be sent: the linter tells of a text that is a little too long, with the place."""

AFTER_MINUTES = (30, 60, 120, 240, 480, 720, 1440)
"""After how long a winner may be decided, as the page offers it."""

_SHARE = re.compile(r"[0-9]{1,3}")
_MINUTES = re.compile(r"[0-9]{1,4}")
USUAL_SHARE, USUAL_AFTER = "10", 120


@dataclass(frozen=True)
class Several:
    """How many texts there are, and what was typed into the fields of all four, in use or not: `bodies` and `shares`
    (per cent), text A's first. `faults`: field → what is wrong, in words for `t`."""

    number: int = 1
    bodies: tuple[str, ...] = ("", "", "", "")
    shares: tuple[str, ...] = (USUAL_SHARE,) * 4
    winner: Winner = Winner.CLICKS
    after: int = USUAL_AFTER
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_use(self) -> tuple[str, ...]:
        """The texts, text A first."""
        return self.bodies[: self.number]

    @property
    def percents(self) -> tuple[int, ...] | None:
        """The shares of the texts in use; None: they are no sound test."""
        if "shares" in self.faults:
            return None
        return tuple(int(share) for share in self.shares[: self.number])

    @property
    def test(self) -> AbTest | None:
        """None: there is one text, or it is not known how several are to be tested."""
        if self.number == 1 or self.percents is None:
            return None
        has_rest = sum(self.percents) < 100
        by_clicks = has_rest and self.winner is Winner.CLICKS
        return AbTest(
            texts=self.bodies[1 : self.number],
            shares=self.percents,
            winner=self.winner if has_rest else None,
            after=timedelta(minutes=self.after) if by_clicks else None,
        )


def read(given: Mapping[str, str]) -> Several:
    """Read the fields. What is missing is as it stands on a new page."""
    texts = given.get("texts", "")
    number = int(texts) if texts in ("2", "3", "4") else 1
    names = ["body", *(f"body-{letter.lower()}" for letter in LETTERS[1:])]
    bodies = tuple(normalise_newlines(given.get(name, "")) for name in names)
    shares = tuple(given.get(f"share-{letter.lower()}", USUAL_SHARE).strip()[:10] for letter in LETTERS)
    winner, after = given.get("winner"), given.get("after", "")
    faults: dict[str, str] = {
        name: noted("The text may have %(most)s characters.", most=LONGEST_BODY)
        for name, body in zip(names[:number], bodies, strict=False)
        if len(body) > LONGEST_BODY
    }
    if number > 1 and (fault := _fault_of(shares[:number])):
        faults["shares"] = fault
    return Several(
        number=number,
        bodies=bodies,
        shares=shares,
        winner=Winner(winner) if winner in list(Winner) else Winner.CLICKS,
        after=int(after) if _MINUTES.fullmatch(after) and is_after(int(after)) else USUAL_AFTER,
        faults=faults,
    )


def after_minutes(chosen: int) -> list[int]:
    """The choices, with one that came by the API."""
    return sorted({*AFTER_MINUTES, chosen})


def of_stored(body: str, test: AbTest | None) -> Several:
    """The same as the form shows what is stored."""
    if test is None:
        return Several(bodies=(body, "", "", ""))
    bodies = (body, *test.texts, "", "", "")[: len(LETTERS)]
    shares = (*map(str, test.shares), *[USUAL_SHARE] * 4)[: len(LETTERS)]
    after = round(test.after.total_seconds() / 60) if test.after else USUAL_AFTER
    return Several(len(test.shares), bodies, shares, test.winner or Winner.CLICKS, after)


def _fault_of(shares: tuple[str, ...]) -> str | None:
    if not all(_SHARE.fullmatch(share) and 1 <= int(share) <= LARGEST_SHARE for share in shares):
        return noted("The share of each text must be a whole number from 1 to %(most)s.", most=LARGEST_SHARE)
    if sum(map(int, shares)) > 100:
        return noted("The shares of all texts may be 100 percent together at most.")
    return None

"""Several texts for one audience: how it is shared out among them, and which of them does best. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

LETTERS = ("A", "B", "C", "D")
"""What a merchant calls the texts of a test; a text's number is its letter's place."""

MOST_TEXTS = len(LETTERS)

SEVERAL = "{% several_texts %}"
"""What stands for the one text of a dispatch that has several. It can't be rendered: whoever knows of one text alone,
as the version before this did, fails such a dispatch, where it would send the first text to everybody."""

BY_CLICKS = "clicks"
"""Who chose the winner, where nobody did: the people who clicked."""


@dataclass(frozen=True)
class Showing:
    """What a text came to so far. `left`: people whom it has reached, by Mitto's word (sent and delivered); `clicked`:
    those of its people who have opened a link of it."""

    left: int
    clicked: int

    @property
    def rate(self) -> Fraction:
        """The share of those it reached who clicked; 0 while it has reached nobody."""
        return Fraction(self.clicked, self.left) if self.left else Fraction(0)


def people_of(shares: Sequence[int], total: int) -> tuple[int, ...]:
    """How many of `total` people get each text. `shares` in whole per cent, 100 together at most; what they leave over
    is the rest. Each is within one person of its share, and so are the first of them together.

    But each gets one person at least, as long as there are any: a text that nobody gets is not tested.
    """
    found: list[int] = []
    so_far = share_so_far = 0
    for share in shares:
        share_so_far += share
        until = (2 * total * share_so_far + 100) // 200  # rounded, halves up
        until = min(max(until, so_far + 1), total)
        found.append(until - so_far)
        so_far = until
    return tuple(found)


def best(showings: Sequence[Showing]) -> int:
    """The number of the text that most of its people clicked in, by share; of equals the earlier one."""
    return max(range(len(showings)), key=lambda number: (showings[number].rate, -number))

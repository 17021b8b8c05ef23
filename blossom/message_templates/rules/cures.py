"""Cheaper ways to write a text, each offered only if it saves parts of what people would get.

A cure is of the text as it stands in the editor. What is measured is what is sent: with the shop's opt-out line, if the
text has no way out of its own. Where that very line is what costs (Greek, say), the cure writes it into the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from blossom.message_templates.rules import opt_out
from blossom.message_templates.rules.characters import (
    Change,
    Cure,
    greek_to_gsm_capitals,
    leave_out_emoji,
    replace_typographic,
)


class CureOffer(NamedTuple):
    """A cheaper way to write the text. `credits`: what that saves over the whole audience; None: nobody counted it,
    and the cure's segments are those of one text."""

    name: str
    cure: Cure
    credits: int | None

    @property
    def saved(self) -> int:
        return self.cure.segments_before - self.cure.segments_after


Measure = Callable[[str], int]
"""Segments of a text, as somebody would get it."""


def _typographic(text: str) -> Cure:
    return replace_typographic(text)


def _plain_letters(text: str) -> Cure:
    return replace_typographic(text, accents=True)


STEPS: dict[str, tuple[Callable[[str], Cure], ...]] = {
    "typographic": (_typographic,),
    "emoji": (_typographic, leave_out_emoji),
    "plain_letters": (_plain_letters,),
    "greek_capitals": (_typographic, greek_to_gsm_capitals),
    "everything": (_plain_letters, leave_out_emoji, greek_to_gsm_capitals),
}
"""By name, what is done one after the other: one dear character left is enough to make all of a text dear."""


def cures_of(body: str, measure: Measure, *, line: str, keywords: Iterable[str] = ()) -> dict[str, Cure]:
    """Those that save parts, by name; of two that save the same, the one that changes less. `line`, `keywords`: as
    `opt_out.with_opt_out` takes them."""
    keywords = tuple(keywords)

    def as_sent(text: str) -> str:
        return opt_out.with_opt_out(text, line, keywords=keywords)

    before = measure(as_sent(body))
    found: dict[str, Cure] = {}
    for name, steps in STEPS.items():
        cure = min(
            (_applied(text, steps, before, lambda text: measure(as_sent(text))) for text in (body, as_sent(body))),
            key=lambda cure: cure.segments_after,
        )
        if cure.segments_after < min([before, *(known.segments_after for known in found.values())]):
            found[name] = cure
    return found


def fewest_segments(text: str, measure: Measure) -> int:
    """What `text`, as it is sent, takes with the cure that saves most; itself, where none does."""
    return min(_applied(text, steps, 0, measure).segments_after for steps in ((), *STEPS.values()))


def _applied(text: str, steps: tuple[Callable[[str], Cure], ...], before: int, measure: Measure) -> Cure:
    changes: list[Change] = []
    for step in steps:
        cure = step(text)
        text = cure.text
        changes += cure.changes
    return Cure(text, tuple(changes), before, measure(text))
